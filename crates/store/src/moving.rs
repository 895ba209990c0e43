//! Jobs on their way from one store to another.

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::limits::{
    ATTEMPTS_KEPT_FIRST, ATTEMPTS_KEPT_LAST, BATCH_BYTES_MAX, BATCH_MAX,
};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{
    AttemptRecord, Job, Json, Name, Place, Policy, State, StateName, Subject, Timestamp, Verdict,
};

use crate::error::{Error, ErrorKind, Result};
use crate::request::Refusal;

/// Bytes counted for what every job has: id, names, counts and times.
const JOB_BYTES: usize = 384;
/// Bytes counted for an attempt beside its error.
const ATTEMPT_BYTES: usize = 192;

/// A job as it travels: all that it shows, and what a store keeps of it and does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The job, whole: with args, result and attempts, and the `seq` it has where it comes from.
    pub job: Job,
    /// Digest of task, queue and args, as it was inserted with.
    pub fingerprint: u64,
    /// The `max_attempts` it was inserted with: what a redrive without a number gives again.
    pub allowance: u32,
}

/// One page of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The jobs, by growing `seq`.
    pub records: Vec<Record>,
    /// `after` of the next page; `None`: there was nothing behind this one.
    pub next: Option<u64>,
    /// The settings, with the first page only.
    pub settings: Option<Settings>,
}

/// What people have set in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Every queue that has jobs, live or ended, or is paused; by namespace and name.
    pub queues: Vec<QueueSettings>,
    /// Every policy, by namespace and subject.
    pub policies: Vec<(Name, Subject, Policy)>,
}

/// The settings of one queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueSettings {
    /// The tenant.
    pub namespace: Name,
    /// The queue.
    pub queue: Name,
    /// Whether none of its jobs may start.
    pub paused: bool,
}

/// What became of one record of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Imported {
    /// It was written, with this `seq`.
    New { seq: u64 },
    /// It was there before, with this `seq` and now in this state; nothing was changed.
    Existing { seq: u64, state: StateName },
    /// It was not written, for this reason; `IdConflict`: the id names another job.
    Refused(Refusal),
}

impl Record {
    /// About how many bytes it takes, rather too many: what pages and batches are bounded by.
    pub fn bytes(&self) -> usize {
        let job = &self.job;
        let texts = [&job.args, &job.result, &job.progress, &job.checkpoint];
        let texts: usize = texts.into_iter().flatten().map(Json::len).sum();
        let names =
            job.namespace.as_str().len() + job.queue.as_str().len() + job.task.as_str().len();
        let error = |error: &taskwright_core::JobError| error.kind.len() + error.message.len();
        let attempts = job.attempts.iter();
        let attempts: usize =
            attempts.map(|a| ATTEMPT_BYTES + a.error.as_ref().map_or(0, error)).sum();
        let reason = job.cancel_reason.as_ref().map_or(0, |reason| reason.len());
        let error = job.error.as_ref().map_or(0, error);
        JOB_BYTES + texts + names + attempts + reason + error + job.extras.bytes()
    }

    /// The record as a store must keep it that imports it at `now`, but for `seq`.
    ///
    /// - A running attempt is released unspent: its worker cannot report to this store. That is a
    ///   step of the lifecycle like any other, so a job that was asked to stop ends cancelled.
    /// - A job that waits gets the place that its `run_at` and priority give it by this store's
    ///   time: ready or on the timer.
    /// - Nothing else changes: counts, the number of the attempt, times, errors and the last report
    ///   stay as they are.
    pub fn arriving(mut self, now: Timestamp) -> Record {
        let job = &mut self.job;
        if let State::Running(token) = job.life.state {
            let place = place_at(job, now);
            if let Ok(life) = step(&job.life, &Event::Released { token, place }) {
                job.life = life;
                note_release(job, now);
            }
        }
        job.progress = None;
        match job.life.state {
            State::Available(_) => {
                job.life.state = State::Available(place_at(job, now));
                job.finished_at = None;
            }
            state if state.is_final() => {
                job.finished_at.get_or_insert(now);
            }
            _ => job.finished_at = None,
        }
        self
    }
}

fn place_at(job: &Job, now: Timestamp) -> Place {
    if job.run_at > now {
        Place::Until(job.run_at)
    } else {
        Place::Ready(rank::fifo(job.run_at, job.priority, AGING_DEFAULT))
    }
}

fn note_release(job: &mut Job, now: Timestamp) {
    let (Some(worker), Some(started_at)) = (job.worker, job.started_at) else { return };
    let attempt = AttemptRecord {
        attempt: job.life.attempt,
        worker,
        started_at,
        ended_at: now,
        verdict: Verdict::Released,
        error: None,
    };
    keep_attempt(&mut job.attempts, attempt);
}

/// Keeps an attempt that ended: of all of them the first 5 and the last 20.
pub(crate) fn keep_attempt(attempts: &mut Vec<AttemptRecord>, attempt: AttemptRecord) {
    if attempts.len() >= ATTEMPTS_KEPT_FIRST + ATTEMPTS_KEPT_LAST {
        attempts.remove(ATTEMPTS_KEPT_FIRST);
    }
    attempts.push(attempt);
}

/// Refuses more records than an import takes at once: at most `BATCH_MAX`, and of more than one at
/// most `BATCH_BYTES_MAX` by [`Record::bytes`].
///
/// # Errors
/// `Invalid`.
pub fn check_batch(records: &[Record]) -> Result<()> {
    let bytes: usize = records.iter().map(Record::bytes).sum();
    if records.len() > BATCH_MAX || (records.len() > 1 && bytes > BATCH_BYTES_MAX) {
        let message = format!(
            "cannot import {} jobs of {bytes} bytes at once; send at most {BATCH_MAX} of at most \
             {BATCH_BYTES_MAX} bytes",
            records.len()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

/// How many of some jobs a page takes, by what [`Record::bytes`] says of each: as many as fit into
/// `BATCH_BYTES_MAX`, but at least one.
#[derive(Debug, Default)]
pub struct PageRoom {
    bytes: usize,
}

impl PageRoom {
    /// Whether the record still fits; it is counted then.
    pub fn takes(&mut self, record: &Record) -> bool {
        let bytes = self.bytes + record.bytes();
        let fits = self.bytes == 0 || bytes <= BATCH_BYTES_MAX;
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}
