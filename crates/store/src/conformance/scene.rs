//! A store, a clock and short words for what tests do with them.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{
    Extras, JobError, JobId, Json, Labels, Name, NewJob, OnConflict, StateName, Timestamp, Token,
};
use taskwright_core::{WorkerId, limits};

use super::Harness;
use crate::clock::{Clock, ManualClock};
use crate::contract::Store;
use crate::request::*;
use crate::retention::Retention;
use crate::view::*;

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);

pub struct Scene<'h> {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    harness: &'h dyn Harness,
}

/// A worker that numbers its claims.
#[derive(Clone)]
pub struct Hand {
    pub id: WorkerId,
    pub last_claim: u64,
    pub in_process: bool,
    pub profile: Arc<Profile>,
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

pub fn id(number: u128) -> JobId {
    JobId::from_u128(number)
}

/// A job with this id, in the default queue, of task `task`, with its number as args.
pub fn job(number: u128) -> NewJob {
    NewJob {
        namespace: Name::default_name(),
        id: id(number),
        task: name("task"),
        queue: Name::default_name(),
        args: Json::from_trusted(number.to_string()),
        priority: 0,
        run_at: None,
        max_attempts: limits::ATTEMPTS_DEFAULT,
        timeout_ms: None,
        fingerprint: number as u64,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    }
}

pub fn jobs(numbers: std::ops::RangeInclusive<u128>) -> Vec<NewJob> {
    numbers.map(job).collect()
}

pub fn profile(queues: &[&str], tasks: Option<&[&str]>) -> Arc<Profile> {
    let names = |texts: &[&str]| texts.iter().map(|text| name(text)).collect::<Vec<_>>();
    Arc::new(Profile { queues: names(queues), tasks: tasks.map(names), labels: Labels::default() })
}

pub fn failed() -> Outcome {
    Outcome::Failed {
        error: JobError::new("error", "it broke"),
        retry: Retry::After(Duration::ZERO),
    }
}

pub fn completed() -> Outcome {
    Outcome::Completed { result: None }
}

pub fn applied(state: StateName) -> Reported {
    Reported::Applied { state }
}

pub fn cancel(number: u128, reason: &str) -> Command {
    Command::Cancel { namespace: Name::default_name(), id: id(number), reason: reason.into() }
}

pub fn redrive(number: u128, attempts: u32) -> Command {
    Command::Redrive { namespace: Name::default_name(), id: id(number), attempts }
}

pub fn delete(number: u128) -> Command {
    Command::Delete { namespace: Name::default_name(), id: id(number) }
}

pub fn pause(queue: &str) -> Command {
    Command::Pause { namespace: Name::default_name(), queue: name(queue) }
}

pub fn resume(queue: &str) -> Command {
    Command::Resume { namespace: Name::default_name(), queue: name(queue) }
}

pub fn done(state: StateName) -> Controlled {
    Controlled::Done { state: Some(state) }
}

/// Everything of the default namespace, in pages of the largest size.
pub fn everything() -> Filter {
    Filter {
        namespace: Name::default_name(),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit: limits::PAGE_MAX,
    }
}

pub fn numbers(claimed: &[ClaimedJob]) -> Vec<u128> {
    claimed.iter().map(|job| job.id.as_u128()).collect()
}

pub fn held(claimed: &[ClaimedJob]) -> Vec<(JobId, Token)> {
    claimed.iter().map(|job| (job.id, job.token)).collect()
}

impl Hand {
    /// A worker that serves the default queue and every task.
    pub fn new(number: u128) -> Self {
        let profile = profile(&["default"], None);
        Hand { id: WorkerId::from_u128(number), last_claim: 0, in_process: false, profile }
    }

    pub fn serving(number: u128, queues: &[&str], tasks: Option<&[&str]>) -> Self {
        Hand { profile: profile(queues, tasks), ..Hand::new(number) }
    }

    /// A claim with this number.
    pub fn claim(&self, seq: u64, max: usize) -> Claim {
        Claim {
            namespace: Name::default_name(),
            worker: self.id,
            seq,
            profile: Arc::clone(&self.profile),
            max,
            free: Default::default(),
            wait: Duration::ZERO,
            in_process: self.in_process,
        }
    }

    /// The next claim of this worker.
    pub fn next_claim(&mut self, max: usize) -> Claim {
        self.last_claim += 1;
        self.claim(self.last_claim, max)
    }

    pub fn heartbeat(&self, settled: u64, held: Vec<(JobId, Token)>) -> Heartbeat {
        Heartbeat {
            namespace: Name::default_name(),
            worker: self.id,
            settled,
            held,
            progress: Vec::new(),
            info: WorkerInfo::default(),
        }
    }
}

impl<'h> Scene<'h> {
    pub async fn open(harness: &'h dyn Harness) -> Self {
        Scene::keeping(harness, Retention::default()).await
    }

    pub async fn keeping(harness: &'h dyn Harness, retention: Retention) -> Self {
        Scene { store: harness.open(retention).await, clock: harness.clock(), harness }
    }

    /// The same scene after a restart of the store; `None` where nothing outlives it.
    pub async fn restarted(self) -> Option<Self> {
        let Scene { store, clock, harness } = self;
        let store = harness.reopen(store).await?;
        Some(Scene { store, clock, harness })
    }

    /// The same words for another store that runs by the same clock.
    pub fn beside(&self, store: Arc<dyn Store>) -> Scene<'h> {
        Scene { store, clock: Arc::clone(&self.clock), harness: self.harness }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn insert(&self, jobs: Vec<NewJob>) -> Vec<Inserted> {
        self.store.insert(Insert { jobs, partial: false }).await.expect("an insert")
    }

    /// Inserts jobs that nobody knows yet.
    pub async fn add(&self, jobs: Vec<NewJob>) {
        let answers = self.insert(jobs).await;
        let is_new = |answer: &Inserted| matches!(answer, Inserted::New { .. });
        assert!(answers.iter().all(is_new), "all of them are new: {answers:?}");
    }

    pub async fn take(&self, worker: &mut Hand, max: usize) -> Vec<ClaimedJob> {
        self.store.claim(worker.next_claim(max)).await.expect("a claim")
    }

    /// Claims exactly one job.
    pub async fn take_one(&self, worker: &mut Hand) -> ClaimedJob {
        let mut claimed = self.take(worker, 1).await;
        assert_eq!(claimed.len(), 1, "a job is ready");
        claimed.remove(0)
    }

    pub async fn report(&self, job: &ClaimedJob, outcome: Outcome) -> Reported {
        let mut answers = self.report_all(vec![(job, outcome)]).await;
        answers.remove(0)
    }

    pub async fn report_all(&self, reports: Vec<(&ClaimedJob, Outcome)>) -> Vec<Reported> {
        let reports: Vec<_> = reports
            .into_iter()
            .map(|(job, outcome)| Report {
                namespace: Name::default_name(),
                id: job.id,
                token: job.token,
                outcome,
            })
            .collect();
        let count = reports.len();
        let answers = self.store.report(reports).await.expect("a report");
        assert_eq!(answers.len(), count, "one answer for each report");
        answers
    }

    pub async fn beat(&self, worker: &Hand, settled: u64, held: &[ClaimedJob]) -> HeartbeatReply {
        let heartbeat = worker.heartbeat(settled, self::held(held));
        self.store.heartbeat(heartbeat).await.expect("a heartbeat")
    }

    pub async fn command(&self, command: Command) -> Controlled {
        let mut answers = self.store.control("tester", vec![command]).await.expect("a command");
        answers.remove(0)
    }

    /// Sweeps until there is nothing left to do.
    pub async fn sweep(&self) -> Swept {
        let mut total = Swept::default();
        loop {
            let swept = self.store.sweep(10_000).await.expect("a sweep");
            total.due += swept.due;
            total.lapsed += swept.lapsed;
            total.timed_out += swept.timed_out;
            total.expired += swept.expired;
            total.promoted += swept.promoted;
            total.pruned += swept.pruned;
            if !swept.more {
                return total;
            }
        }
    }

    /// Lets the clock run for so many seconds, with a sweep in each.
    pub async fn serve(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(SECOND);
            self.sweep().await;
        }
    }

    /// Lets a lease end that nobody renews.
    pub async fn outlive_lease(&self) {
        self.serve(limits::LEASE.as_secs() + 1).await;
    }

    pub async fn find(&self, number: u128) -> Option<Job> {
        let jobs = self.store.get(&Name::default_name(), &[id(number)]).await.expect("a get");
        assert_eq!(jobs.len(), 1, "one answer for each id");
        jobs.into_iter().next().flatten()
    }

    pub async fn job(&self, number: u128) -> Job {
        self.find(number).await.expect("the job is there")
    }

    pub async fn state(&self, number: u128) -> StateName {
        self.job(number).await.life.state.name()
    }

    pub async fn list(&self, filter: Filter) -> Page {
        self.store.list(filter).await.expect("a list")
    }

    pub async fn counts(&self, queue: &str) -> QueueCounts {
        let counts = self.store.counts(&Name::default_name()).await.expect("counts");
        let queue = name(queue);
        counts.into_iter().find(|c| c.queue == queue).unwrap_or(QueueCounts::empty(queue))
    }

    pub async fn peek(&self, max: usize) -> Vec<u128> {
        let queue = Name::default_name();
        let jobs = self.store.peek(&Name::default_name(), &queue, max).await.expect("a peek");
        jobs.iter().map(|job| job.id.as_u128()).collect()
    }
}
