//! The real engine in a test, with a clock that only the test moves.
//!
//! Nothing here is a stand-in: jobs go through the engine, a store in memory and the code that runs
//! them in a worker. Only time does not pass by itself, so that a test of "three retries over two
//! days, and the worker dies at the second" takes milliseconds.
//!
//! ```
//! use taskwright::testing::TestApp;
//! use taskwright::{Context, StateName, TaskError, task};
//!
//! #[task(retry = "12h")]
//! async fn flaky(ctx: &Context) -> Result<u32, TaskError> {
//!     if ctx.failures() < 2 { Err(TaskError::new("not yet")) } else { Ok(ctx.attempt()) }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let app = TestApp::new()?.serve(flaky);
//! let job = app.enqueue(flaky::job()).await?;
//! app.run_until_idle().await?; // the first failure
//! app.advance("12h").await?;
//! app.lose_worker().await?; // the second attempt is never heard of again
//! app.run_until_idle().await?; // the second failure
//! assert_eq!(job.status().await?, Some(StateName::Available));
//! app.advance("12h").await?;
//! app.run_until_idle().await?;
//! assert_eq!(job.result().await?, 4);
//! # Ok(()) }) }
//! ```

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskwright_core::limits::{COST_MAX, LEASE, PAGE_MAX, RESOURCE_MAX};
use taskwright_core::{
    InvalidLabel, Job as StoredJob, JobId, Labels, Name, Resources, StateName, Timestamp, Token,
    WorkerId,
};
use taskwright_engine::{Api, Engine, Error, ErrorCode, Result};
use taskwright_store::{
    Claim, ClaimedJob, Events, Filter, Heard, ManualClock, Outcome, Profile, Report, Reported,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::app::{Taskwright, named};
use crate::backend;
use crate::context::{Context, Saving};
use crate::handler::Handler;
use crate::job::IntoDuration;
use crate::task::Task;
use crate::worker::{Limits, Stop, supervise};

/// Steps in which leases are served while the clock is moved.
const STEP: Duration = Duration::from_secs(1);
/// Attempts after which a test that never comes to rest is given up.
const ATTEMPTS_MAX: usize = 100_000;
/// Attempts that may wait for each other at a time.
const TOGETHER_MAX: usize = 64;
/// Where the clock starts: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// An application for a test. Everything of [`Taskwright`] can be called on it.
pub struct TestApp {
    app: Taskwright,
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    handlers: HashMap<Name, Arc<dyn Handler>>,
    worker: WorkerId,
    labels: Labels,
    /// Resources that jobs take; its worker has enough of each.
    resources: Mutex<Resources>,
    claims: AtomicU64,
    repeats_reports: AtomicBool,
}

/// An attempt whose worker was lost.
#[derive(Clone, Debug)]
pub struct LostAttempt {
    /// The job.
    pub id: JobId,
    /// The fence of the attempt.
    pub token: Token,
    /// The worker that was lost with it.
    pub worker: WorkerId,
}

/// What [`TestApp::run_until_idle`] did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Attempts that were run.
    pub attempts: usize,
    /// Those of them that completed their job.
    pub completed: usize,
}

impl TestApp {
    /// An application over an empty store in memory, at 2026-01-01T00:00:00Z.
    pub fn new() -> Result<TestApp> {
        let clock = Arc::new(ManualClock::new(START));
        let store = backend::memory(clock.clone(), Default::default())?;
        let engine = Engine::start_unswept(store)?;
        let api: Arc<dyn Api> = engine.clone();
        let app = Taskwright::over(api, Name::default_name(), true);
        Ok(TestApp {
            worker: app.shared.ids.worker_id()?,
            app,
            engine,
            clock,
            handlers: HashMap::new(),
            labels: Labels::default(),
            resources: Mutex::default(),
            claims: AtomicU64::new(0),
            repeats_reports: AtomicBool::new(false),
        })
    }

    /// Serves a task.
    pub fn serve<T: Task>(mut self, task: T) -> Self {
        if let Ok(name) = named(T::NAME, "serve the task") {
            self.handlers.insert(name, Arc::new(task));
        }
        self
    }

    /// Serves the task with this name by a handler made by hand.
    pub fn handler(mut self, task: &str, handler: impl Handler) -> Result<Self> {
        self.handlers.insert(named(task, "serve the task")?, Arc::new(handler));
        Ok(self)
    }

    /// Has its worker a label; see [`Worker::label`](crate::Worker::label).
    pub fn label(mut self, name: &str, value: &str) -> Result<Self> {
        self.labels.set(name, value).map_err(invalid_label)?;
        Ok(self)
    }

    /// The time that the clock shows.
    pub fn now(&self) -> Timestamp {
        taskwright_store::Clock::now(&*self.clock)
    }

    /// Moves the clock forward (`"2d"` or a `Duration`) and does what came due: retries and
    /// schedules become ready, leases of lost workers end.
    pub async fn advance(&self, time: impl IntoDuration) -> Result<()> {
        let time = time.into_duration()?;
        // The time of leases is served in small steps only; the rest can be one.
        let stepwise = time.min(LEASE + 2 * STEP);
        let mut served = Duration::ZERO;
        while served < stepwise {
            let step = STEP.min(stepwise - served);
            self.clock.advance(step);
            served += step;
            self.engine.sweep().await?;
        }
        self.clock.advance(time - served);
        self.engine.sweep().await.map(drop)
    }

    /// Runs jobs one after another, in the order in which a worker would get them, until none is
    /// ready: failed ones too, as often as they are ready again without the clock being moved.
    /// A job that waits for another runs beside it. No attempt times out here: the clock stands.
    ///
    /// Fails where it does not come to rest within 100,000 attempts.
    pub async fn run_until_idle(&self) -> Result<Ran> {
        let mut events = self.engine.store().events();
        let mut running = JoinSet::new();
        let mut ran = Ran::default();
        let (savings, mut saved) = mpsc::unbounded_channel();
        // Kept until the end: without it attempts would have to end.
        let (_stop, stopped) = watch::channel(Stop::No);
        self.engine.sweep().await?;
        let mut may_claim = true;
        loop {
            if may_claim && running.len() < TOGETHER_MAX {
                if let Some(job) = self.claim_one(self.worker).await? {
                    if ran.attempts == ATTEMPTS_MAX {
                        return Err(restless(&job));
                    }
                    ran.attempts += 1;
                    let attempt = self.attempt(job, savings.clone(), stopped.clone())?;
                    running.spawn(attempt);
                } else if running.is_empty() {
                    return Ok(ran);
                }
            }
            // Another one is only begun if something new is there that this one may wait for.
            may_claim = tokio::select! {
                biased;
                Some(saving) = saved.recv() => {
                    self.save(saving).await?;
                    false
                }
                Some(ended) = running.join_next() => {
                    let (id, token, outcome) = ended.map_err(|_| torn())?;
                    ran.completed += usize::from(matches!(outcome, Outcome::Completed { .. }));
                    self.report(id, token, outcome).await?;
                    true
                }
                new = has_ready(&mut events) => new,
            };
        }
    }

    fn attempt(
        &self,
        job: ClaimedJob,
        savings: mpsc::UnboundedSender<Saving>,
        stop: watch::Receiver<Stop>,
    ) -> Result<impl Future<Output = (JobId, Token, Outcome)> + use<>> {
        let (id, token) = (job.id, job.token);
        let handler = self.handlers.get(&job.task).map(Arc::clone).ok_or_else(torn)?;
        let (context, args) = Context::of(job, Some(savings));
        let limits = Limits { timeout: None, grace: Duration::ZERO, stop };
        Ok(async move {
            let (outcome, _) = supervise(handler, args, context, limits, ()).await;
            (id, token, outcome)
        })
    }

    async fn claim_one(&self, worker: WorkerId) -> Result<Option<ClaimedJob>> {
        if self.handlers.is_empty() {
            let message = "cannot run jobs: no task is served; name one with .serve(…)";
            return Err(Error::new(ErrorCode::Invalid, message));
        }
        let counts = self.app.counts().await?;
        let queues: Vec<Name> = counts.into_iter().map(|counts| counts.queue).collect();
        if queues.is_empty() {
            return Ok(None);
        }
        if let Some(job) = self.engine.claim(self.claim_for(worker, &queues, 1)?).await?.pop() {
            return Ok(Some(job));
        }
        // The next one may take more: a claim for just so many slots gives no other.
        let state = Some(StateName::Available);
        let filter = Filter { state, limit: PAGE_MAX, ..self.app.filter() };
        let waiting = self.app.list(filter).await?.jobs;
        self.note_resources(&waiting);
        let costs: BTreeSet<u32> = waiting.iter().map(|job| job.extras.slots()).collect();
        for cost in costs {
            let claim = self.claim_for(worker, &queues, cost as usize)?;
            if let Some(job) = self.engine.claim(claim).await?.pop() {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    fn claim_for(&self, worker: WorkerId, queues: &[Name], max: usize) -> Result<Claim> {
        let mut labels = self.labels.clone();
        labels.set_slots(COST_MAX as usize).map_err(invalid_label)?;
        let free = self.resources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (resource, amount) in free.iter() {
            labels.set_capacity(resource.as_str(), amount).map_err(invalid_label)?;
        }
        let tasks = Some(self.handlers.keys().cloned().collect());
        Ok(Claim {
            namespace: self.app.namespace().clone(),
            worker,
            seq: self.claims.fetch_add(1, Ordering::Relaxed) + 1,
            profile: Arc::new(Profile { queues: queues.to_vec(), tasks, labels }),
            max,
            free,
            wait: Duration::ZERO,
            in_process: true,
        })
    }

    /// Has enough from now on of what these jobs take.
    fn note_resources(&self, jobs: &[StoredJob]) {
        let mut known = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<Resources> = jobs.iter().map(|job| job.extras.requires.taken()).collect();
        let named = taken.iter().flat_map(Resources::iter);
        let all: Resources = named.map(|(resource, _)| (resource.clone(), RESOURCE_MAX)).collect();
        let more = all.minus(&known);
        known.add(&more);
    }

    async fn report(&self, id: JobId, token: Token, outcome: Outcome) -> Result<Reported> {
        let namespace = self.app.namespace().clone();
        let report = Report { namespace, id, token, outcome };
        let repeats = self.repeats_reports.load(Ordering::Relaxed);
        let reports = if repeats { vec![report.clone(), report] } else { vec![report] };
        let answers = self.engine.report(reports).await?;
        answers.into_iter().next().ok_or_else(torn)
    }

    async fn save(&self, saving: Saving) -> Result<()> {
        let answer = self.report(saving.id, saving.token, saving.outcome).await?;
        let is_kept = matches!(answer, Reported::Applied { .. } | Reported::Already);
        let lost = || Error::new(ErrorCode::Conflict, "the attempt is no longer this worker's");
        // The task may have ended meanwhile.
        let _ = saving.saved.send(if is_kept { Ok(()) } else { Err(lost()) });
        Ok(())
    }

    /// Loses a worker: one claims the next ready job and is never heard of again. The clock is moved
    /// until its lease has ended, so that the job is ready again. `None` where no job is ready.
    pub async fn lose_worker(&self) -> Result<Option<LostAttempt>> {
        let worker = self.app.shared.ids.worker_id()?;
        let Some(job) = self.claim_one(worker).await? else { return Ok(None) };
        self.advance(LEASE + 2 * STEP).await?;
        Ok(Some(LostAttempt { id: job.id, token: job.token, worker }))
    }

    /// Reports for an attempt that was given up, as a worker would that was only asleep.
    pub async fn report_late(&self, lost: &LostAttempt, outcome: Outcome) -> Result<Reported> {
        self.report(lost.id, lost.token, outcome).await
    }

    /// Has each report sent twice from now on, as if the first reply had been lost.
    pub fn repeat_reports(&self) {
        self.repeats_reports.store(true, Ordering::Relaxed);
    }
}

impl Deref for TestApp {
    type Target = Taskwright;

    fn deref(&self) -> &Taskwright {
        &self.app
    }
}

/// Waits until something changed that may have made a job ready.
async fn has_ready(events: &mut Events) -> bool {
    match events.next().await {
        Heard::Events(events) => {
            events.iter().any(|event| event.state == taskwright_core::StateName::Available)
        }
        Heard::Missed => true,
        // The next claim tells.
        Heard::Closed => std::future::pending().await,
    }
}

fn restless(job: &ClaimedJob) -> Error {
    let message = format!(
        "the jobs do not come to rest: after {ATTEMPTS_MAX} attempts job {} of task {} is ready again; does it fail or snooze without a delay?",
        job.id, job.task
    );
    Error::new(ErrorCode::Invalid, message)
}

fn invalid_label(error: InvalidLabel) -> Error {
    Error::new(ErrorCode::Invalid, format!("cannot label the worker: {error}"))
}

fn torn() -> Error {
    Error::new(ErrorCode::Unavailable, "the attempt ended with its runtime")
}
