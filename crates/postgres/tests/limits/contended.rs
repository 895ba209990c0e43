//! Nodes whose workers claim, end, lose and interfere with jobs that share a few limits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use taskwright_core::{Extras, JobError, JobId, Name, NewJob, Subject, Timestamp};
use taskwright_postgres::PostgresStore;
use taskwright_store::{
    ClaimedJob, Command, ErrorKind, Insert, Outcome, Report, Result, Retry, Store,
};
use taskwright_testbed::{Schema, available, fresh_schema};

use super::words::{at_once, key, limit, number, paced};
use crate::support::client::Application;
use crate::support::jobs::{Hand, completed_by, job, open, report, sweeping, url_of};
use crate::support::random::{Random, rounds};

const NODES: usize = 3;
const QUEUE_MAX: u32 = 7;
const SLOTS: u32 = 3;
const TENANTS: u64 = 3;
const PACE: (u32, u32) = (40, 4);

fn limited_job(random: &mut Random) -> NewJob {
    let tenant = format!("tenant {}", random.below(TENANTS));
    let keys: &[&str] = match random.below(6) {
        0 => &["slots"],
        1 => &[&tenant],
        2 => &["slots", &tenant],
        3 => &["paced"],
        4 => &["paced", "slots", &tenant],
        _ => &[],
    };
    let limit_keys = keys.iter().map(|key| (*key).into()).collect();
    let priority = i8::try_from(random.below(3)).unwrap();
    let extras = Extras { limit_keys, ..Extras::default() };
    NewJob { extras, priority, ..job(random.job_id()) }
}

/// When jobs with each key were started.
type Starts = Arc<Mutex<BTreeMap<String, Vec<Timestamp>>>>;

struct Player {
    store: Arc<PostgresStore>,
    random: Random,
    hand: Hand,
    mine: Vec<JobId>,
    held: Vec<ClaimedJob>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    starts: Starts,
    lost: Arc<Mutex<Vec<String>>>,
}

impl Player {
    async fn play(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let done = match self.random.below(12) {
                0..=2 => self.insert().await,
                3..=6 => self.claim().await,
                7..=9 => self.end_some().await,
                10 => self.interfere().await,
                _ => {
                    self.die();
                    Ok(())
                }
            };
            match done {
                Ok(()) => drop(self.done.fetch_add(1, Ordering::Relaxed)),
                // Whoever is told to try again does so.
                Err(error) => assert_eq!(error.kind, ErrorKind::Busy, "{error}"),
            }
        }
        self.die();
    }

    async fn insert(&mut self) -> Result<()> {
        if self.mine.len() > 40 {
            return Ok(());
        }
        let count = self.random.below(4) + 1;
        let jobs: Vec<NewJob> = (0..count).map(|_| limited_job(&mut self.random)).collect();
        self.mine.extend(jobs.iter().map(|job| job.id));
        self.store.insert(Insert { jobs, partial: false }).await.map(drop)
    }

    async fn claim(&mut self) -> Result<()> {
        let max = usize::try_from(self.random.below(4) + 1).unwrap();
        let jobs = self.store.claim(self.hand.claim(max, Duration::ZERO)).await?;
        let mut starts = self.starts.lock().unwrap();
        for job in &jobs {
            for key in &job.extras.limit_keys {
                starts.entry(key.to_string()).or_default().push(job.started_at);
            }
        }
        drop(starts);
        self.held.extend(jobs);
        Ok(())
    }

    async fn end_some(&mut self) -> Result<()> {
        let count = self.held.len().min(usize::try_from(self.random.below(3)).unwrap() + 1);
        let ended: Vec<ClaimedJob> = self.held.drain(..count).collect();
        let mut reports = Vec::new();
        for job in &ended {
            let error = JobError::new("error", "as chance has it");
            let outcome = match self.random.below(6) {
                0 => Outcome::Released,
                1 => Outcome::Failed { error, retry: Retry::After(Duration::from_millis(30)) },
                _ => completed_by(job.token),
            };
            reports.push(report(job.id, job.token, outcome));
        }
        self.report(reports).await;
        Ok(())
    }

    async fn report(&self, reports: Vec<Report>) {
        while let Err(error) = self.store.report(reports.clone()).await {
            assert_eq!(error.kind, ErrorKind::Busy, "{error}");
        }
    }

    async fn interfere(&mut self) -> Result<()> {
        if self.mine.is_empty() {
            return Ok(());
        }
        let place = usize::try_from(self.random.below(self.mine.len() as u64)).unwrap();
        let (namespace, id) = (Name::default_name(), self.mine[place]);
        let command = match self.random.below(3) {
            0 => Command::Adjust { namespace, id, priority: Some(2), run_at: None },
            _ => {
                self.mine.swap_remove(place);
                Command::Cancel { namespace, id, reason: "chance".into() }
            }
        };
        self.store.control("test", vec![command]).await.map(drop)
    }

    /// Is killed with all that it holds, and comes back as another.
    fn die(&mut self) {
        if !self.held.is_empty() {
            self.lost.lock().unwrap().push(self.hand.id.to_string());
        }
        self.held.clear();
        self.hand = Hand::new(&mut self.random);
    }
}

/// Panics if more jobs run than a limit allows, all at one instant.
async fn look(application: &Application, busiest: &mut BTreeMap<i64, i64>) {
    let statement = "select number, count(*) from ( \
            select unnest(keys) as number from job where state = 5 \
            union all select 0 from job where state = 5) running group by number";
    let mut most = BTreeMap::from([(0, QUEUE_MAX), (number("slots"), SLOTS)]);
    most.extend((0..TENANTS).map(|tenant| (number(&format!("tenant {tenant}")), 1)));
    for row in application.query(statement, &[]).await.unwrap() {
        let (number, running): (i64, i64) = (row.get(0), row.get(1));
        if let Some(most) = most.get(&number) {
            assert!(running <= i64::from(*most), "{running} of {most} run with {number}");
        }
        let busiest = busiest.entry(number).or_default();
        *busiest = running.max(*busiest);
    }
}

/// Ends the leases of workers that were killed, as time would.
async fn bury(application: &Application, lost: &Mutex<Vec<String>>) {
    let lost = std::mem::take(&mut *lost.lock().unwrap());
    let statement = "update worker set lease_end = 0 where id::text = any($1)";
    application.execute(statement, &[&lost]).await.unwrap();
}

/// What takes so long hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// Panics where this hangs, with what the database does meanwhile.
async fn within<T>(schema: &Schema, what: &str, work: impl Future<Output = T>) -> T {
    if let Ok(done) = tokio::time::timeout(PATIENCE, work).await {
        return done;
    }
    let busy = "select string_agg(concat_ws(' ', pid, application_name, state, wait_event, query), \
        E'\\n') from pg_stat_activity where backend_type = 'client backend' and state <> 'idle'";
    panic!("{what} hangs; the database does: {}", schema.psql(busy).unwrap());
}

/// In any time the starts are at most the burst and what the rate adds in it.
fn check_pace(starts: &[Timestamp]) {
    let mut starts = starts.to_vec();
    starts.sort_unstable();
    let interval = 1_000_000 / i64::from(PACE.0);
    for (first, begin) in starts.iter().enumerate() {
        for (more, end) in starts[first..].iter().enumerate() {
            let spared = i64::try_from(more).unwrap() + 1 - i64::from(PACE.1);
            let time = end.as_micros() - begin.as_micros();
            assert!(time >= spared * interval, "{} starts in {time} µs", more + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_no_limit_is_exceeded_by_many_nodes() {
    let Some(schema) = available("postgres_limits::contended", fresh_schema()) else { return };
    let mut random = Random::seeded();
    println!("in the schema {}", schema.name());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (starts, lost): (Starts, _) = (Arc::default(), Arc::new(Mutex::new(Vec::new())));
    let (mut stores, mut players, mut sweepers) = (Vec::new(), Vec::new(), Vec::new());
    for node in 0..NODES {
        let store = open(&url_of(&schema)).await;
        if node == 0 {
            limit(&store, Subject::Queue(Name::default_name()), at_once(QUEUE_MAX)).await;
            limit(&store, key("slots"), at_once(SLOTS)).await;
            limit(&store, key("tenant *"), at_once(1)).await;
            limit(&store, key("paced"), paced(PACE.0, PACE.1)).await;
        }
        sweepers.push(sweeping(&store, Duration::from_millis(50)));
        for _ in 0..3 {
            let mut random = random.fork();
            let (hand, store) = (Hand::new(&mut random), Arc::clone(&store));
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            let (starts, lost) = (Arc::clone(&starts), Arc::clone(&lost));
            let (mine, held) = (Vec::new(), Vec::new());
            let player = Player { store, random, hand, mine, held, stop, done, starts, lost };
            players.push(tokio::spawn(player.play()));
        }
        stores.push(store);
    }
    let application = Application::of(&schema).await;
    let wanted = rounds() * 60;
    let deadline = Instant::now() + Duration::from_secs(60 + 20 * rounds());
    let (mut looks, mut busiest) = (0, BTreeMap::new());
    let mut ticks = tokio::time::interval(Duration::from_millis(3));
    while done.load(Ordering::Relaxed) < wanted {
        ticks.tick().await;
        assert!(Instant::now() < deadline, "only {} of {wanted}", done.load(Ordering::Relaxed));
        assert!(players.iter().all(|player| !player.is_finished()), "a player has failed");
        within(&schema, "a look", look(&application, &mut busiest)).await;
        within(&schema, "a burial", bury(&application, &lost)).await;
        looks += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for player in players {
        within(&schema, "a player", player).await.unwrap();
    }
    bury(&application, &lost).await;
    println!("{wanted} calls, {looks} looks, the most at once: {busiest:?}");
    assert_eq!(busiest.get(&0), Some(&i64::from(QUEUE_MAX)), "the queue was never full");

    // Whatever is left starts when its turn comes, and no line is left.
    let mut hand = Hand::new(&mut random);
    let deadline = Instant::now() + Duration::from_secs(60 + 12 * rounds());
    loop {
        let left = application.query_one("select count(*) from job", &[]).await.unwrap();
        let left: i64 = left.get(0);
        if left == 0 {
            break;
        }
        if Instant::now() > deadline {
            let lines = "select string_agg(state || ' ' || coalesce(line, 0) || ' ' || \
                coalesce(keys::text, ''), ', ') from job";
            panic!("{left} jobs are left: {}", schema.psql(lines).unwrap());
        }
        let claim = hand.claim(100, Duration::from_millis(200));
        let jobs = within(&schema, "a claim", stores[1].claim(claim)).await.unwrap();
        for job in &jobs {
            for key in &job.extras.limit_keys {
                let mut starts = starts.lock().unwrap();
                starts.entry(key.to_string()).or_default().push(job.started_at);
            }
        }
        look(&application, &mut busiest).await;
        let reports = jobs.iter().map(|job| report(job.id, job.token, completed_by(job.token)));
        let reported = stores[2].report(reports.collect());
        within(&schema, "a report", reported).await.unwrap();
    }
    for sweeper in sweepers {
        sweeper.abort();
    }
    let starts = std::mem::take(&mut *starts.lock().unwrap());
    check_pace(&starts["paced"]);
    println!("{} starts with a pace", starts["paced"].len());
    stores[0].sweep(1_000).await.unwrap();
    assert_eq!(schema.psql("select count(*) from line_note").unwrap(), "0");
    assert_eq!(schema.psql("select count(*) from line_timer").unwrap(), "0");
    let counted = "select count(*) from ( \
        select lane, state, sum(amount) from ( \
            select lane, state, amount from counter union all select lane, state, delta from tally \
            union all select lane, state, -1 from job \
            union all select lane, state, -1 from ended union all select lane, state, -1 from dead \
        ) all_of_them where state < 100 group by lane, state having sum(amount) <> 0) wrong";
    assert_eq!(schema.psql(counted).unwrap(), "0", "counters that a recount does not confirm");
}
