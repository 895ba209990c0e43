//! Lanes whose jobs have all ended are given back to others, and no job stays behind in one.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::client::Application;
use support::harness::PostgresHarness;
use support::jobs::{SECOND, complete, job, name, open, report, state_of, sweeping, url_of};
use support::random::Random;
use taskwright_core::limits::{BATCH_MAX, LANES_MAX};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{JobId, Name, NewJob, StateName, WorkerId};
use taskwright_postgres::PostgresStore;
use taskwright_store::conformance::Harness;
use taskwright_store::{
    Claim, ClaimedJob, ErrorKind, Insert, Inserted, Outcome, Profile, Refusal, Retention, Store,
};
use taskwright_testbed::{Schema, available, fresh_schema};

const LONG: Duration = Duration::from_secs(120);

/// Closes every lane without live jobs, as a sweep does where there are many, and forgets what
/// nothing is left of.
const GIVE_BACK: &str = "select close_lanes(0), forget_lanes(0, 100000, 0)";

fn schema(test: &str) -> Option<Schema> {
    available(&format!("postgres_lanes::{test}"), fresh_schema())
}

fn harness(schema: Schema) -> PostgresHarness {
    let (url, name) = (schema.url().to_owned(), schema.name().to_owned());
    PostgresHarness::new(&url, &name, schema)
}

fn queue(number: usize) -> Name {
    name(&format!("queue-{number}"))
}

/// A job of a queue of its own.
fn lone(number: usize) -> NewJob {
    NewJob { queue: queue(number), ..job(JobId::from_u128(number as u128 + 1)) }
}

/// Inserts jobs, once more where lanes were given to others again and again.
async fn insert(store: &dyn Store, jobs: Vec<NewJob>) -> Vec<Inserted> {
    let deadline = Instant::now() + LONG;
    loop {
        match store.insert(Insert { jobs: jobs.clone(), partial: false }).await {
            Err(error) if error.kind == ErrorKind::Busy && Instant::now() < deadline => {}
            answers => return answers.unwrap(),
        }
    }
}

fn claim_of(worker: u128, seq: u64, queues: Vec<Name>, max: usize) -> Claim {
    Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(worker),
        seq,
        profile: Arc::new(Profile { queues, tasks: None, labels: Default::default() }),
        max,
        free: Default::default(),
        wait: Duration::ZERO,
        in_process: false,
    }
}

fn is_new(answer: &Inserted) -> bool {
    matches!(answer, Inserted::New { .. })
}

/// Runs a thousand jobs to their end, each in a lane of its own.
async fn pass(store: &dyn Store, round: usize) {
    let numbers = round * BATCH_MAX..(round + 1) * BATCH_MAX;
    let answers = insert(store, numbers.clone().map(lone).collect()).await;
    assert!(answers.iter().all(is_new), "round {round}: {:?}", answers.first());
    let claim = claim_of(1, round as u64 + 1, numbers.map(queue).collect(), BATCH_MAX);
    let claimed = store.claim(claim).await.unwrap();
    assert_eq!(claimed.len(), BATCH_MAX, "round {round}");
    complete(store, &claimed).await;
}

#[tokio::test]
async fn more_lanes_than_there_can_be_at_once_are_used_one_after_another() {
    let Some(schema) = schema("one_after_another") else { return };
    let harness = harness(schema);
    let store = harness.open(Retention::default()).await;
    for round in 0..2 * LANES_MAX / BATCH_MAX {
        pass(&*store, round).await;
    }
    // A lane that was given back long ago is there again, and what has ended in it is still shown.
    let again = NewJob { queue: queue(0), ..job(JobId::from_u128(u128::MAX)) };
    assert!(insert(&*store, vec![again]).await.iter().all(is_new));
    let claimed = store.claim(claim_of(2, 1, vec![queue(0)], 10)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    complete(&*store, &claimed).await;
    let counts = store.counts(&Name::default_name()).await.unwrap();
    let first = counts.iter().find(|counts| counts.queue == queue(0)).expect("the first queue");
    assert_eq!(first.completed, 2);
    assert_eq!(state_of(&*store, lone(0).id).await, Some(StateName::Completed));
}

#[tokio::test]
async fn lanes_with_live_jobs_are_never_given_to_others() {
    let Some(schema) = schema("live_jobs") else { return };
    let harness = harness(schema);
    let store = harness.open(Retention::default()).await;
    let later = store.now().await.unwrap().plus(Duration::from_secs(3_600));
    let all: Vec<NewJob> = (0..LANES_MAX)
        .map(|number| NewJob { run_at: (number % 2 == 0).then_some(later), ..lone(number) })
        .collect();
    for batch in all.chunks(BATCH_MAX) {
        assert!(insert(&*store, batch.to_vec()).await.iter().all(is_new));
    }
    // One runs, one waits, one will be due: they all count.
    let running = store.claim(claim_of(1, 1, vec![queue(1)], 1)).await.unwrap();
    assert_eq!(running.len(), 1);
    let beyond = || vec![lone(LANES_MAX)];
    let full = [Inserted::Refused(Refusal::LanesFull { max: LANES_MAX })];
    assert_eq!(insert(&*store, beyond()).await, full);
    store.sweep(1_000).await.unwrap();
    assert_eq!(insert(&*store, beyond()).await, full);
    complete(&*store, &running).await;
    assert!(insert(&*store, beyond()).await.iter().all(is_new));
    assert_eq!(insert(&*store, vec![lone(LANES_MAX + 1)]).await, full);
}

#[tokio::test]
async fn lanes_that_nothing_is_left_of_are_forgotten() {
    let Some(schema) = schema("forgotten") else { return };
    let lanes = "select count(*) from lane";
    let url = url_of(&schema);
    let (store, other) = (open(&url).await, open(&url).await);
    insert(&*store, (0..10).map(lone).collect()).await;
    insert(&*other, (10..20).map(lone).collect()).await;
    for number in 0..20 {
        let claimed = store.claim(claim_of(1, number + 1, vec![queue(number as usize)], 1)).await;
        complete(&*store, &claimed.unwrap()).await;
    }
    schema.psql(GIVE_BACK).unwrap();
    assert_eq!(schema.psql(lanes).unwrap(), "20", "ended jobs name them");
    for number in 0..20 {
        let id = lone(number).id;
        let command = taskwright_store::Command::Delete { namespace: Name::default_name(), id };
        store.control("test", vec![command]).await.unwrap();
    }
    schema.psql("select fold_tally(0, 1000)").unwrap();
    schema.psql(GIVE_BACK).unwrap();
    assert_eq!(schema.psql(lanes).unwrap(), "0");
    assert_eq!(schema.psql("select count(*) from counter").unwrap(), "0");
    // Both nodes still remember numbers that are gone.
    let jobs = |range: std::ops::Range<usize>| {
        range.map(|n| NewJob { id: JobId::from_u128(n as u128 + 1_000), ..lone(n) }).collect()
    };
    assert!(insert(&*store, jobs(0..10)).await.iter().all(is_new));
    assert!(insert(&*other, jobs(10..11)).await.iter().all(is_new));
    for number in [0, 10] {
        let claimed = other.claim(claim_of(2, number + 1, vec![queue(number as usize)], 5)).await;
        assert_eq!(claimed.unwrap().len(), 1, "queue {number}");
    }
}

#[tokio::test]
async fn a_lane_that_somebody_writes_to_is_not_given_back() {
    let Some(schema) = schema("written_to") else { return };
    let store = open(&url_of(&schema)).await;
    insert(&*store, vec![lone(0)]).await;
    let first = store.claim(claim_of(1, 1, vec![queue(0)], 1)).await.unwrap();
    complete(&*store, &first).await;
    let lane = schema.psql("select number from lane where kind = 0").unwrap();
    let application = Application::of(&schema).await;
    let functions = [
        format!(
            "insert_job(null, 0, 1, gen_random_uuid(), {lane}, 1, 0::int2, null, 1, null, null, \
             null, 'null')"
        ),
        format!(
            "insert_alike(null, 0, 1, {lane}, 0::int2, null, 9, null, null, null, \
             array[gen_random_uuid()], array[1::int8], array['null'])"
        ),
        format!(
            "insert_jobs(null, false, 0, 1000000, array[1], array[gen_random_uuid()], \
             array[{lane}], array[1::int8], array[0::int2], array[null::int8], array[9], \
             array[null::int8], array[null::int8], array[null::text], array['null'], null, null, \
             null, null, null, null, null, null, null, null, null, null)"
        ),
        format!(
            "adopt_jobs(array[1], array[gen_random_uuid()], array[{lane}], array[1::int8], \
             array[0::int2], array[0], array[9], array[0::int8], array[0::int8], \
             array[null::int8], array[null::int8], array[null::uuid], array[null::int8], \
             array[null::text], array['null'], null, null, null)"
        ),
    ];
    for (number, function) in functions.iter().enumerate() {
        let write = format!("begin; select {}.{function}", schema.name());
        application.batch_execute(&write).await.unwrap();
        let refused = schema.psql(GIVE_BACK).unwrap_err().to_string();
        assert!(refused.contains("55P03") || refused.contains("lock timeout"), "{refused}");
        application.batch_execute("commit").await.unwrap();
        schema.psql(GIVE_BACK).unwrap();
        let is_open = schema.psql(&format!("select is_open from lane where number = {lane}"));
        assert_eq!(is_open.unwrap(), "t", "{function}");
        let claimed = store.claim(claim_of(2, number as u64 + 1, vec![queue(0)], 9)).await.unwrap();
        // What is adopted is at intake until its importer saves it.
        assert_eq!(claimed.len(), usize::from(number < 3), "{function}");
        complete(&*store, &claimed).await;
        if number < 3 {
            schema.psql(GIVE_BACK).unwrap();
            let write = format!("select {}.{function}", schema.name());
            let closed = application.batch_execute(&write).await.unwrap_err();
            assert_eq!(closed.code().unwrap().code(), "TW004");
            insert(
                &*store,
                vec![NewJob { id: JobId::from_u128(7_000 + number as u128), ..lone(0) }],
            )
            .await;
            let ran = store.claim(claim_of(3, number as u64 + 1, vec![queue(0)], 9)).await.unwrap();
            complete(&*store, &ran).await;
        }
    }
}

/// Claims look at a slice of each lane first: jobs of unequal lanes come in one order all the same.
#[tokio::test]
async fn a_claim_over_many_lanes_takes_the_oldest_of_them_all() {
    let Some(schema) = schema("oldest") else { return };
    let mut random = Random::seeded();
    let harness = harness(schema);
    let store = harness.open(Retention::default()).await;
    let mut seq = 0;
    for round in 0..6 {
        // Long runs of one lane, or all of them mixed, with priorities or without.
        let (mut lane, mut expected) = (0, Vec::new());
        for _ in 0..6 {
            let jobs = (0..200).map(|_| {
                if random.below(if round % 2 == 0 { 100 } else { 2 }) == 0 {
                    lane = random.below(40) as usize;
                }
                let priority = if round < 3 { 0 } else { random.below(3) as i8 };
                NewJob { queue: queue(lane), priority, ..job(random.job_id()) }
            });
            let jobs: Vec<NewJob> = jobs.collect();
            let now = store.now().await.unwrap();
            for (job, answer) in jobs.iter().zip(insert(&*store, jobs.clone()).await) {
                let Inserted::New { seq } = answer else { panic!("{answer:?}") };
                expected.push((rank::fifo(now, job.priority, AGING_DEFAULT), seq));
            }
            harness.clock().advance(Duration::from_millis(random.below(3)));
        }
        expected.sort_unstable();
        let mut claimed = Vec::new();
        loop {
            seq += 1;
            let queues = (0..40).map(queue).collect();
            let max = 1 + random.below(400) as usize;
            let jobs = store.claim(claim_of(1, seq, queues, max)).await.unwrap();
            if jobs.is_empty() {
                break;
            }
            complete(&*store, &jobs).await;
            claimed.extend(jobs.into_iter().map(|job| job.seq));
        }
        let expected: Vec<u64> = expected.into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(claimed, expected, "round {round}");
    }
}

/// What the race is about: jobs that are written, come back and come due while lanes are closed.
struct Race {
    schema: Schema,
    inserted: AtomicUsize,
    completed: AtomicUsize,
    is_over: AtomicBool,
}

const QUEUES: usize = 6;
/// Calls of each of the writers.
const CALLS: usize = 60;

impl Race {
    /// Closes lanes all the time.
    async fn close(self: Arc<Self>) {
        while !self.is_over.load(Ordering::SeqCst) {
            let race = Arc::clone(&self);
            let closed = tokio::task::spawn_blocking(move || race.schema.psql(GIVE_BACK));
            // Writers may be in the way for longer than it waits.
            let _ = closed.await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    async fn write(self: Arc<Self>, store: Arc<PostgresStore>, mut random: Random) {
        for call in 0..CALLS {
            let count = if call % 3 == 0 { 20 } else { 1 };
            let now = store.now().await.unwrap();
            let soon = Duration::from_millis(1);
            let jobs = (0..count).map(|place| NewJob {
                queue: queue((call + place) % QUEUES),
                run_at: (place % 4 == 3 || call % 7 == 6).then(|| now.plus(soon)),
                ..job(random.job_id())
            });
            let answers = insert(&*store, jobs.collect()).await;
            assert!(answers.iter().all(is_new), "{answers:?}");
            self.inserted.fetch_add(answers.len(), Ordering::SeqCst);
            if call % 5 == 0 {
                let (id, queue) = (random.job_id(), queue(call % QUEUES));
                let name = self.schema.name();
                let enqueue =
                    format!("select {name}.enqueue('task', id => '{id}', queue => '{queue}')");
                self.schema.psql(&enqueue).unwrap();
                self.inserted.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Completes jobs, of which it gives a part back at first.
    async fn work(self: Arc<Self>, store: Arc<PostgresStore>, worker: u128) {
        let mut seq = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            seq += 1;
            let queues = (0..QUEUES).map(queue).collect();
            let claimed = store.claim(claim_of(worker, seq, queues, 7)).await.unwrap();
            let outcome = |job: &ClaimedJob| match (job.seq % 5, job.token.attempt) {
                (0, 1) => Outcome::Released,
                (1, 1) => Outcome::Snoozed { delay: Duration::from_millis(1) },
                _ => Outcome::Completed { result: None },
            };
            let reports = claimed.iter().map(|job| report(job.id, job.token, outcome(job)));
            store.report(reports.collect()).await.unwrap();
            let is_end = |job: &&ClaimedJob| matches!(outcome(job), Outcome::Completed { .. });
            self.completed.fetch_add(claimed.iter().filter(is_end).count(), Ordering::SeqCst);
            if claimed.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_job_is_left_behind_in_a_lane_that_is_given_back_meanwhile() {
    let Some(schema) = schema("left_behind") else { return };
    let mut random = Random::seeded();
    let url = url_of(&schema);
    let nodes = [open(&url).await, open(&url).await];
    let race = Arc::new(Race {
        schema,
        inserted: AtomicUsize::new(0),
        completed: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let sweeps: Vec<_> =
        nodes.iter().map(|node| sweeping(node, Duration::from_millis(20))).collect();
    let mut background = vec![tokio::spawn(Arc::clone(&race).close())];
    let mut writers = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let worker = race.clone().work(Arc::clone(node), number as u128 + 1);
        background.push(tokio::spawn(worker));
        for _ in 0..2 {
            let writer = race.clone().write(Arc::clone(node), random.fork());
            writers.push(tokio::spawn(writer));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let expected = race.inserted.load(Ordering::SeqCst);
    let deadline = Instant::now() + LONG;
    while race.completed.load(Ordering::SeqCst) < expected && Instant::now() < deadline {
        tokio::time::sleep(SECOND / 20).await;
    }
    race.is_over.store(true, Ordering::SeqCst);
    for task in background {
        task.await.unwrap();
    }
    let behind = "select l.queue, l.kind, l.is_open, j.state from job j \
        left join lane l on l.number = j.lane limit 10";
    assert_eq!(race.schema.psql(behind).unwrap(), "", "jobs left behind");
    assert_eq!(race.completed.load(Ordering::SeqCst), expected);
    sweeps.iter().for_each(tokio::task::JoinHandle::abort);
}
