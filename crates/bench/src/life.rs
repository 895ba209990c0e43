//! Scheduling: jobs put in, handed out and finished by callers that do nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::{Json, Name, WorkerId};
use taskwright_engine::{Api, Error, ErrorCode, JobRequest, Result};
use taskwright_store::{Claim, ClaimedJob, Outcome, Profile, Report};

use crate::measure::{Tally, Window};

/// A caller with a worker's name, against any store.
#[derive(Clone)]
pub struct Caller {
    api: Arc<dyn Api>,
    namespace: Name,
    queue: Name,
    task: Name,
    args: Json,
    profile: Arc<Profile>,
    worker: WorkerId,
    claims: u64,
    /// Over so many limit keys its jobs are spread; 0: they have none.
    limit_keys: usize,
    /// Whether each key is a group as well.
    in_groups: bool,
}

/// Args of 200 bytes, as every measurement uses them.
pub fn args_of_200_bytes() -> Json {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(200 - 11));
    Json::from_trusted(text)
}

fn name(text: &'static str) -> Name {
    Name::new(text).unwrap_or_else(|_| Name::default_name())
}

impl Caller {
    /// The caller with this number.
    pub fn new(api: &Arc<dyn Api>, number: u64) -> Self {
        let (queue, task) = (name("bench"), name("noop"));
        Caller {
            api: Arc::clone(api),
            namespace: Name::default_name(),
            profile: Arc::new(Profile {
                queues: vec![queue.clone()],
                tasks: Some(vec![task.clone()]),
                labels: Default::default(),
            }),
            queue,
            task,
            args: args_of_200_bytes(),
            worker: worker_id(number),
            claims: 0,
            limit_keys: 0,
            in_groups: false,
        }
    }

    /// The same, but each job has one of so many limit keys, in turn.
    pub fn with_limit_keys(self, limit_keys: usize) -> Self {
        Caller { limit_keys, ..self }
    }

    /// The same, but each job is of a group that is called as its limit key.
    pub fn in_groups(self) -> Self {
        Caller { in_groups: true, ..self }
    }

    /// The queue of its jobs.
    pub fn queue(&self) -> Name {
        self.queue.clone()
    }

    /// A job as this caller asks for it.
    pub fn request(&self) -> JobRequest {
        let mut request = JobRequest::new(self.task.clone(), self.args.clone());
        request.queue = self.queue.clone();
        request
    }

    /// Puts in `batch` jobs.
    pub async fn enqueue(&self, batch: usize) -> Result<()> {
        let job = |number: usize| {
            let mut request = self.request();
            if let Some(key) = number.checked_rem(self.limit_keys) {
                let tenant: Arc<str> = format!("tenant:{key}").into();
                request.limit_keys.push(Arc::clone(&tenant));
                request.group = self.in_groups.then_some(tenant);
            }
            request
        };
        let jobs = (0..batch).map(job).collect();
        self.api.enqueue(jobs, false).await.map(|_| ())
    }

    /// Takes up to `max` jobs, without waiting for any.
    pub async fn claim(&mut self, max: usize) -> Result<Vec<ClaimedJob>> {
        self.claim_waiting(max, Duration::ZERO).await
    }

    /// Takes up to `max` jobs, and waits for the first.
    pub async fn claim_waiting(&mut self, max: usize, wait: Duration) -> Result<Vec<ClaimedJob>> {
        self.claims += 1;
        let claim = Claim {
            namespace: self.namespace.clone(),
            worker: self.worker,
            seq: self.claims,
            profile: Arc::clone(&self.profile),
            max,
            free: Default::default(),
            wait,
            in_process: true,
        };
        self.api.claim(claim).await
    }

    /// Reports jobs with an outcome each.
    pub async fn report(
        &self,
        jobs: &[ClaimedJob],
        outcome: impl Fn(&ClaimedJob) -> Outcome,
    ) -> Result<()> {
        let report = |job: &ClaimedJob| Report {
            namespace: self.namespace.clone(),
            id: job.id,
            token: job.token,
            outcome: outcome(job),
        };
        self.api.report(jobs.iter().map(report).collect()).await.map(|_| ())
    }

    /// Reports jobs as completed.
    pub async fn complete(&self, jobs: &[ClaimedJob]) -> Result<()> {
        self.report(jobs, |_| Outcome::Completed { result: None }).await
    }
}

/// The id of the worker with this number, new in every run.
pub fn worker_id(number: u64) -> WorkerId {
    use std::hash::{BuildHasher, RandomState};
    let chance = u128::from(RandomState::new().hash_one(number));
    WorkerId::from_u128((chance << 64) | u128::from(number))
}

/// Full lives: `callers` at once, `batch` jobs a call.
pub async fn lives(
    api: &Arc<dyn Api>,
    callers: usize,
    batch: usize,
    length: Duration,
) -> Result<Tally> {
    let window = Window::new(length);
    let life = move |mut caller: Caller| async move {
        let mut tally = Tally::default();
        while !window.is_over() {
            let began = Instant::now();
            caller.enqueue(batch).await?;
            tally.latencies.note(began);
            let began = Instant::now();
            let jobs = caller.claim(batch).await?;
            tally.latencies.note(began);
            let began = Instant::now();
            caller.complete(&jobs).await?;
            tally.latencies.note(began);
            tally.jobs += jobs.len() as u64;
        }
        tally.elapsed = window.began.elapsed();
        Ok::<_, Error>(tally)
    };
    let tasks: Vec<_> =
        (0..callers).map(|n| tokio::spawn(life(Caller::new(api, n as u64)))).collect();
    total(tasks).await
}

/// Enqueues only: `callers` at once, `batch` jobs a call.
pub async fn enqueues(
    api: &Arc<dyn Api>,
    callers: usize,
    batch: usize,
    length: Duration,
) -> Result<Tally> {
    let window = Window::new(length);
    let put = move |caller: Caller| async move {
        let mut tally = Tally::default();
        while !window.is_over() {
            let began = Instant::now();
            caller.enqueue(batch).await?;
            tally.latencies.note(began);
            tally.jobs += batch as u64;
        }
        tally.elapsed = window.began.elapsed();
        Ok::<_, Error>(tally)
    };
    let tasks: Vec<_> =
        (0..callers).map(|n| tokio::spawn(put(Caller::new(api, n as u64)))).collect();
    total(tasks).await
}

/// Claims and completes all that is ready: `callers` at once, `batch` jobs a call.
pub async fn drain(api: &Arc<dyn Api>, callers: usize, batch: usize) -> Result<Tally> {
    let began = Instant::now();
    let take = move |mut caller: Caller| async move {
        let mut tally = Tally::default();
        loop {
            let called = Instant::now();
            let jobs = caller.claim(batch).await?;
            if jobs.is_empty() {
                break;
            }
            caller.complete(&jobs).await?;
            tally.latencies.note(called);
            tally.jobs += jobs.len() as u64;
            tally.elapsed = began.elapsed();
        }
        Ok::<_, Error>(tally)
    };
    let tasks: Vec<_> =
        (0..callers).map(|n| tokio::spawn(take(Caller::new(api, n as u64)))).collect();
    total(tasks).await
}

/// Puts in `count` jobs, a thousand a call.
pub async fn preload(api: &Arc<dyn Api>, count: usize) -> Result<()> {
    preload_by(&Caller::new(api, 0), count).await
}

/// The same, as this caller asks for jobs.
pub async fn preload_by(caller: &Caller, count: usize) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let batch = left.min(1_000);
        caller.enqueue(batch).await?;
        left -= batch;
    }
    Ok(())
}

async fn total(tasks: Vec<tokio::task::JoinHandle<Result<Tally>>>) -> Result<Tally> {
    let mut total = Tally::default();
    for task in tasks {
        let tally = task.await.map_err(|error| {
            Error::new(
                ErrorCode::Unavailable,
                format!("a caller of the measurement ended early: {error}"),
            )
        })?;
        total.join(tally?);
    }
    Ok(total)
}
