//! Jobs: as they are asked for, and as they are shown.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{JobId, WorkerId};
use crate::json::Json;
use crate::lifecycle::{Life, State, Verdict};
use crate::name::Name;
use crate::placement::{Cost, InvalidRequirement, Requirement};
use crate::retry::RetryPolicy;
use crate::shard::Shard;
use crate::time::Timestamp;
use crate::unique::{OnConflict, Unique};

/// A job to insert: validated, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// The tenant.
    pub namespace: Name,
    /// The id, made by the client.
    pub id: JobId,
    /// The task to run.
    pub task: Name,
    /// The queue to wait in.
    pub queue: Name,
    /// The input.
    pub args: Json,
    /// −10 (least urgent) to 10 (most urgent).
    pub priority: i8,
    /// Not before this instant; `None`: at once.
    pub run_at: Option<Timestamp>,
    /// Dead at so many failures.
    pub max_attempts: u32,
    /// The longest an attempt may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Digest of task, queue and args, and of the shard where it is one: tells a repeated insert from an id used twice.
    pub fingerprint: u64,
    /// What happens where another job holds its unique key.
    pub on_conflict: OnConflict,
    /// What most jobs leave empty.
    pub extras: Extras,
}

/// The fields that most jobs leave empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// When failed attempts run again; `None`: the default policy.
    pub retry: Option<RetryPolicy>,
    /// Ends as expired if not started by then.
    pub expires_at: Option<Timestamp>,
    /// Words to find it by.
    pub tags: Vec<Arc<str>>,
    /// Key inside the queue: fairness, order and limits per tenant, user or resource.
    pub group: Option<Arc<str>>,
    /// Keys whose limits must all have room.
    pub limit_keys: Vec<Arc<str>>,
    /// Key that at most one job holds at a time.
    pub unique: Option<Unique>,
    /// What it requires of the labels of its worker, and takes of its resources.
    pub requires: Requirement,
    /// Slots it takes while it runs; 0 means 1. One that takes more requires as many: see
    /// [`with_cost`](Extras::with_cost).
    pub cost: u32,
    /// Jobs that must end first.
    pub parents: Vec<JobId>,
    /// Its id in a foreign system.
    pub alias: Option<Arc<str>>,
    /// W3C trace context of the enqueue.
    pub trace: Option<Arc<str>>,
    /// Which part it is of a request that was made several jobs.
    pub shard: Option<Shard>,
}

impl Extras {
    /// About how many bytes its fields take when written down.
    pub fn bytes(&self) -> usize {
        let unique_key = self.unique.as_ref().map(|unique| Arc::clone(&unique.key));
        let texts = [&self.group, &unique_key, &self.alias, &self.trace];
        let single: usize = texts.into_iter().flatten().map(|text| text.len() + 8).sum();
        let lists = [&self.tags, &self.limit_keys];
        let listed: usize = lists.into_iter().flatten().map(|text| text.len() + 8).sum();
        let waits = match &self.retry {
            Some(RetryPolicy::List { delays_ms }) => 10 * delays_ms.len(),
            _ => 24,
        };
        let required: usize =
            self.requires.terms().iter().map(|term| term.to_string().len() + 8).sum();
        let shard = if self.shard.is_some() { 16 } else { 0 };
        shard + single + listed + required + waits + 20 * self.parents.len()
    }

    /// Slots that it takes while it runs, at least 1.
    pub fn slots(&self) -> u32 {
        self.cost.max(1)
    }

    /// What it takes of its worker while it runs.
    pub fn whole_cost(&self) -> Cost {
        Cost { slots: self.slots() as usize, resources: self.requires.taken() }
    }

    /// The same of a job that takes so many slots, and so requires a worker that has them.
    ///
    /// # Errors
    /// Where it cannot require that as well: see [`Requirement::with_cost`].
    pub fn with_cost(self, slots: u32) -> Result<Extras, InvalidRequirement> {
        let requires = self.requires.with_cost(slots)?;
        Ok(Extras { requires, cost: if slots > 1 { slots } else { 0 }, ..self })
    }

    /// Whether all fields are empty.
    pub fn is_empty(&self) -> bool {
        *self == Extras::default()
    }
}

/// What went wrong in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    /// One word for the kind of cause: `error`, `panic`, `timeout`, `lost`, `undecodable`, `exit`, …
    pub kind: Arc<str>,
    /// The message, at most 16 KiB.
    pub message: Arc<str>,
}

impl JobError {
    /// An error of the given kind; a long message is cut.
    pub fn new(kind: &str, message: &str) -> Self {
        JobError { kind: kind.into(), message: crate::limits::cut_error(message).into() }
    }

    /// The error of an attempt that was lost with its worker.
    pub fn lost(worker: WorkerId) -> Self {
        JobError::new(
            "lost",
            &format!("worker {worker} was not heard of for the time of its lease"),
        )
    }

    /// The error of an attempt that ran longer than its timeout, and ended after this time.
    pub fn timed_out(after: Duration) -> Self {
        let after = crate::duration::format_duration(after);
        JobError::new("timeout", &format!("the attempt ran longer than its timeout ({after})"))
    }
}

/// One ended attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub attempt: u32,
    /// Who ran it.
    pub worker: WorkerId,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How it ended.
    pub verdict: Verdict,
    /// What went wrong.
    pub error: Option<JobError>,
}

/// A job as stores show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The tenant.
    pub namespace: Name,
    /// The id.
    pub id: JobId,
    /// The number the store gave it at admission: later jobs have higher ones.
    pub seq: u64,
    /// The task.
    pub task: Name,
    /// The queue.
    pub queue: Name,
    /// State and counts.
    pub life: Life,
    /// −10 to 10.
    pub priority: i8,
    /// When it is or was due: its `run_at`, later the time of its retry.
    pub run_at: Timestamp,
    /// The longest an attempt may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// When it was inserted.
    pub created_at: Timestamp,
    /// When its newest attempt was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Who runs it, or ran it last.
    pub worker: Option<WorkerId>,
    /// Why somebody asked it to stop.
    pub cancel_reason: Option<Arc<str>>,
    /// The newest error.
    pub error: Option<JobError>,
    /// What the running attempt says of itself, JSON.
    pub progress: Option<Json>,
    /// What the last attempt that saved a checkpoint saved.
    pub checkpoint: Option<Json>,
    /// The input. Lists leave it out.
    pub args: Option<Json>,
    /// The output of a completed job. Lists leave it out.
    pub result: Option<Json>,
    /// What most jobs leave empty.
    pub extras: Extras,
    /// Attempts that ended without completing: the first 5 and the last 20. Lists leave them out.
    pub attempts: Vec<AttemptRecord>,
}

impl Job {
    /// The state.
    pub fn state(&self) -> State {
        self.life.state
    }
}
