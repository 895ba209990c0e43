//! One job as the store holds it, and how an event changes it. What becomes of its state is decided
//! by `core::lifecycle`; here stands what follows for the record.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::lifecycle::{self, Event as E};
use taskwright_core::limits::{ATTEMPTS_KEPT_FIRST, ATTEMPTS_KEPT_LAST};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{
    AttemptRecord, Job, JobError, Place, Refused, StateName, Timestamp, Token, Verdict, retry,
};
use taskwright_store::{CancelOrder, Event, Outcome, Retry};

use crate::limits::budgets::Budgets;

/// Where the row of a job is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    Live,
    Dead,
    Ended,
}

impl Shelf {
    /// The table that it is.
    pub const fn table(self) -> &'static str {
        match self {
            Shelf::Live => "job",
            Shelf::Dead => "dead",
            Shelf::Ended => "ended",
        }
    }
}

/// A job, and what the store knows of it but does not show.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub job: Job,
    pub shelf: Shelf,
    /// The lane it waits in, or waited in last.
    pub lane: i32,
    /// The kind of that lane.
    pub kind: i16,
    /// `max_attempts` as it was inserted.
    pub allowance: u32,
    /// Whether anything has happened to it: then its keys may have other room.
    pub touched: bool,
}

/// The place of a job that is due at this instant.
pub(crate) fn place(due_at: Timestamp, priority: i8, now: Timestamp) -> Place {
    if due_at > now {
        Place::Until(due_at)
    } else {
        Place::Ready(rank::fifo(due_at, priority, AGING_DEFAULT))
    }
}

impl Record {
    /// What the event makes of the job, and everything that follows from it.
    ///
    /// `due_at` is when the job is due where it becomes available, `error` what is said of an
    /// attempt that ends.
    pub fn change(
        &mut self,
        event: &lifecycle::Event,
        due_at: Timestamp,
        error: Option<JobError>,
        now: Timestamp,
    ) -> Result<StateName, Refused> {
        let before = self.job.life;
        let after = lifecycle::step(&before, event)?;
        self.job.life = after;
        self.touched = true;
        if before.token().is_some() && after.token().is_none() {
            self.job.progress = None;
            self.note_attempt(error, now);
        }
        if matches!(after.state, lifecycle::State::Available(_)) {
            self.job.run_at = due_at;
        }
        if after.state.is_final() && !before.state.is_final() {
            self.job.finished_at = Some(now);
        }
        Ok(after.state.name())
    }

    /// Keeps what happened in an attempt that ended without completing: the first 5 and the last 20.
    fn note_attempt(&mut self, error: Option<JobError>, now: Timestamp) {
        let job = &mut self.job;
        let Some((_, verdict)) = job.life.last.filter(|(_, v)| *v != Verdict::Completed) else {
            return;
        };
        let (Some(worker), Some(started_at)) = (job.worker, job.started_at) else { return };
        if error.is_some() {
            job.error.clone_from(&error);
        }
        if job.attempts.len() == ATTEMPTS_KEPT_FIRST + ATTEMPTS_KEPT_LAST {
            job.attempts.remove(ATTEMPTS_KEPT_FIRST);
        }
        let attempt = job.life.attempt;
        job.attempts.push(AttemptRecord {
            attempt,
            worker,
            started_at,
            ended_at: now,
            verdict,
            error,
        });
    }

    /// What a report makes of the job, which takes its place in the retry budgets.
    pub fn report(
        &mut self,
        token: Token,
        outcome: Outcome,
        budgets: &mut Budgets,
        now: Timestamp,
    ) -> Result<StateName, Refused> {
        let is_current = self.job.life.token() == Some(token);
        let Job { run_at, priority, .. } = self.job;
        match outcome {
            Outcome::Checkpoint { value } => {
                if !is_current {
                    return Err(Refused::Stale);
                }
                self.job.checkpoint = Some(value);
                Ok(StateName::Running)
            }
            Outcome::Completed { result } => {
                let state = self.change(&E::Completed { token }, run_at, None, now)?;
                self.job.result = result;
                Ok(state)
            }
            Outcome::Failed { error, retry } => {
                let due_at = match retry {
                    Retry::ByPolicy => Some(self.retry_at(now)),
                    Retry::After(wait) => Some(now.plus(wait)),
                    Retry::Never => None,
                };
                let due_at = due_at.map(|at| budgets.take(&self.job, token, at, now));
                let next = due_at.map(|at| place(at, priority, now));
                let event = E::Failed { token, next };
                self.change(&event, due_at.unwrap_or(run_at), Some(error), now)
            }
            Outcome::TimedOut => self.time_out(token, budgets, now),
            Outcome::Snoozed { delay } => {
                let due_at = now.plus(delay);
                let place = place(due_at, priority, now);
                self.change(&E::Snoozed { token, place }, due_at, None, now)
            }
            Outcome::Released => self.release(token, now),
            Outcome::Cancelled { reason } => {
                if is_current {
                    self.cancel(reason, now)?;
                }
                self.release(token, now)
            }
        }
    }

    /// Gives the job back: it keeps its place in the order.
    pub fn release(&mut self, token: Token, now: Timestamp) -> Result<StateName, Refused> {
        let Job { run_at, priority, .. } = self.job;
        let place = place(run_at, priority, now);
        self.change(&E::Released { token, place }, run_at, None, now)
    }

    /// The lease of the attempt's worker is over.
    pub fn lapse(&mut self, now: Timestamp) -> Result<StateName, Refused> {
        let Some(token) = self.job.life.token() else { return Err(Refused::Stale) };
        let Job { run_at, priority, worker, .. } = self.job;
        let place = place(run_at, priority, now);
        let error = worker.map(JobError::lost);
        self.change(&E::Lapsed { token, place }, run_at, error, now)
    }

    /// The attempt ran too long.
    pub fn time_out(
        &mut self,
        token: Token,
        budgets: &mut Budgets,
        now: Timestamp,
    ) -> Result<StateName, Refused> {
        let Job { priority, started_at, .. } = self.job;
        let ran = now.since(started_at.unwrap_or(now));
        let due_at = budgets.take(&self.job, token, self.retry_at(now), now);
        let next = place(due_at, priority, now);
        let error = Some(JobError::timed_out(ran));
        self.change(&E::TimedOut { token, next }, due_at, error, now)
    }

    /// Notes the wish to stop the job. The first reason stays.
    pub fn cancel(&mut self, reason: Arc<str>, now: Timestamp) -> Result<StateName, Refused> {
        let state = self.change(&E::Cancel, self.job.run_at, None, now)?;
        self.job.cancel_reason.get_or_insert(reason);
        Ok(state)
    }

    /// The job had not started in time.
    pub fn expire(&mut self, now: Timestamp) -> Result<StateName, Refused> {
        self.change(&E::Expire, self.job.run_at, None, now)
    }

    /// Its time has come.
    pub fn come_due(&mut self, now: Timestamp) -> Result<StateName, Refused> {
        let Job { run_at, priority, .. } = self.job;
        let rank = rank::fifo(run_at, priority, AGING_DEFAULT);
        self.change(&E::Due { rank }, run_at, None, now)
    }

    /// An operator restarts the ended job with so many more attempts (0: as many as it had).
    pub fn redrive(&mut self, attempts: u32, now: Timestamp) -> Result<StateName, Refused> {
        let attempts = if attempts == 0 { self.allowance } else { attempts };
        let place = place(now, self.job.priority, now);
        let state = self.change(&E::Redrive { attempts, place }, now, None, now)?;
        self.job.finished_at = None;
        self.job.result = None;
        self.job.cancel_reason = None;
        Ok(state)
    }

    /// When the job runs again after the attempt that just failed, by its retry policy.
    fn retry_at(&self, now: Timestamp) -> Timestamp {
        let Job { id, life, extras, .. } = &self.job;
        let policy = extras.retry.clone().unwrap_or_default();
        now.plus(policy.delay(life.failures + 1, retry::seed(*id, life.attempt)))
    }

    /// The hint that says how the job stands.
    pub fn event(&self) -> Event {
        Event {
            namespace: self.job.namespace.clone(),
            queue: self.job.queue.clone(),
            task: self.job.task.clone(),
            id: self.job.id,
            state: self.job.life.state.name(),
            attempt: self.job.life.attempt,
        }
    }
}

/// The order to stop an attempt that ran for so long.
pub(crate) fn overdue_order(
    id: taskwright_core::JobId,
    token: Token,
    ran: Duration,
) -> CancelOrder {
    CancelOrder { id, token, reason: JobError::timed_out(ran).message, timed_out: true }
}
