//! What can be asked of a store, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::placement::Cost;
use taskwright_core::{
    Extras, Job, JobError, JobId, Json, Labels, Load, Name, NewJob, Policy, Requirement, Resources,
    StateName, Subject, Timestamp, Token, Verdict, WorkerId,
};

/// Jobs to write.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The jobs.
    pub jobs: Vec<NewJob>,
    /// Whether each job stands for itself.
    pub partial: bool,
}

/// What became of one job of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Inserted {
    /// It was written, with this `seq`.
    New { seq: u64 },
    /// It was there before, with this `seq` and now in this state.
    Existing { seq: u64, state: StateName },
    /// It was not written: this other job holds its unique key, has this `seq` and is in this state;
    /// `replaced` says whether it was given fields of the new one.
    Duplicate { id: JobId, seq: u64, state: StateName, replaced: bool },
    /// It was not written, for this reason.
    Refused(Refusal),
    /// It was not written, because another job of the call was refused.
    Skipped,
}

/// Why a store did not write a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Refusal {
    /// The id names another job.
    #[error("job id {0} is taken by another job (different task, queue or args); use a new id")]
    IdConflict(JobId),
    /// Another job holds its unique key.
    #[error("unique key {key:?} is held by job {holder}; wait for that job or use another key")]
    UniqueTaken { key: Arc<str>, holder: JobId },
    /// There is no room for another combination of queue, task and requirement.
    #[error(
        "the store has {max} lanes (queue × task × requirement), the most there can be; use fewer \
         queues and requirements"
    )]
    LanesFull { max: usize },
    /// As many jobs wait in its queue as its limit lets wait.
    #[error(
        "queue {queue} lets {max} jobs wait, and no fewer do; try again when some have started, or \
         set a higher limit"
    )]
    WaitingFull { queue: Name, max: u32 },
    /// There is no room for another live job.
    #[error("the store is full: {used} of {max} bytes hold live jobs; wait until some have ended")]
    StoreFull { used: u64, max: u64 },
}

/// What a worker serves. Cheap to clone; the same profile is best shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The queues it takes jobs from.
    pub queues: Vec<Name>,
    /// The tasks it can run; `None`: every task (a consumer by hand).
    pub tasks: Option<Vec<Name>>,
    /// Its labels.
    pub labels: Labels,
}

impl Profile {
    /// Whether a worker that serves this is offered jobs of this queue and task with this
    /// requirement.
    pub fn matches(&self, queue: &Name, task: &Name, requires: &Requirement) -> bool {
        self.queues.contains(queue)
            && self.tasks.as_ref().is_none_or(|tasks| tasks.contains(task))
            && requires.matches(&self.labels)
    }
}

/// A worker asks for jobs.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The tenant.
    pub namespace: Name,
    /// Who asks.
    pub worker: WorkerId,
    /// The number of this claim, from 1, growing; the same number repeats a claim.
    pub seq: u64,
    /// What it serves.
    pub profile: Arc<Profile>,
    /// How many slots it has free: the jobs that it is given take no more together.
    pub max: usize,
    /// How much it has free of each resource of its profile: the jobs that it is given take no more
    /// together. Of what is not named nothing is free.
    pub free: Resources,
    /// How long to wait where nothing is ready.
    pub wait: Duration,
    /// Whether the worker lives in the process that has the store open: its leases end when that
    /// store is opened again.
    pub in_process: bool,
}

impl Claim {
    /// What the jobs that it is given may take together.
    pub fn room(&self) -> Cost {
        Cost { slots: self.max, resources: self.free.clone() }
    }
}

/// A job handed to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The id.
    pub id: JobId,
    /// The job's number in the store.
    pub seq: u64,
    /// The queue.
    pub queue: Name,
    /// The task to run.
    pub task: Name,
    /// The input.
    pub args: Json,
    /// The fence of this attempt; `token.attempt` is its number.
    pub token: Token,
    /// Attempts spent before this one.
    pub failures: u32,
    /// Dead at so many failures.
    pub max_attempts: u32,
    /// The longest this attempt may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// −10 to 10.
    pub priority: i8,
    /// When the job was inserted.
    pub created_at: Timestamp,
    /// When it was due.
    pub run_at: Timestamp,
    /// When it was claimed, in the store's time.
    pub started_at: Timestamp,
    /// What an earlier attempt saved.
    pub checkpoint: Option<Json>,
    /// What most jobs leave empty.
    pub extras: Extras,
}

/// A worker says how an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The tenant.
    pub namespace: Name,
    /// The job.
    pub id: JobId,
    /// The fence of the attempt.
    pub token: Token,
    /// How it went.
    pub outcome: Outcome,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Outcome {
    /// The task returned, perhaps with a result.
    Completed { result: Option<Json> },
    /// The task failed.
    Failed { error: JobError, retry: Retry },
    /// The attempt ran longer than its timeout.
    TimedOut,
    /// The task asks to run again after this time, unspent.
    Snoozed { delay: Duration },
    /// The worker gives the job back, unspent.
    Released,
    /// The task asks not to be run again; the job ends cancelled.
    Cancelled { reason: Arc<str> },
    /// The attempt goes on, and a later attempt can start from this value.
    Checkpoint { value: Json },
}

impl Outcome {
    /// About how many bytes of text it carries.
    pub fn bytes(&self) -> usize {
        match self {
            Outcome::Completed { result } => result.as_ref().map_or(0, Json::len),
            Outcome::Failed { error, .. } => error.message.len(),
            Outcome::Cancelled { reason } => reason.len(),
            Outcome::Checkpoint { value } => value.len(),
            Outcome::TimedOut | Outcome::Snoozed { .. } | Outcome::Released => 0,
        }
    }

    /// How the attempt ends; `None`: it goes on.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Outcome::Completed { .. } => Some(Verdict::Completed),
            Outcome::Failed { .. } => Some(Verdict::Failed),
            Outcome::TimedOut => Some(Verdict::TimedOut),
            Outcome::Snoozed { .. } => Some(Verdict::Snoozed),
            Outcome::Released | Outcome::Cancelled { .. } => Some(Verdict::Released),
            Outcome::Checkpoint { .. } => None,
        }
    }
}

/// What should follow a failure.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt when the job's retry policy says.
    ByPolicy,
    /// Another attempt after this time.
    After(Duration),
    /// No other attempt: the error is final.
    Never,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Reported {
    /// It counted; the job is now in this state.
    Applied { state: StateName },
    /// It was applied before.
    Already,
    /// The attempt is no longer the reporter's: nothing was changed.
    Stale,
    /// No such job.
    Unknown,
}

/// A worker says that it lives.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The tenant.
    pub namespace: Name,
    /// Who it is.
    pub worker: WorkerId,
    /// Claims up to this number have arrived or will never be repeated.
    pub settled: u64,
    /// What it holds.
    pub held: Vec<(JobId, Token)>,
    /// What its attempts say of themselves.
    pub progress: Vec<(JobId, Token, Json)>,
    /// What people want to know of it.
    pub info: WorkerInfo,
}

/// What people want to know of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerInfo {
    /// A name for people, often `host:pid`.
    pub name: Arc<str>,
    /// How many slots it has: as many jobs that cost one it runs at once.
    pub slots: u32,
    /// Whether it takes no more jobs.
    pub stopping: bool,
    /// How loaded it is.
    pub load: Load,
}

/// What a worker should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// Attempts it named that are no longer its own: stop them, their reports will be refused.
    pub lost: Vec<(JobId, Token)>,
    /// Attempts that should stop.
    pub cancel: Vec<CancelOrder>,
}

/// One attempt that should stop, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelOrder {
    /// The job.
    pub id: JobId,
    /// The fence of the attempt.
    pub token: Token,
    /// Why.
    pub reason: Arc<str>,
    /// Whether it ran out of time, rather than being cancelled by somebody.
    pub timed_out: bool,
}

/// What a sweep did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs that came due.
    pub due: usize,
    /// Attempts lost with their worker.
    pub lapsed: usize,
    /// Attempts ended for running too long.
    pub timed_out: usize,
    /// Jobs that had not started in time.
    pub expired: usize,
    /// Jobs that left a line because its key had room.
    pub promoted: usize,
    /// Finished jobs deleted.
    pub pruned: usize,
    /// Whether there was more to do.
    pub more: bool,
    /// The store's time of the sweep.
    pub now: Timestamp,
    /// The earliest instant at which a job that waits comes due; `None`: none waits for an instant.
    pub next_due: Option<Timestamp>,
    /// The earliest `wake_at` of a document, which may have come.
    pub wake_at: Option<Timestamp>,
}

/// What an operator can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Command {
    /// Stop a job: at once if it waits; if it runs, its worker is told with a heartbeat.
    Cancel { namespace: Name, id: JobId, reason: Arc<str> },
    /// Restart an ended job with `attempts` more attempts (0: as many as it had).
    Redrive { namespace: Name, id: JobId, attempts: u32 },
    /// Change how urgent a job is that waits, or when it is due; `None` leaves it as it is.
    Adjust { namespace: Name, id: JobId, priority: Option<i8>, run_at: Option<Timestamp> },
    /// Remove an ended job.
    Delete { namespace: Name, id: JobId },
    /// Set what may start of a queue, task, group or key; without a policy nothing limits it.
    SetPolicy { namespace: Name, subject: Subject, policy: Option<Policy> },
    /// Let no job of a queue start.
    Pause { namespace: Name, queue: Name },
    /// Let jobs of a queue start again.
    Resume { namespace: Name, queue: Name },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Controlled {
    /// Done; a job is now in this state (none: it is gone, or it was a queue).
    Done { state: Option<StateName> },
    /// No such job.
    NotFound,
    /// It has no meaning for a job in this state.
    Refused { state: StateName },
    /// Another job holds the unique key that this one would hold.
    Taken { holder: JobId },
    /// There are as many policies as there can be.
    PoliciesFull { max: usize },
}

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The tenant.
    pub namespace: Name,
    /// Only of this queue.
    pub queue: Option<Name>,
    /// Only of this task.
    pub task: Option<Name>,
    /// Only in this state.
    pub state: Option<StateName>,
    /// Only with this tag.
    pub tag: Option<Arc<str>>,
    /// Only with a `seq` below this (the cursor of the page before).
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// `before` of the next page, where there may be one.
    pub next: Option<u64>,
}
