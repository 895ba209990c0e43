//! What the store shows when all is quiet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taskwright_core::limits::LEASE;
use taskwright_core::{Job, JobId, Name, StateName};
use taskwright_store::{Filter, QueueCounts, Store};
use taskwright_testbed::Postgres;

use crate::history::{Fact, History, now};
use crate::judge::Shown;
use crate::process::named;
use crate::support::jobs::{Hand, complete};
use crate::support::random::Random;

/// Counters and rows, as one statement sees them: what differs.
const DIFFERENCES: &str = "
    with counted as (
        select lane, state, sum(amount) as jobs from (
            select lane, state, amount from taskwright.counter
            union all select lane, state, delta from taskwright.tally) c
        where state < 100 group by lane, state
    ), there as (
        select lane, state, count(*) as jobs from (
            select lane, state from taskwright.job
            union all select lane, state from taskwright.dead
            union all select lane, state from taskwright.ended) j
        group by lane, state
    )
    select lane, state, counted.jobs, there.jobs from counted full join there using (lane, state)
    where coalesce(counted.jobs, 0) <> coalesce(there.jobs, 0)";

/// The counters are right at any moment.
pub fn assert_counters(server: &Postgres) {
    let differences = server.psql(DIFFERENCES).unwrap();
    assert_eq!(differences, "", "lane|state|counted|there");
}

async fn counted(store: &dyn Store) -> QueueCounts {
    let counts = store.counts(&Name::default_name()).await.unwrap();
    counts.into_iter().next().unwrap()
}

/// Nobody runs anything any more: what was running is over within a lease and 2 s.
pub async fn until_nothing_runs(store: &dyn Store, since: Instant) {
    let bound = LEASE + Duration::from_secs(2);
    loop {
        store.sweep(10_000).await.unwrap();
        let running = counted(store).await.running;
        if running == 0 {
            println!("nothing ran any more after {:?}", since.elapsed());
            return;
        }
        assert!(since.elapsed() < bound, "{running} jobs run, and nobody runs them");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Completes whatever is there.
pub async fn drain(store: &dyn Store, history: &History, random: &mut Random) {
    let mut hand = Hand::new(random);
    let deadline = Instant::now() + Duration::from_secs(120);
    while counted(store).await.live() > 0 {
        assert!(Instant::now() < deadline, "not drained: {:?}", counted(store).await);
        store.sweep(10_000).await.unwrap();
        let sent = now();
        let jobs = hand.take(store, 500, Duration::from_millis(100)).await;
        history.note([Fact::Alive { worker: hand.id, sent }]);
        let facts = jobs.iter().flat_map(|job| {
            let (worker, id, token) = (hand.id, job.id, job.token);
            let outcome = "completed".to_owned();
            [Fact::Given { worker, id, token }, Fact::Reporting { id, token, outcome }]
        });
        history.note(facts);
        let answers = complete(store, &jobs).await;
        history.note(jobs.iter().zip(&answers).map(|(job, answer)| Fact::Reported {
            id: job.id,
            token: job.token,
            outcome: "completed".to_owned(),
            answer: named(answer).to_owned(),
        }));
    }
}

/// All jobs of the store.
pub async fn shown(store: &dyn Store) -> BTreeMap<JobId, Shown> {
    let namespace = Name::default_name();
    let mut filter = Filter {
        namespace: namespace.clone(),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit: 1_000,
    };
    let mut shown = BTreeMap::new();
    loop {
        let page = store.list(filter.clone()).await.unwrap();
        let ids: Vec<JobId> = page.jobs.iter().map(|job| job.id).collect();
        for job in store.get(&namespace, &ids).await.unwrap() {
            let job = job.expect("what a list shows is there");
            shown.insert(job.id, of(&job));
        }
        let Some(next) = page.next else { return shown };
        filter.before = Some(next);
    }
}

fn of(job: &Job) -> Shown {
    let result = job.result.as_ref().and_then(|text| text.as_str().trim_matches('"').parse().ok());
    Shown { state: job.life.state.name(), attempt: job.life.attempt, result }
}

/// `counts` says what a list shows.
pub async fn assert_counts(store: &dyn Store, shown: &BTreeMap<JobId, Shown>) {
    let counts = counted(store).await;
    for state in StateName::ALL {
        let listed = shown.values().filter(|job| job.state == state).count() as u64;
        assert_eq!(counts.of(state), listed, "{state:?} of {counts:?}");
    }
}
