//! What a running attempt knows of itself.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use taskwright_core::{JobId, Json, Name, Shard, Timestamp, Token};
use taskwright_engine::{Error, ErrorCode};
use taskwright_store::{ClaimedJob, Outcome};
use tokio::sync::{Notify, mpsc, oneshot};

/// What a running attempt knows of itself, and how it talks to its worker. Clones are cheap and
/// mean the same attempt.
///
/// A task gets it as its first parameter, `ctx: &Context` or `ctx: Context`; the arguments of the
/// job follow.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    about: About,
    arrived_at: Instant,
    stop: OnceLock<StopReason>,
    stopped: Notify,
    progress: Mutex<Option<Json>>,
    worker: Option<mpsc::UnboundedSender<Saving>>,
}

/// What is known of an attempt from the start.
struct About {
    id: JobId,
    seq: u64,
    task: Name,
    queue: Name,
    token: Token,
    failures: u32,
    max_attempts: u32,
    timeout: Option<Duration>,
    created_at: Timestamp,
    run_at: Timestamp,
    started_at: Timestamp,
    checkpoint: Option<Json>,
    tags: Vec<Arc<str>>,
    trace: Option<Arc<str>>,
    shard: Option<Shard>,
}

/// A checkpoint on its way to the store.
pub(crate) struct Saving {
    pub(crate) id: JobId,
    pub(crate) token: Token,
    pub(crate) outcome: Outcome,
    pub(crate) saved: oneshot::Sender<Result<(), Error>>,
}

/// Why an attempt should stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody cancelled the job, and said why.
    Cancelled(Arc<str>),
    /// The attempt ran longer than its timeout.
    TimedOut,
    /// The attempt is no longer this worker's: another may run the job, and whatever this one
    /// reports is refused.
    Lost,
    /// The worker stops; what does not end in time is given back, the attempt unspent.
    Stopping,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Cancelled(reason) => write!(f, "cancelled: {reason}"),
            StopReason::TimedOut => f.write_str("timed out"),
            StopReason::Lost => f.write_str("lost"),
            StopReason::Stopping => f.write_str("stopping"),
        }
    }
}

impl Context {
    /// The context of a claimed job and its args. `worker` takes its checkpoints.
    pub(crate) fn of(
        job: ClaimedJob,
        worker: Option<mpsc::UnboundedSender<Saving>>,
    ) -> (Context, Json) {
        let about = About {
            id: job.id,
            seq: job.seq,
            task: job.task,
            queue: job.queue,
            token: job.token,
            failures: job.failures,
            max_attempts: job.max_attempts,
            timeout: job.timeout_ms.map(Duration::from_millis),
            created_at: job.created_at,
            run_at: job.run_at,
            started_at: job.started_at,
            checkpoint: job.checkpoint,
            tags: job.extras.tags,
            trace: job.extras.trace,
            shard: job.extras.shard,
        };
        let inner = Inner {
            about,
            arrived_at: Instant::now(),
            stop: OnceLock::new(),
            stopped: Notify::new(),
            progress: Mutex::new(None),
            worker,
        };
        (Context(Arc::new(inner)), job.args)
    }

    /// The id of the job.
    pub fn job_id(&self) -> JobId {
        self.0.about.id
    }

    /// The job's number in the store: later jobs have higher ones.
    pub fn seq(&self) -> u64 {
        self.0.about.seq
    }

    /// The task that runs.
    pub fn task(&self) -> &Name {
        &self.0.about.task
    }

    /// The queue that the job waited in.
    pub fn queue(&self) -> &Name {
        &self.0.about.queue
    }

    /// The number of this attempt, from 1. It only grows, also over redrives.
    pub fn attempt(&self) -> u32 {
        self.0.about.token.attempt
    }

    /// The fence of this attempt. Write it beside what the task changes elsewhere, and refuse
    /// changes with a smaller one: so an attempt that was given up cannot undo a later one.
    pub fn token(&self) -> Token {
        self.0.about.token
    }

    /// How many attempts have failed before this one.
    pub fn failures(&self) -> u32 {
        self.0.about.failures
    }

    /// The job is dead at so many failures.
    pub fn max_attempts(&self) -> u32 {
        self.0.about.max_attempts
    }

    /// When the job was enqueued, by the store's clock.
    pub fn created_at(&self) -> Timestamp {
        self.0.about.created_at
    }

    /// When the job was due, by the store's clock.
    pub fn run_at(&self) -> Timestamp {
        self.0.about.run_at
    }

    /// When this attempt was claimed, by the store's clock.
    pub fn started_at(&self) -> Timestamp {
        self.0.about.started_at
    }

    /// The tags of the job.
    pub fn tags(&self) -> &[Arc<str>] {
        &self.0.about.tags
    }

    /// The W3C trace context of the enqueue.
    pub fn trace(&self) -> Option<&str> {
        self.0.about.trace.as_deref()
    }

    /// Which part this job is of a request that was made several jobs; see
    /// [`Job::sharded`](crate::Job::sharded).
    pub fn shard(&self) -> Option<Shard> {
        self.0.about.shard
    }

    /// The longest this attempt may run.
    pub fn timeout(&self) -> Option<Duration> {
        self.0.about.timeout
    }

    /// When this attempt times out, by the clock of this process.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.about.timeout.map(|timeout| self.0.arrived_at + timeout)
    }

    /// Whether the attempt should stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.stop.get().is_some()
    }

    /// Why the attempt should stop, if it should.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.0.stop.get()
    }

    /// Waits until the attempt should stop, and says why.
    pub async fn cancelled(&self) -> StopReason {
        loop {
            let stopped = self.0.stopped.notified();
            tokio::pin!(stopped);
            stopped.as_mut().enable();
            if let Some(reason) = self.0.stop.get() {
                return reason.clone();
            }
            stopped.await;
        }
    }

    /// Tells the attempt to stop, and says whether it had not been told before. The first reason
    /// stays.
    pub(crate) fn stop(&self, reason: StopReason) -> bool {
        let is_first = self.0.stop.set(reason).is_ok();
        self.0.stopped.notify_waiters();
        is_first
    }

    /// Says how far the attempt is, in any form that serialises. It is shown with the job after the
    /// worker's next heartbeat; only the newest counts. Fails where it is not JSON or over 1 MiB.
    pub fn progress(&self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let json = self.encoded("progress", value)?;
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(json);
        Ok(())
    }

    /// Takes the progress that was not yet told.
    pub(crate) fn take_progress(&self) -> Option<Json> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts progress back that could not be told, unless there is newer.
    pub(crate) fn return_progress(&self, progress: Json) {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(progress);
    }

    /// Saves a value from which a later attempt can start, durably before it returns. Fails where
    /// the attempt is no longer this worker's, the value is over 1 MiB, or the store cannot be
    /// reached.
    pub async fn checkpoint(&self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let saved = self.save(value)?;
        saved.await.unwrap_or_else(|_| Err(self.unsaved()))
    }

    /// [`Context::checkpoint`] for tasks that block; not to be called in async code.
    pub fn checkpoint_blocking(&self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let saved = self.save(value)?;
        saved.blocking_recv().unwrap_or_else(|_| Err(self.unsaved()))
    }

    fn save(
        &self,
        value: &(impl Serialize + ?Sized),
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let value = self.encoded("checkpoint", value)?;
        let (saved, receiver) = oneshot::channel();
        let outcome = Outcome::Checkpoint { value };
        let saving = Saving { id: self.job_id(), token: self.token(), outcome, saved };
        let worker = self.0.worker.as_ref().ok_or_else(|| self.unsaved())?;
        worker.send(saving).map_err(|_| self.unsaved())?;
        Ok(receiver)
    }

    fn unsaved(&self) -> Error {
        let id = self.job_id();
        let message = format!(
            "cannot save a checkpoint of job {id}: its worker has stopped; the next attempt starts from the last one that was saved"
        );
        Error::new(ErrorCode::Unavailable, message)
    }

    fn encoded(&self, what: &str, value: &(impl Serialize + ?Sized)) -> Result<Json, Error> {
        let id = self.job_id();
        let text = serde_json::to_string(value).map_err(|error| {
            let message = format!("cannot keep the {what} of job {id}: it is not JSON ({error})");
            Error::new(ErrorCode::Invalid, message)
        })?;
        let max = taskwright_core::limits::PAYLOAD_BYTES_MAX;
        if text.len() > max {
            let size = text.len();
            let message = format!(
                "cannot keep the {what} of job {id}: it is {size} bytes, and at most {max} are allowed; keep less"
            );
            return Err(Error::new(ErrorCode::OverLimit, message));
        }
        Ok(Json::from_trusted(text))
    }

    /// What the last attempt that saved a checkpoint saved. Fails where it is not a `V`.
    pub fn last_checkpoint<V: DeserializeOwned>(&self) -> Result<Option<V>, Error> {
        let Some(json) = &self.0.about.checkpoint else { return Ok(None) };
        serde_json::from_str(json.as_str()).map(Some).map_err(|error| {
            let id = self.job_id();
            let message = format!("cannot read the checkpoint of job {id}: {error}; read it as the type that was saved");
            Error::new(ErrorCode::Invalid, message)
        })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("job_id", &self.job_id())
            .field("task", self.task())
            .field("attempt", &self.attempt())
            .field("stop_reason", &self.stop_reason())
            .finish_non_exhaustive()
    }
}
