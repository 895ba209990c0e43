//! Many ended jobs: they go whole buckets at a time, and everything that is told of them agrees.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use support::harness::PostgresHarness;
use taskwright_core::limits::{BATCH_MAX, ID_WINDOW};
use taskwright_core::{Extras, JobId, Json, Name, NewJob, OnConflict, StateName, WorkerId};
use taskwright_store::conformance::Harness;
use taskwright_store::{
    Claim, Filter, Insert, Inserted, Outcome, Profile, Report, Retention, Store,
};
use taskwright_testbed::{available, fresh_schema};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn job(number: u64) -> NewJob {
    NewJob {
        namespace: Name::default_name(),
        id: JobId::from_u128(u128::from(number)),
        task: Name::default_name(),
        queue: Name::default_name(),
        args: Json::from_trusted(number.to_string()),
        priority: 0,
        run_at: None,
        max_attempts: 1,
        timeout_ms: None,
        fingerprint: number,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    }
}

/// Lets a thousand jobs pass.
async fn pass(store: &Arc<dyn Store>, round: u64) {
    let size = BATCH_MAX as u64;
    let jobs: Vec<NewJob> = (round * size..(round + 1) * size).map(job).collect();
    store.insert(Insert { jobs, partial: false }).await.expect("an insert");
    let profile = Arc::new(Profile {
        queues: vec![Name::default_name()],
        tasks: None,
        labels: Default::default(),
    });
    let claim = Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(1),
        seq: round + 1,
        profile,
        max: BATCH_MAX,
        free: Default::default(),
        wait: Duration::ZERO,
        in_process: false,
    };
    let claimed = store.claim(claim).await.expect("a claim");
    assert_eq!(claimed.len(), BATCH_MAX);
    let report = |job: taskwright_store::ClaimedJob| Report {
        namespace: Name::default_name(),
        id: job.id,
        token: job.token,
        outcome: Outcome::Completed { result: None },
    };
    store.report(claimed.into_iter().map(report).collect()).await.expect("a report");
}

async fn sweep(store: &Arc<dyn Store>) -> usize {
    let mut pruned = 0;
    loop {
        let swept = store.sweep(1_000).await.expect("a sweep");
        pruned += swept.pruned;
        if !swept.more {
            return pruned;
        }
    }
}

/// The numbers of all jobs that a list shows.
async fn listed(store: &Arc<dyn Store>) -> HashSet<u128> {
    let mut found = HashSet::new();
    let mut before = None;
    loop {
        let filter = Filter {
            namespace: Name::default_name(),
            queue: None,
            task: None,
            state: Some(StateName::Completed),
            tag: None,
            before,
            limit: 1_000,
        };
        let page = store.list(filter).await.expect("a list");
        found.extend(page.jobs.iter().map(|job| job.id.as_u128()));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_buckets_are_dropped_whole() {
    let Some(schema) = available("postgres_buckets", fresh_schema()) else { return };
    let (url, name) = (schema.url().to_owned(), schema.name().to_owned());
    let look = format!("select count(*), min(number) from {name}.bucket");
    let schema = Arc::new(schema);
    let harness = PostgresHarness::new(&url, &name, Arc::clone(&schema));
    let retention = Retention { count: 16_000, age: DAY, ..Retention::default() };
    let store = harness.open(retention).await;
    let clock = harness.clock();

    let mut pruned = 0;
    for round in 0..40 {
        pass(&store, round).await;
        pruned += sweep(&store).await;
        clock.advance(Duration::from_millis(100));
    }
    pruned += sweep(&store).await;

    let counts = store.counts(&Name::default_name()).await.expect("counts");
    let kept = counts[0].completed;
    assert_eq!(kept + pruned as u64, 40_000, "every job is kept or pruned");
    assert!((16_000..=28_000).contains(&kept), "about as many as asked for: {kept}");
    let buckets = schema.psql(&look).expect("the buckets");
    assert!(!buckets.ends_with("|1"), "the first bucket is gone: {buckets}");

    let found = listed(&store).await;
    assert_eq!(found.len() as u64, kept);
    let newest = 40_000 - u128::from(kept);
    assert!((newest..40_000).all(|number| found.contains(&number)), "the newest are kept");

    // The id of a pruned job is known for a while, and no longer.
    let insert = || Insert { jobs: vec![job(0)], partial: false };
    let again = store.insert(insert()).await.expect("an insert");
    assert!(
        matches!(again[..], [Inserted::Existing { state: StateName::Completed, .. }]),
        "{again:?}"
    );
    clock.advance(ID_WINDOW + Duration::from_secs(60));
    sweep(&store).await;
    let again = store.insert(insert()).await.expect("an insert");
    assert!(matches!(again[..], [Inserted::New { .. }]), "{again:?}");

    // All that is too old goes at once, when its bucket is closed.
    clock.advance(2 * DAY);
    sweep(&store).await;
    clock.advance(2 * DAY);
    sweep(&store).await;
    let counts = store.counts(&Name::default_name()).await.expect("counts");
    assert!(counts[0].completed <= 10_000, "{}", counts[0].completed);
    assert_eq!(listed(&store).await.len() as u64, counts[0].completed);
    store.close().await.expect("a close");
}
