//! Every operation there is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use taskwright_core::limits::{SHARDS_MAX, WAIT_MAX};
use taskwright_core::shard::shard_id;
use taskwright_core::{
    Job, JobId, Json, Name, OnConflict, Policy, Requirement, RetryPolicy, Shard, StateName,
    Subject, Timestamp, Unique, WorkerId,
};
use taskwright_store::{
    Claim, ClaimedJob, Command, Controlled, Description, Events, Filter, Heartbeat, HeartbeatReply,
    NodeView, Page, QueueCounts, Refusal, Report, Reported, WorkerView,
};

use crate::costs::Costs;
use crate::error::{Error, ErrorCode, Result};
use crate::place::{PlaceRequest, Placement, place};
use crate::schedules::Scheduling;
use crate::why::{Why, why};

/// A job as somebody asks for it. `None` and empty mean the default.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The id; repeating an enqueue with the same id is safe. Default: a new UUID version 7.
    pub id: Option<JobId>,
    /// The tenant.
    pub namespace: Name,
    /// The task to run.
    pub task: Name,
    /// The queue to wait in.
    pub queue: Name,
    /// The input.
    pub args: Json,
    /// −10 (least urgent) to 10 (most urgent); default 0.
    pub priority: i8,
    /// When to run it.
    pub start: Start,
    /// Dead at so many failures; default 20.
    pub max_attempts: Option<u32>,
    /// The longest an attempt may run; default: no limit.
    pub timeout: Option<Duration>,
    /// When failed attempts run again; default: exponential with full jitter.
    pub retry: Option<RetryPolicy>,
    /// Ends as expired if not started by then.
    pub expires_at: Option<Timestamp>,
    /// Words to find it by.
    pub tags: Vec<Arc<str>>,
    /// Key inside the queue, for limits by tenant, user or resource.
    pub group: Option<Arc<str>>,
    /// Keys over all queues whose limits must all have room; at most 4.
    pub limit_keys: Vec<Arc<str>>,
    /// Key that at most one job holds at a time, and how long this one does.
    pub unique: Option<Unique>,
    /// What it requires of the labels of its worker; default: nothing.
    pub requires: Requirement,
    /// How many slots of its worker it takes while it runs, up to `COST_MAX`; default: 1.
    pub cost: Option<u32>,
    /// What happens where another job holds that key; default: it is kept and named.
    pub on_conflict: OnConflict,
    /// W3C trace context of the caller.
    pub trace: Option<Arc<str>>,
    /// Which part it is of a request that was made several jobs: see [`JobRequest::sharded`].
    pub shard: Option<Shard>,
}

/// When a job should start.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// As soon as a worker is free.
    #[default]
    Now,
    /// After this time, by the store's clock.
    After(Duration),
    /// Not before this instant.
    At(Timestamp),
}

impl JobRequest {
    /// A job of `task` in the default namespace and queue, everything else by default.
    pub fn new(task: Name, args: Json) -> Self {
        JobRequest {
            id: None,
            namespace: Name::default_name(),
            task,
            queue: Name::default_name(),
            args,
            priority: 0,
            start: Start::Now,
            max_attempts: None,
            timeout: None,
            retry: None,
            expires_at: None,
            tags: Vec::new(),
            group: None,
            limit_keys: Vec::new(),
            unique: None,
            requires: Requirement::NONE,
            cost: None,
            on_conflict: OnConflict::default(),
            trace: None,
            shard: None,
        }
    }

    /// The same request as `total` jobs, 1 to `SHARDS_MAX`, each with its shard. Where it has an id,
    /// theirs follow from it, so that a repeated request makes nothing new; enqueued in one call they
    /// are written all at once.
    ///
    /// # Errors
    ///
    /// Where `total` is none of these numbers, or it is a shard already.
    pub fn sharded(self, total: u32) -> Result<Vec<JobRequest>> {
        let fault = |fault: String| {
            let message = format!("cannot shard a job of task {}: {fault}", self.task);
            Err(Error::new(ErrorCode::Invalid, message))
        };
        if total == 0 || total as usize > SHARDS_MAX {
            return fault(format!("{total} shards were asked for; give 1 to {SHARDS_MAX}"));
        }
        if self.shard.is_some() {
            return fault("it is a shard already; shard what it was made of".to_owned());
        }
        let shard = |index| JobRequest {
            id: self.id.map(|id| shard_id(id, index)),
            shard: Some(Shard { index, total }),
            ..self.clone()
        };
        Ok((0..total).map(shard).collect())
    }
}

/// What became of one job of an enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is durable.
    New {
        /// Its id.
        id: JobId,
    },
    /// It was there before: this enqueue repeats another.
    Existing {
        /// Its id.
        id: JobId,
        /// Its state now.
        state: StateName,
    },
    /// It was not written: another job holds its unique key.
    Duplicate {
        /// The id of that job.
        id: JobId,
        /// The state of that job before this enqueue.
        state: StateName,
        /// Whether that job was given fields of this one.
        replaced: bool,
    },
    /// It was not written (only in a partial enqueue).
    Refused(Refusal),
}

impl Enqueued {
    /// The id of the job that stands for what was asked, where there is one.
    pub fn id(&self) -> Option<JobId> {
        match self {
            Enqueued::New { id }
            | Enqueued::Existing { id, .. }
            | Enqueued::Duplicate { id, .. } => Some(*id),
            Enqueued::Refused(_) => None,
        }
    }
}

/// What a worker has to say and to ask at one moment; parts that are empty are left out.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// How attempts went.
    pub reports: Vec<Report>,
    /// That the worker lives, and what it holds.
    pub heartbeat: Option<Heartbeat>,
    /// How many jobs it could take. With reports beside it, a claim does not wait for jobs.
    pub claim: Option<Claim>,
}

/// The answers to one [`Work`].
#[derive(Clone, Debug, Default)]
pub struct WorkReply {
    /// What became of the reports, in their order.
    pub reported: Vec<Reported>,
    /// What the worker should know, if it sent a heartbeat.
    pub heartbeat: Option<HeartbeatReply>,
    /// Jobs to run, if it claimed.
    pub claimed: Vec<ClaimedJob>,
}

/// Every operation of Taskwright. Batches are bounded by `core::limits::BATCH_MAX`; results keep
/// the order of the input.
///
/// Futures run on any tokio runtime, also one that the implementation has never seen: a worker
/// renews its lease from a runtime of its own.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// Writes jobs, durably before it returns: all of them, or with an error none. With `partial`
    /// each job stands for itself.
    async fn enqueue(&self, jobs: Vec<JobRequest>, partial: bool) -> Result<Vec<Enqueued>>;
    /// Takes jobs to run; see `Store::claim`.
    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>>;
    /// Takes note of how attempts went; see `Store::report`.
    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>>;
    /// Renews a worker's lease; see `Store::heartbeat`.
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply>;
    /// Waits until a worker should send a heartbeat at once, because an attempt of its was asked to
    /// stop; `false` after `wait` (at most `WAIT_MAX`). Only a hint: whoever is never told hears it
    /// with the next heartbeat.
    async fn listen(&self, namespace: &Name, worker: WorkerId, wait: Duration) -> Result<bool> {
        let _ = (namespace, worker);
        tokio::time::sleep(wait.min(WAIT_MAX)).await;
        Ok(false)
    }
    /// Cancels, redrives, adjusts, deletes jobs, sets policies, pauses, resumes; `actor` is who asks, for the audit record.
    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>>;
    /// Jobs by id, whole; `None` where there is none.
    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>>;
    /// A job once it has ended, or as it is after `wait` (at most `WAIT_MAX`).
    async fn wait(&self, namespace: &Name, id: JobId, wait: Duration) -> Result<Option<Job>>;
    /// One page of jobs, newest first, without args and results.
    async fn list(&self, filter: Filter) -> Result<Page>;
    /// The next jobs of a queue, in order.
    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>>;
    /// The queues of a namespace with their counts.
    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>>;
    /// The policies of a namespace, by subject.
    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        let _ = namespace;
        Ok(Vec::new())
    }
    /// What can be done with schedules and calendars; an error where there are none.
    fn scheduling(&self) -> Result<&dyn Scheduling> {
        let message = "there are no schedules here; ask a server or a store";
        Err(Error::new(ErrorCode::Invalid, message))
    }
    /// The workers of a namespace.
    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>>;
    /// How long the jobs of which task waited for and ran on which worker, as far as this process saw it.
    async fn costs(&self, namespace: &Name) -> Result<Costs> {
        let _ = namespace;
        Ok(Costs::default())
    }
    /// Which of the workers that the store knows may run such a job now, and what excludes the
    /// others. It only explains: a job that nobody matches is enqueued all the same, and waits.
    async fn place(&self, request: PlaceRequest) -> Result<Placement> {
        let workers = self.workers(&request.namespace).await?;
        let now = self.describe().await?.now;
        Ok(place(&request, &workers, now))
    }
    /// Why a job does not run yet: all that keeps it from starting, the jobs before it, and when it
    /// may start. It looks at things one after another: what it tells is of about now. `None`: there
    /// is no such job.
    async fn why(&self, namespace: &Name, id: JobId) -> Result<Option<Why>> {
        why(self, namespace, id).await
    }
    /// The processes that have the store open; where only one can, that one.
    async fn nodes(&self) -> Result<Vec<NodeView>> {
        Ok(Vec::new())
    }
    /// Why calls cannot be expected to succeed just now; see `Store::outage`.
    fn outage(&self) -> Option<String> {
        None
    }
    /// What the store is and what it promises.
    async fn describe(&self) -> Result<Description>;

    /// Reports, heartbeat and claim in one call. An error may mean that some of it was done: the
    /// whole call may be repeated.
    async fn work(&self, work: Work) -> Result<WorkReply> {
        let mut reply = WorkReply::default();
        let waits = work.reports.is_empty();
        if !work.reports.is_empty() {
            reply.reported = self.report(work.reports).await?;
        }
        if let Some(heartbeat) = work.heartbeat {
            reply.heartbeat = Some(self.heartbeat(heartbeat).await?);
        }
        if let Some(mut claim) = work.claim {
            if !waits {
                claim.wait = Duration::ZERO;
            }
            reply.claimed = self.claim(claim).await?;
        }
        Ok(reply)
    }

    /// Hints of what happens from now on, where they can be had: they may be coalesced or lost.
    fn events(&self) -> Option<Events> {
        None
    }

    /// Finishes what was begun and lets go of the store; later calls answer `Closed`. A client of a
    /// server only lets go of the connection.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
