//! Nodes that insert, claim, end and roll back jobs with the same few keys, all at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use taskwright_core::{
    Extras, JobError, JobId, Name, NewJob, OnConflict, Replace, StateName, Unique, Until,
};
use taskwright_postgres::PostgresStore;
use taskwright_store::{
    Command, Controlled, ErrorKind, Insert, Inserted, Outcome, Refusal, Result, Retry, Store,
};
use taskwright_testbed::{Schema, available, fresh_schema};

use crate::support::client::Application;
use crate::support::jobs::{Hand, completed_by, job, open, report, state_of, sweeping, url_of};
use crate::support::random::{Random, rounds};

const NODES: usize = 3;
const KEYS: u64 = 4;
const TIME: Until = Until::Elapsed { ms: 60 };

/// Every job that would hold its key by its own row, however the table of holds looks.
const HOLDING: &str = "select j.seq, j.namespace, j.unique_key from ( \
        select seq, namespace, unique_key, unique_until, attempt from job) j \
    where j.unique_until = 1 or j.unique_until = 0 and j.attempt = 0";

fn unique(random: &mut Random) -> NewJob {
    let key = format!("key {}", random.below(KEYS)).into();
    let until = random.pick(&[Until::Finished, Until::Finished, Until::Claimed, TIME]);
    let on_conflict = match random.below(6) {
        0 => OnConflict::Refuse,
        1 => OnConflict::Replace(Replace::throttle()),
        2 => OnConflict::Replace(Replace { priority: true, run_at: true, ..Replace::default() }),
        _ => OnConflict::Keep,
    };
    let extras = Extras { unique: Some(Unique { key, until }), ..Extras::default() };
    let priority = i8::try_from(random.below(3)).unwrap();
    NewJob { extras, on_conflict, priority, ..job(random.job_id()) }
}

/// One of many who do things at random until they are told to stop.
struct Player {
    store: Arc<PostgresStore>,
    random: Random,
    hand: Hand,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Player {
    async fn play(mut self) {
        let mut mine = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let done = match self.random.below(6) {
                0..=2 => self.insert(&mut mine).await,
                3 | 4 => self.work().await,
                _ => self.interfere(&mut mine).await,
            };
            match done {
                Ok(()) => drop(self.done.fetch_add(1, Ordering::Relaxed)),
                // Whoever is told to try again does so.
                Err(error) => assert_eq!(error.kind, ErrorKind::Busy, "{error}"),
            }
        }
    }

    async fn insert(&mut self, mine: &mut Vec<JobId>) -> Result<()> {
        let count = self.random.below(3) + 1;
        let jobs: Vec<NewJob> = (0..count).map(|_| unique(&mut self.random)).collect();
        let partial = self.random.below(2) == 0;
        let answers = self.store.insert(Insert { jobs: jobs.clone(), partial }).await?;
        let has_refused = answers
            .iter()
            .any(|answer| matches!(answer, Inserted::Refused(Refusal::UniqueTaken { .. })));
        for (job, answer) in jobs.iter().zip(answers) {
            match answer {
                Inserted::New { .. } | Inserted::Existing { .. } => mine.push(job.id),
                Inserted::Duplicate { id, .. } => assert_ne!(id, job.id),
                Inserted::Refused(Refusal::UniqueTaken { holder, .. }) => {
                    assert_eq!(job.on_conflict, OnConflict::Refuse);
                    assert_ne!(holder, job.id);
                }
                Inserted::Skipped => assert!(has_refused && !partial),
                Inserted::Refused(other) => panic!("{other}"),
            }
        }
        Ok(())
    }

    async fn work(&mut self) -> Result<()> {
        let claim = self.hand.claim(2, Duration::ZERO);
        let jobs = self.store.claim(claim).await?;
        let mut reports = Vec::new();
        for job in &jobs {
            let error = JobError::new("error", "as chance has it");
            let outcome = match self.random.below(5) {
                0 => Outcome::Released,
                1 => Outcome::Failed { error, retry: Retry::Never },
                2 => Outcome::Failed { error, retry: Retry::After(Duration::ZERO) },
                _ => completed_by(job.token),
            };
            reports.push(report(job.id, job.token, outcome));
        }
        while let Err(error) = self.store.report(reports.clone()).await {
            assert_eq!(error.kind, ErrorKind::Busy, "{error}");
        }
        Ok(())
    }

    /// Cancels, redrives, adjusts or deletes one of its own jobs.
    async fn interfere(&mut self, mine: &mut Vec<JobId>) -> Result<()> {
        if mine.is_empty() {
            return Ok(());
        }
        let place = usize::try_from(self.random.below(mine.len() as u64)).unwrap();
        let (namespace, id) = (Name::default_name(), mine[place]);
        let command = match self.random.below(4) {
            0 => Command::Cancel { namespace, id, reason: "chance".into() },
            1 | 2 => Command::Redrive { namespace, id, attempts: 0 },
            _ => Command::Adjust { namespace, id, priority: Some(1), run_at: None },
        };
        let answers = self.store.control("test", vec![command]).await?;
        if let [Controlled::Taken { holder }] = answers[..] {
            assert_ne!(holder, id);
        }
        if mine.len() > 20 {
            mine.remove(place);
        }
        Ok(())
    }
}

/// Panics if two jobs have a key that both would hold, or if the holds are not those of jobs.
async fn look(application: &Application, schema: &Schema, seen: &mut u64) {
    let statement = format!(
        "with holding as ({HOLDING}) select \
             (select count(*) from holding), \
             (select count(*) from (select from holding group by namespace, unique_key \
                  having count(*) > 1) twice), \
             (select count(*) from holding o where not exists (select from hold h \
                  where h.seq = o.seq and h.key = o.unique_key and h.namespace = o.namespace)), \
             (select count(*) from hold h where h.expires_at is null and not exists ( \
                  select from holding o where o.seq = h.seq))"
    );
    let row = application.query_one(&statement, &[]).await.unwrap();
    let name = schema.name();
    assert_eq!(row.get::<_, i64>(1), 0, "{name}: a key is held twice");
    assert_eq!(row.get::<_, i64>(2), 0, "{name}: a job that holds a key has no hold");
    assert_eq!(row.get::<_, i64>(3), 0, "{name}: a hold outlived its job");
    *seen += u64::from(row.get::<_, i64>(0) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_one_job_holds_a_key_whoever_wants_it() {
    let Some(schema) = available("postgres_unique::contended", fresh_schema()) else { return };
    let mut random = Random::seeded();
    println!("in the schema {}", schema.name());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (mut stores, mut players, mut sweepers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..NODES {
        let store = open(&url_of(&schema)).await;
        sweepers.push(sweeping(&store, Duration::from_millis(50)));
        for _ in 0..3 {
            let mut random = random.fork();
            let (hand, store) = (Hand::new(&mut random), Arc::clone(&store));
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            players.push(tokio::spawn(Player { store, random, hand, stop, done }.play()));
        }
        stores.push(store);
    }
    let application = Application::of(&schema).await;
    let wanted = rounds() * 40;
    let deadline = Instant::now() + Duration::from_secs(60 + 12 * rounds());
    let (mut looks, mut seen) = (0, 0);
    while done.load(Ordering::Relaxed) < wanted {
        assert!(Instant::now() < deadline, "only {} of {wanted}", done.load(Ordering::Relaxed));
        assert!(players.iter().all(|player| !player.is_finished()), "a player has failed");
        look(&application, &schema, &mut seen).await;
        looks += 1;
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    for player in players {
        player.await.unwrap();
    }
    look(&application, &schema, &mut seen).await;
    println!("{wanted} calls, {looks} looks, {seen} with holders");
    assert!(seen > 0, "nobody held a key");

    // Once all have ended and their time is over, every key is free.
    let mut hand = Hand::new(&mut random);
    let store = &stores[0];
    loop {
        assert!(Instant::now() < deadline + Duration::from_secs(60), "jobs are left");
        for sweeper in &stores {
            sweeper.sweep(1_000).await.unwrap();
        }
        let left = application.query_one("select count(*) from job", &[]).await.unwrap();
        if left.get::<_, i64>(0) == 0 {
            break;
        }
        let jobs = hand.take(&**store, 100, Duration::from_millis(100)).await;
        let reports = jobs.iter().map(|job| report(job.id, job.token, completed_by(job.token)));
        store.report(reports.collect()).await.unwrap();
        // What a player held when it was stopped.
        let running = application.query("select id::text from job where state = 5", &[]).await;
        let running = running.unwrap();
        let cancel = running.iter().map(|row| Command::Cancel {
            namespace: Name::default_name(),
            id: row.get::<_, String>(0).parse().unwrap(),
            reason: "the end".into(),
        });
        store.control("test", cancel.collect()).await.unwrap();
    }
    for sweeper in sweepers {
        sweeper.abort();
    }
    for key in 0..KEYS {
        let unique = Some(Unique { key: format!("key {key}").into(), until: Until::Finished });
        let extras = Extras { unique, ..Extras::default() };
        let jobs = vec![NewJob { extras, ..job(random.job_id()) }];
        loop {
            let insert = Insert { jobs: jobs.clone(), partial: false };
            match store.insert(insert).await.unwrap()[..] {
                [Inserted::New { .. }] => break,
                // Held for its time, which is short.
                [Inserted::Duplicate { id, .. }] => {
                    let state = state_of(&**store, id).await;
                    assert!(state.is_some_and(StateName::is_final), "{id} is {state:?}");
                }
                ref other => panic!("{other:?}"),
            }
            assert!(Instant::now() < deadline + Duration::from_secs(60), "key {key} is not free");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_insert_is_rolled_back_goes_to_who_waits_for_it() {
    let Some(schema) = available("postgres_unique::rolled_back", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let extras = Extras {
        unique: Some(Unique { key: "key".into(), until: Until::Finished }),
        ..Extras::default()
    };
    let new = |random: &mut Random| NewJob { extras: extras.clone(), ..job(random.job_id()) };
    // A namespace and its number are there.
    store.insert(Insert { jobs: vec![job(random.job_id())], partial: false }).await.unwrap();
    for end in ["rollback", "commit"] {
        let application = Application::of(&schema).await;
        application.batch_execute("begin").await.unwrap();
        let take = "insert into hold (namespace, key, seq) \
            select number, 'key', -1 from namespace where name = 'default'";
        application.batch_execute(take).await.unwrap();
        let (waiting, job) = (Arc::clone(&store), new(&mut random));
        let id = job.id;
        let insert = Insert { jobs: vec![job], partial: false };
        let insert = tokio::spawn(async move { waiting.insert(insert).await });
        let waits =
            "select count(*) from pg_locks where not granted and locktype = 'transactionid'";
        let deadline = Instant::now() + Duration::from_secs(20);
        while schema.psql(waits).unwrap() == "0" {
            assert!(Instant::now() < deadline && !insert.is_finished(), "it does not wait");
        }
        // As if the holder had ended in the transaction that took the key: then it is free as well.
        if end == "commit" {
            application.batch_execute("delete from hold where seq = -1").await.unwrap();
        }
        application.batch_execute(end).await.unwrap();
        let answers = insert.await.unwrap().unwrap();
        assert!(matches!(answers[0], Inserted::New { .. }), "{end}: {answers:?}");
        let namespace = Name::default_name();
        let cancel = Command::Cancel { namespace, id, reason: "done".into() };
        store.control("test", vec![cancel]).await.unwrap();
    }
    assert_eq!(schema.psql("select count(*) from hold").unwrap(), "0");
}
