//! A writer that stays open for long strands nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use taskwright_core::{JobId, Name};
use taskwright_postgres::{PostgresStore, transaction};
use taskwright_store::{Insert, Store};
use taskwright_testbed::{available, fresh_schema};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::client::Application;
use crate::support::jobs::{Hand, SECOND, complete, job, open, sweeping, url_of};
use crate::support::random::Random;

/// How long the writer stays open.
const OPEN: Duration = Duration::from_secs(3);
/// A claim that looks everywhere comes at least so often; the rest is for slow machines.
const FOUND: Duration = Duration::from_secs(6);

/// Jobs that wait at most: what comes late shall not stand behind a long line.
const WAITING_MAX: usize = 200;

/// Inserts jobs of the same lane until it is aborted; `waiting` says how many wait.
fn load(
    store: &Arc<PostgresStore>,
    mut random: Random,
    waiting: &Arc<AtomicUsize>,
) -> JoinHandle<()> {
    let (store, waiting) = (Arc::clone(store), Arc::clone(waiting));
    tokio::spawn(async move {
        loop {
            while waiting.load(Ordering::Relaxed) > WAITING_MAX {
                sleep(Duration::from_millis(1)).await;
            }
            waiting.fetch_add(20, Ordering::Relaxed);
            let jobs = (0..20).map(|_| job(random.job_id())).collect();
            store.insert(Insert { jobs, partial: false }).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    })
}

/// Claims and completes until it has had all of these, and says when each came.
async fn until_claimed(
    store: &PostgresStore,
    random: &mut Random,
    wanted: [JobId; 2],
    waiting: &AtomicUsize,
) -> [Instant; 2] {
    let mut hand = Hand::new(random);
    let deadline = Instant::now() + OPEN + FOUND + 10 * SECOND;
    let mut found = [None; 2];
    loop {
        assert!(Instant::now() < deadline, "stranded: {wanted:?} {found:?}");
        let jobs = hand.take(store, 100, SECOND).await;
        waiting.fetch_sub(jobs.len().min(waiting.load(Ordering::Relaxed)), Ordering::Relaxed);
        for (id, found) in wanted.iter().zip(&mut found) {
            if jobs.iter().any(|job| job.id == *id) {
                *found = Some(Instant::now());
            }
        }
        complete(store, &jobs).await;
        if let [Some(first), Some(second)] = found {
            return [first, second];
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_transaction_wrote_is_claimed_after_its_commit() {
    let test = "postgres_transactional::a_slow_transaction";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let sweeper = sweeping(&store, Duration::from_millis(200));
    let known = random.job_id();
    store.insert(Insert { jobs: vec![job(known)], partial: false }).await.unwrap();
    let waiting = Arc::default();
    let loads = load(&store, random.fork(), &waiting);

    // One enqueues as applications do; the other writes the job itself, as a node would whose
    // statement takes so long.
    let (enqueued, written) = (random.job_id(), random.job_id());
    let application = Application::of(&schema).await;
    application.batch_execute("begin").await.unwrap();
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    in_schema.enqueue(&*application, &job(enqueued)).await.unwrap();
    let node = Application::of(&schema).await;
    let write = format!(
        "begin; select {0}.insert_jobs(null, false, 1000000, 1000000, array[namespace], \
         array['{written}'::uuid], array[lane], array[1::int8], array[0::int2], \
         array[null::int8], array[9], array[null::int8], array[null::int8], array[null::text], \
         array['1'], null, null, null, null, null, null, null, null, null, null, null, null) from {0}.ident join (select number as lane from {0}.lane where kind = 0) l \
         on true where id = '{known}'",
        schema.name()
    );
    node.batch_execute(&write).await.unwrap();
    let committed = async {
        sleep(OPEN).await; // tidy: allow sleep: so long the writer is open
        application.batch_execute("commit").await.unwrap();
        node.batch_execute("commit").await.unwrap();
        Instant::now()
    };
    let claimed = until_claimed(&store, &mut random, [enqueued, written], &waiting);
    let (committed, claimed) = tokio::join!(committed, claimed);
    for (what, claimed) in ["enqueued", "written"].into_iter().zip(claimed) {
        assert!(claimed > committed, "{what}: claimed before the commit");
        println!("{what}: claimed {:?} after the commit", claimed - committed);
        assert!(claimed - committed < FOUND, "{what}: {:?}", claimed - committed);
    }
    loads.abort();
    sweeper.abort();
    assert!(!store.counts(&Name::default_name()).await.unwrap().is_empty());
}
