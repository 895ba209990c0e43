//! What the naive model knows, and how one job changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::LEASE;
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{
    AttemptRecord, Job, JobError, JobId, Life, Name, Place, Policies, Rank, Refused, StateName,
    Subject, Timestamp, Verdict, WorkerId, lifecycle,
};

use crate::document::Document;
use crate::events::{Event, Nudge, Publisher};
use crate::moving::keep_attempt;
use crate::request::{Command, Profile, WorkerInfo};
use crate::retention::Retention;

/// Everything that a store remembers.
pub struct State {
    /// The store's own time: the latest instant that the clock ever showed.
    pub now: Timestamp,
    /// Lease time served so far.
    pub served: Duration,
    /// When lease time was last served.
    pub swept_at: Timestamp,
    pub epoch: u32,
    pub last_seq: u64,
    pub retention: Retention,
    /// In the order of `seq`.
    pub records: Vec<Record>,
    pub departed: Vec<Departed>,
    pub workers: Vec<Worker>,
    /// By namespace.
    pub policies: BTreeMap<Name, Policies>,
    /// When the next start of a key is due by its rate, by the number of its line.
    pub arrivals: BTreeMap<u64, Timestamp>,
    /// The same of queues and tasks.
    pub lane_arrivals: BTreeMap<(Name, Subject), Timestamp>,
    /// The turns of fair queues: what their clocks show, and the turns after the newest starts of groups.
    pub turns: BTreeMap<u64, Rank>,
    /// Keys whose lines are to be served.
    pub touched: BTreeSet<u64>,
    pub documents: Vec<Document>,
    /// Paused queues, by namespace and name.
    pub paused: Vec<(Name, Name)>,
    pub audit: Vec<Audited>,
    /// `None` once the store is closed.
    pub publisher: Option<Publisher>,
    pub unannounced: Vec<Event>,
    pub nudges: Vec<Nudge>,
}

/// One job, and what a store knows of it but does not show.
#[derive(Clone)]
pub struct Record {
    pub job: Job,
    pub fingerprint: u64,
    /// `max_attempts` as it was inserted.
    pub allowance: u32,
    /// The number of the claim that gave the newest attempt.
    pub claim_seq: u64,
}

/// The id of a job that was pruned or deleted, so that a repeated insert is still recognised.
pub struct Departed {
    pub namespace: Name,
    pub id: JobId,
    pub fingerprint: u64,
    pub seq: u64,
    pub state: StateName,
    pub finished_at: Timestamp,
}

/// A worker with a lease.
pub struct Worker {
    pub namespace: Name,
    pub id: WorkerId,
    pub info: WorkerInfo,
    pub profile: Option<Arc<Profile>>,
    pub in_process: bool,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// The lease lapses when as much lease time has been served.
    pub lease_end: Duration,
    /// The number of its last claim that gave jobs, and which.
    pub last_claim: u64,
    pub last_claimed: Vec<(JobId, taskwright_core::Token)>,
}

/// One thing that an operator asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// When, in the store's time.
    pub at: Timestamp,
    /// Who asked.
    pub actor: Arc<str>,
    /// For what.
    pub command: Command,
}

impl State {
    pub fn new(now: Timestamp, retention: Retention) -> Self {
        State {
            now,
            served: Duration::ZERO,
            swept_at: now,
            epoch: 1,
            last_seq: 0,
            retention,
            records: Vec::new(),
            departed: Vec::new(),
            workers: Vec::new(),
            policies: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            lane_arrivals: BTreeMap::new(),
            turns: BTreeMap::new(),
            touched: BTreeSet::new(),
            documents: Vec::new(),
            paused: Vec::new(),
            audit: Vec::new(),
            publisher: Some(Publisher::default()),
            unannounced: Vec::new(),
            nudges: Vec::new(),
        }
    }

    /// The clock shows `wall`. The store's time follows, but never back.
    pub fn observe(&mut self, wall: Timestamp) {
        self.now = self.now.max(wall);
    }

    pub fn reopened(&mut self) {
        self.epoch += 1;
        self.swept_at = self.now;
        for worker in &mut self.workers {
            let lease = if worker.in_process { Duration::ZERO } else { LEASE };
            worker.lease_end = self.served + lease;
        }
    }

    pub fn announce(&mut self) {
        let events = std::mem::take(&mut self.unannounced);
        let nudges = std::mem::take(&mut self.nudges);
        if let Some(publisher) = &self.publisher {
            publisher.publish(events);
            publisher.nudge(nudges);
        }
    }

    pub fn find(&self, namespace: &Name, id: JobId) -> Option<usize> {
        self.records.iter().position(|r| r.job.id == id && r.job.namespace == *namespace)
    }

    pub fn is_paused(&self, namespace: &Name, queue: &Name) -> bool {
        self.paused.iter().any(|(ns, q)| ns == namespace && q == queue)
    }

    /// The worker, with its lease granted afresh; it is known from now on.
    pub fn greet(&mut self, namespace: &Name, id: WorkerId) -> &mut Worker {
        let lease_end = self.served + LEASE;
        let known = self.workers.iter().position(|w| w.id == id && w.namespace == *namespace);
        let index = known.unwrap_or_else(|| {
            self.workers.push(Worker {
                namespace: namespace.clone(),
                id,
                info: WorkerInfo::default(),
                profile: None,
                in_process: false,
                first_seen_at: self.now,
                last_seen_at: self.now,
                lease_end,
                last_claim: 0,
                last_claimed: Vec::new(),
            });
            self.workers.len() - 1
        });
        let worker = &mut self.workers[index];
        worker.last_seen_at = self.now;
        worker.lease_end = lease_end;
        worker
    }

    /// What the event makes of a job, and everything that follows from it for the job itself.
    ///
    /// `due_at` is when the job is due where it becomes available, `error` what is said of an
    /// attempt that ends.
    pub fn change(
        &mut self,
        index: usize,
        event: &lifecycle::Event,
        due_at: Timestamp,
        error: Option<JobError>,
    ) -> Result<StateName, Refused> {
        let now = self.now;
        let job = &mut self.records[index].job;
        let before = job.life;
        let after = lifecycle::step(&before, event)?;
        job.life = after;

        if before.token().is_some() && after.token().is_none() {
            job.progress = None;
            record_attempt(job, now, error);
        }
        if matches!(after.state, lifecycle::State::Available(_)) {
            job.run_at = due_at;
        }
        if after.state.is_final() && !before.state.is_final() {
            job.finished_at = Some(now);
        }
        if after.state.name() != before.state.name() {
            self.unannounced.push(event_of(&self.records[index].job));
        }
        self.touch(index);
        if matches!(after.state, lifecycle::State::Available(Place::Ready(_))) {
            self.line_up(index);
        }
        Ok(after.state.name())
    }

    /// The place of a job that is due at this instant.
    pub fn place(&self, due_at: Timestamp, priority: i8) -> Place {
        if due_at > self.now {
            Place::Until(due_at)
        } else {
            Place::Ready(rank::fifo(due_at, priority, AGING_DEFAULT))
        }
    }

    /// The rank of a job that is due.
    pub fn rank_of(&self, job: &Job) -> Rank {
        rank::fifo(job.run_at, job.priority, AGING_DEFAULT)
    }

    /// When and where a job runs again whose attempt just failed, by its retry policy.
    pub fn retry(&self, index: usize) -> Timestamp {
        let Job { id, life, extras, .. } = &self.records[index].job;
        let policy = extras.retry.clone().unwrap_or_default();
        let seed = taskwright_core::retry::seed(*id, life.attempt);
        self.now.plus(policy.delay(life.failures + 1, seed))
    }
}

/// The hint that says how a job stands.
pub fn event_of(job: &Job) -> Event {
    Event {
        namespace: job.namespace.clone(),
        queue: job.queue.clone(),
        task: job.task.clone(),
        id: job.id,
        state: job.life.state.name(),
        attempt: job.life.attempt,
    }
}

/// Keeps what happened in an attempt that ended without completing: the first 5 and the last 20.
fn record_attempt(job: &mut Job, now: Timestamp, error: Option<JobError>) {
    let Life { attempt, last: Some((_, verdict)), .. } = job.life else { return };
    let (Some(worker), Some(started_at)) = (job.worker, job.started_at) else { return };
    if verdict == Verdict::Completed {
        return;
    }
    if error.is_some() {
        job.error.clone_from(&error);
    }
    let ended = AttemptRecord { attempt, worker, started_at, ended_at: now, verdict, error };
    keep_attempt(&mut job.attempts, ended);
}
