//! The facts that a group writes down.
//!
//! The ledger decides; what it decided becomes changes; the journal makes them durable, the table
//! keeps them for search, and recovery sets them again. A change says what is now true and never
//! why, so that replaying it needs no rule.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{
    AttemptRecord, Extras, JobError, JobId, Json, Life, Name, Policy, Rank, Subject, Timestamp,
    Unique, Until, WorkerId,
};
use taskwright_store::{Document, DocumentId};

/// The number of a group in the journal, from 1, without gaps over the whole life of a store.
pub type Position = u64;

/// The number of a job: later jobs have higher ones.
pub type Seq = u64;

/// The number of a lane (namespace × queue × task × requirement) in this store.
pub type LaneNumber = u32;

/// The number of a worker in this store.
pub type WorkerNumber = u32;

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A job was inserted.
    Insert(Arc<Fixed>, Vital),
    /// A job is now so.
    Update(Update),
    /// A job that waits is another one now, but for its id, lane and digest.
    Rewrite(Box<Rewrite>),
    /// A job was deleted.
    Delete(Seq),
    /// A lane was named.
    Lane(Lane),
    /// A queue has these settings.
    Queue(QueueSettings),
    /// A subject has this policy.
    Policy(Box<PolicyFact>),
    /// A start took a token of a rate.
    Arrival(Arrival),
    /// A start moved on the turns of a fair queue.
    Turn(Turn),
    /// A document is now so.
    Document(Box<DocumentFact>),
    /// A worker was seen for the first time.
    Worker(WorkerFact),
    /// An operator did something.
    Audit(Audit),
}

/// What of a job never changes, unless it is rewritten while it waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Its number.
    pub seq: Seq,
    /// Its id.
    pub id: JobId,
    /// Its lane.
    pub lane: LaneNumber,
    /// −10 to 10.
    pub priority: i8,
    /// The longest an attempt may run.
    pub timeout_ms: Option<u64>,
    /// When it was inserted.
    pub created_at: Timestamp,
    /// Digest of task, queue and args.
    pub fingerprint: u64,
    /// The `max_attempts` it was inserted with.
    pub max_attempts: u32,
    /// The input.
    pub args: Json,
    /// What most jobs leave empty; what it requires of its worker, its lane says.
    pub extras: Option<Box<Extras>>,
}

/// What a waiting job is given, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// The job.
    pub seq: Seq,
    /// −10 to 10.
    pub priority: i8,
    /// The longest an attempt may run.
    pub timeout_ms: Option<u64>,
    /// The `max_attempts` as if it was inserted with it.
    pub max_attempts: u32,
    /// Words to find it by; `None`: they stay.
    pub tags: Option<Vec<Arc<str>>>,
    /// The input; `None`: it stays.
    pub args: Option<Json>,
    /// All that changes with every step.
    pub vital: Vital,
}

impl Rewrite {
    /// A rewrite that leaves everything as it is, for a job that then has this `vital`.
    pub fn of(fixed: &Fixed, vital: Vital) -> Self {
        Rewrite {
            seq: fixed.seq,
            priority: fixed.priority,
            timeout_ms: fixed.timeout_ms,
            max_attempts: fixed.max_attempts,
            tags: None,
            args: None,
            vital,
        }
    }
}

impl Fixed {
    /// The key that it can hold, and until when.
    pub fn unique(&self) -> Option<&Unique> {
        self.extras.as_ref()?.unique.as_ref()
    }

    /// When it lets go of its unique key, where only time decides that.
    pub fn key_elapses_at(&self) -> Option<Timestamp> {
        match self.unique()?.until {
            Until::Elapsed { ms } => Some(self.created_at.plus(Duration::from_millis(ms))),
            Until::Claimed | Until::Finished => None,
        }
    }

    /// Takes over what it is given.
    pub fn rewrite(&mut self, rewrite: &Rewrite) {
        self.priority = rewrite.priority;
        self.timeout_ms = rewrite.timeout_ms;
        self.max_attempts = rewrite.max_attempts;
        if let Some(tags) = &rewrite.tags {
            self.extras = with_tags(self.extras.take(), tags);
        }
        if let Some(args) = &rewrite.args {
            self.args.clone_from(args);
        }
    }
}

/// The extras of a job that now has these tags.
pub fn with_tags(extras: Option<Box<Extras>>, tags: &[Arc<str>]) -> Option<Box<Extras>> {
    let mut extras = extras.unwrap_or_default();
    extras.tags = tags.to_vec();
    (!extras.is_empty()).then_some(extras)
}

/// What of a job changes with every step, whole.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Vital {
    /// State and counts.
    pub life: Life,
    /// When it is or was due.
    pub due_at: Timestamp,
    /// The newest attempt: who claimed it, with which claim, when.
    pub run: Option<Run>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Who runs a job, or ran it last.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Run {
    /// The worker.
    pub worker: WorkerNumber,
    /// The number of the worker's claim.
    pub claim: u64,
    /// When it was claimed.
    pub started_at: Timestamp,
}

/// A job is now so.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The job.
    pub seq: Seq,
    /// All that changes with every step.
    pub vital: Vital,
    /// What changes seldom; `None`: nothing of it changed.
    pub more: Option<Box<More>>,
}

/// What changes seldom. A field that is `None` did not change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct More {
    /// An attempt that ended without completing.
    pub attempt: Option<AttemptRecord>,
    /// The newest error.
    pub error: Option<JobError>,
    /// The result.
    pub result: Option<Json>,
    /// Why somebody asked it to stop.
    pub cancel_reason: Option<Arc<str>>,
    /// What the attempt says of itself; an empty text: nothing any more.
    pub progress: Option<Json>,
    /// What a later attempt can start from.
    pub checkpoint: Option<Json>,
}

/// A unique key that an ended job holds for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedHold {
    /// The job.
    pub seq: Seq,
    /// The tenant.
    pub namespace: Name,
    /// The key.
    pub key: Arc<str>,
    /// Until when.
    pub until: Timestamp,
}

/// A lane and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its number.
    pub number: LaneNumber,
    /// The tenant.
    pub namespace: Arc<str>,
    /// The queue.
    pub queue: Arc<str>,
    /// The task.
    pub task: Arc<str>,
    /// What its jobs require of their worker; empty: nothing.
    pub requires: Arc<str>,
}

/// The settings of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// The tenant.
    pub namespace: Arc<str>,
    /// The queue.
    pub queue: Arc<str>,
    /// Whether its jobs stay where they are.
    pub paused: bool,
}

/// The policy of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFact {
    /// The tenant.
    pub namespace: Name,
    /// What it is set for.
    pub subject: Subject,
    /// `None`: there is none any more.
    pub policy: Option<Policy>,
}

/// When the next start is due by the rate of a key, queue or task.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The number of the key, queue or task.
    pub number: u64,
    /// The theoretical arrival time of the next start.
    pub at: Timestamp,
}

/// What the clock of a fair queue shows, or the turn after the newest start of one of its groups.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The number of the clock, or of the group.
    pub number: u64,
    /// The number of the clock of its queue.
    pub clock: u64,
    /// The turn.
    pub at: Rank,
}

/// How a document is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFact {
    /// Which one.
    pub id: DocumentId,
    /// `None`: there is none any more.
    pub document: Option<Document>,
}

/// A worker and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFact {
    /// Its number.
    pub number: WorkerNumber,
    /// Its id.
    pub id: WorkerId,
    /// The tenant.
    pub namespace: Arc<str>,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// Whether it lives in the process that has the store open (its leases end when that ends).
    pub in_process: bool,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Arc<str>,
    /// What, in one line.
    pub action: Arc<str>,
}
