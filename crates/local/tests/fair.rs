//! Fair queues with many jobs and many groups.
//!
//! `TASKWRIGHT_JOBS` (20,000) sets how many there are.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{
    Extras, JobId, Json, Labels, Name, NewJob, OnConflict, Policy, Subject, Timestamp, WorkerId,
};
use taskwright_local::{LocalStore, MemoryOptions};
use taskwright_store::{
    Claim, ClaimedJob, Command, Insert, ManualClock, Outcome, Profile, Report, Retention, Store,
};

fn how_many() -> usize {
    std::env::var("TASKWRIGHT_JOBS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

struct Scene {
    store: Arc<LocalStore>,
    inserted: u128,
    claims: u64,
}

impl Scene {
    /// A store whose default queue is fair; groups that begin with `gold` have a weight of 3.
    async fn new() -> Scene {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000_000)));
        let options = MemoryOptions { retention: Retention::default() };
        let store = LocalStore::open_memory(options, clock).unwrap();
        let queue = Name::default_name();
        let fair = Policy { fair: true, ..Policy::default() };
        let gold = Subject::Group { queue: queue.clone(), group: "gold*".into() };
        let weight = Policy { weight: Some(3), ..Policy::default() };
        let policies = [(Subject::Queue(queue), fair), (gold, weight)];
        let set = |(subject, policy)| Command::SetPolicy {
            namespace: Name::default_name(),
            subject,
            policy: Some(policy),
        };
        store.control("tester", policies.map(set).into()).await.unwrap();
        Scene { store, inserted: 0, claims: 0 }
    }

    /// Adds a job for each of these groups.
    async fn add(&mut self, groups: impl Iterator<Item = String>) {
        let mut jobs = Vec::new();
        for group in groups {
            self.inserted += 1;
            jobs.push(NewJob {
                namespace: Name::default_name(),
                id: JobId::from_u128(self.inserted),
                task: Name::new("call").unwrap(),
                queue: Name::default_name(),
                args: Json::from_trusted("0".to_owned()),
                priority: 0,
                run_at: None,
                max_attempts: 20,
                timeout_ms: None,
                fingerprint: 0,
                on_conflict: OnConflict::Keep,
                extras: Extras { group: Some(group.into()), ..Extras::default() },
            });
        }
        for jobs in jobs.chunks(1_000) {
            let insert = Insert { jobs: jobs.to_vec(), partial: false };
            self.store.insert(insert).await.unwrap();
        }
    }

    /// Claims so many and completes them; the groups of those that started, in order of turns.
    async fn work_off(&mut self, max: usize) -> Vec<String> {
        self.claims += 1;
        let profile = Arc::new(Profile {
            queues: vec![Name::default_name()],
            tasks: None,
            labels: Labels::default(),
        });
        let claim = Claim {
            namespace: Name::default_name(),
            worker: WorkerId::from_u128(1),
            profile,
            max,
            free: Default::default(),
            seq: self.claims,
            wait: Duration::ZERO,
            in_process: false,
        };
        let jobs = self.store.claim(claim).await.unwrap();
        let report = |job: &ClaimedJob| Report {
            namespace: Name::default_name(),
            id: job.id,
            token: job.token,
            outcome: Outcome::Completed { result: None },
        };
        self.store.report(jobs.iter().map(report).collect()).await.unwrap();
        jobs.iter().map(|job| job.extras.group.as_deref().unwrap().to_owned()).collect()
    }
}

fn named(group: &str, count: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n(group.to_owned(), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_one_job_waits_for_none_of_a_crowd() {
    let mut scene = Scene::new().await;
    scene.add(named("a", how_many())).await;
    assert_eq!(scene.work_off(100).await, vec!["a"; 100]);
    scene.add(named("b", 1)).await;
    let next = [scene.work_off(1).await, scene.work_off(1).await].concat();
    assert!(next.contains(&"b".to_owned()), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_hold_however_many_are_claimed_at_once() {
    let mut scene = Scene::new().await;
    scene.add(named("other", how_many() / 2)).await;
    scene.add(named("gold", how_many() / 2)).await;
    let mut starts: BTreeMap<String, usize> = BTreeMap::new();
    for size in [1, 7, 50, 1, 300, 100, 2, 39, 500] {
        for group in scene.work_off(size).await {
            *starts.entry(group).or_default() += 1;
        }
    }
    let (gold, other) = (starts["gold"], starts["other"]);
    assert_eq!(gold + other, 1_000);
    assert!((740..=760).contains(&gold), "{gold} to {other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_of_many_has_its_turn() {
    let groups = how_many() / 4;
    let mut scene = Scene::new().await;
    scene.add((0..groups).chain(0..groups).map(|group| group.to_string())).await;
    scene.add((0..groups).map(|group| format!("{}", group % 10))).await;
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut started = 0;
    while started < groups {
        for group in scene.work_off(1_000.min(groups - started)).await {
            *first.entry(group).or_default() += 1;
            started += 1;
        }
    }
    assert_eq!(first.len(), groups, "each has started one before any starts its second");
}
