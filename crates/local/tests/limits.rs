//! Limits under workers that come and go, in virtual time: what each key was given, start by start.
//!
//! `TASKWRIGHT_KEYS` (500) sets how many keys there are, `TASKWRIGHT_SEED` a seed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{
    Extras, JobId, Json, Name, NewJob, OnConflict, Policy, Rate, Subject, Timestamp, WorkerId,
};
use taskwright_local::{LocalStore, MemoryOptions};
use taskwright_store::{
    Claim, ClaimedJob, Clock, Command, Insert, ManualClock, Outcome, Profile, Report, Retention,
    Store,
};

const MINUTE: Duration = Duration::from_secs(60);
const WORKERS: usize = 50;
const LIMIT: usize = 100_000;

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

struct Scene {
    store: Arc<LocalStore>,
    clock: Arc<ManualClock>,
    numbers: Numbers,
    profile: Arc<Profile>,
    /// Each worker that is there: its id and the number of its last claim.
    workers: Vec<(WorkerId, u64)>,
    joined: u128,
    held: Vec<(WorkerId, ClaimedJob)>,
}

fn namespace() -> Name {
    Name::default_name()
}

fn keyed(number: usize, key: usize) -> NewJob {
    let limit_keys = vec![Arc::from(format!("tenant:{key}"))];
    NewJob {
        namespace: namespace(),
        id: JobId::from_u128(number as u128 + 1),
        task: Name::new("call").unwrap(),
        queue: namespace(),
        args: Json::from_trusted(key.to_string()),
        priority: 0,
        run_at: None,
        max_attempts: 20,
        timeout_ms: None,
        fingerprint: number as u64,
        on_conflict: OnConflict::Keep,
        extras: Extras { limit_keys, ..Extras::default() },
    }
}

impl Scene {
    async fn new(policy: Policy) -> Scene {
        let seed = number("TASKWRIGHT_SEED").unwrap_or(4);
        println!("TASKWRIGHT_SEED={seed}");
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000_000)));
        let options = MemoryOptions { retention: Retention::default() };
        let store = LocalStore::open_memory(options, Arc::clone(&clock) as Arc<_>).unwrap();
        let subject = Subject::Key("tenant:*".into());
        let command = Command::SetPolicy { namespace: namespace(), subject, policy: Some(policy) };
        store.control("tester", vec![command]).await.unwrap();
        let profile =
            Profile { queues: vec![namespace()], tasks: None, labels: Default::default() };
        let profile = Arc::new(profile);
        let numbers = Numbers(seed as u64);
        Scene { store, clock, numbers, profile, workers: Vec::new(), joined: 0, held: Vec::new() }
    }

    async fn insert(&self, jobs: Vec<NewJob>) {
        for jobs in jobs.chunks(1_000) {
            let insert = Insert { jobs: jobs.to_vec(), partial: false };
            self.store.insert(insert).await.unwrap();
        }
    }

    /// Some join, some leave and say so, some are killed.
    async fn come_and_go(&mut self) {
        while self.workers.len() < WORKERS / 2
            || (self.workers.len() < WORKERS && self.numbers.below(3) == 0)
        {
            self.joined += 1;
            self.workers.push((WorkerId::from_u128(self.joined), 0));
        }
        if self.numbers.below(3) == 0 {
            let gone = self.numbers.below(self.workers.len());
            let (worker, _) = self.workers.swap_remove(gone);
            let (own, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.held).into_iter().partition(|(of, _)| *of == worker);
            self.held = others;
            if self.numbers.below(2) == 0 {
                self.tell(own, || Outcome::Released).await;
            }
        }
    }

    async fn tell(&self, jobs: Vec<(WorkerId, ClaimedJob)>, outcome: impl Fn() -> Outcome) {
        let report = |(_, job): (WorkerId, ClaimedJob)| Report {
            namespace: namespace(),
            id: job.id,
            token: job.token,
            outcome: outcome(),
        };
        self.store.report(jobs.into_iter().map(report).collect()).await.unwrap();
    }

    /// One worker takes what there is.
    async fn claim(&mut self) -> Vec<ClaimedJob> {
        let index = self.numbers.below(self.workers.len());
        let (worker, seq) = &mut self.workers[index];
        *seq += 1;
        let claim = Claim {
            namespace: namespace(),
            worker: *worker,
            seq: *seq,
            profile: Arc::clone(&self.profile),
            max: 200,
            free: Default::default(),
            wait: Duration::ZERO,
            in_process: false,
        };
        let worker = *worker;
        let claimed = self.store.claim(claim).await.unwrap();
        self.held.extend(claimed.iter().cloned().map(|job| (worker, job)));
        claimed
    }

    /// Some of what runs is done, now and then with a failure.
    async fn finish_some(&mut self) {
        let count = self.numbers.below(self.held.len() + 1);
        let done = self.held.split_off(self.held.len() - count);
        self.tell(done, || Outcome::Completed { result: None }).await;
    }
}

/// Each of many keys may start 10 jobs a minute, and has more to do than that.
#[tokio::test]
async fn a3_each_key_keeps_to_its_rate_and_uses_it() {
    let keys = number("TASKWRIGHT_KEYS").unwrap_or(500);
    let minutes = 2;
    let policy = Policy { rate: Some(Rate::new(10, MINUTE)), ..Policy::default() };
    let mut scene = Scene::new(policy).await;
    let each = 10 * minutes + 15;
    let began = scene.clock.now();
    // Keys begin at different times, so that they come due at different times.
    let delays: Vec<_> =
        (0..keys).map(|_| scene.numbers.below(120) as u32 * MINUTE / 1_200).collect();
    let job =
        |n: usize| NewJob { run_at: Some(began.plus(delays[n % keys])), ..keyed(n, n % keys) };
    scene.insert((0..keys * each).map(job).collect()).await;
    let until = began.plus(MINUTE * minutes as u32);
    let mut starts: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    let mut in_vain = 0;
    loop {
        scene.come_and_go().await;
        let swept = scene.store.sweep(LIMIT).await.unwrap();
        loop {
            let claimed = scene.claim().await;
            if claimed.is_empty() {
                break;
            }
            for job in claimed {
                starts.entry(job.args.as_str().to_owned()).or_default().push(job.started_at);
            }
        }
        // Whoever waits is woken by jobs that are ready, and there were none but those it took.
        let counts = scene.store.counts(&namespace()).await.unwrap();
        in_vain += counts.iter().map(|counts| counts.ready).sum::<u64>();
        scene.finish_some().await;
        let next = swept.next_due.unwrap_or(scene.clock.now()).max(scene.clock.now());
        let pause = next.since(scene.clock.now()).clamp(Duration::from_micros(1), MINUTE / 60);
        if scene.clock.now().plus(pause) >= until {
            break;
        }
        scene.clock.advance(pause);
    }
    assert_eq!(starts.len(), keys);
    let interval = MINUTE / 10;
    for (key, starts) in &starts {
        let too_soon = starts.windows(2).find(|pair| pair[1].since(pair[0]) < interval);
        assert_eq!(too_soon, None, "key {key} started again before its time");
    }
    let total: usize = starts.values().map(Vec::len).sum();
    let allowed = keys * (10 * minutes);
    println!("{total} starts of {allowed} allowed, {} workers", scene.joined);
    assert!(total * 100 >= allowed * 95 && total <= allowed + keys, "{total} of {allowed}");
    assert_eq!(in_vain, 0, "no job was ready that no worker got");
    scene.store.close().await.unwrap();
}

/// Each of many keys may run 2 jobs at once, whoever comes, goes or is killed.
#[tokio::test]
async fn a1_no_key_runs_more_than_it_may() {
    let keys = number("TASKWRIGHT_KEYS").unwrap_or(500) / 10;
    let policy = Policy { concurrency: Some(2), ..Policy::default() };
    let mut scene = Scene::new(policy).await;
    let jobs = keys * 40;
    scene.insert((0..jobs).map(|n| keyed(n, n % keys)).collect()).await;
    let (mut running_most, mut rounds) = (0, 0);
    loop {
        scene.come_and_go().await;
        scene.clock.advance(Duration::from_millis(500 + scene.numbers.below(1_500) as u64));
        scene.store.sweep(LIMIT).await.unwrap();
        scene.claim().await;
        let filter = taskwright_store::Filter {
            namespace: namespace(),
            queue: None,
            task: None,
            state: Some(taskwright_core::StateName::Running),
            tag: None,
            before: None,
            limit: 1_000,
        };
        let running = scene.store.list(filter).await.unwrap().jobs;
        let mut by_key: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for job in &running {
            *by_key.entry(Arc::clone(&job.extras.limit_keys[0])).or_default() += 1;
        }
        let most = by_key.values().max().copied().unwrap_or(0);
        assert!(most <= 2, "{most} jobs of one key run");
        running_most = running_most.max(running.len());
        scene.finish_some().await;
        let counts = scene.store.counts(&namespace()).await.unwrap();
        if counts.iter().all(|counts| counts.live() == 0) {
            break;
        }
        rounds += 1;
        assert!(rounds < 20_000, "it never ends: {counts:?}");
    }
    println!("{jobs} jobs in {rounds} rounds, at most {running_most} of {} at once", keys * 2);
    assert!(running_most * 10 >= keys * 2 * 8, "the room is used: {running_most}");
    scene.store.close().await.unwrap();
}
