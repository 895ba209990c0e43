//! Taking note of how attempts went.

use std::sync::Arc;

use taskwright_core::lifecycle::{Event, Refused, step};
use taskwright_core::{AttemptRecord, JobError, RetryPolicy, Timestamp, Token, Verdict, WorkerId};
use taskwright_store::{Outcome, Report, Reported, Result, Retry};

use super::insert::place_at;
use super::{Archive, Archived, Ledger};
use crate::change::{More, Seq, Vital};

impl Ledger {
    /// See `Store::report`.
    pub fn report(
        &mut self,
        reports: Vec<Report>,
        archive: &mut dyn Archive,
    ) -> Result<Vec<Reported>> {
        reports.into_iter().map(|report| self.report_one(report, archive)).collect()
    }

    fn report_one(&mut self, report: Report, archive: &mut dyn Archive) -> Result<Reported> {
        let Some(seq) = self.find(&report.namespace, report.id) else {
            return self.report_of_archived(&report, archive);
        };
        if self.jobs[&seq].is_deleted() {
            return Ok(Reported::Unknown);
        }
        Ok(match report.outcome {
            Outcome::Completed { result } => self.complete(seq, report.token, result),
            Outcome::Failed { error, retry } => self.fail(seq, report.token, error, retry),
            Outcome::TimedOut => self.time_out(seq, report.token),
            Outcome::Snoozed { delay } => {
                let due_at = self.now.plus(delay);
                let place = place_at(due_at, self.now, self.jobs[&seq].fixed.priority);
                let event = Event::Snoozed { token: report.token, place };
                self.end_attempt(seq, &event, Some(due_at), None)
            }
            Outcome::Released => self.release(seq, report.token),
            Outcome::Cancelled { reason } => self.stop(seq, report.token, reason),
            Outcome::Checkpoint { value } => {
                if self.token_of(seq) != Some(report.token) {
                    return Ok(Reported::Stale);
                }
                let more = More { checkpoint: Some(value), ..More::default() };
                let vital = self.jobs[&seq].vital();
                self.set(seq, vital, Some(Box::new(more)));
                Reported::Applied { state: vital.life.state.name() }
            }
        })
    }

    fn complete(
        &mut self,
        seq: Seq,
        token: Token,
        result: Option<taskwright_core::Json>,
    ) -> Reported {
        let vital = self.jobs[&seq].vital();
        match step(&vital.life, &Event::Completed { token }) {
            Err(refused) => refusal(refused),
            Ok(life) => {
                let more =
                    result.map(|result| Box::new(More { result: Some(result), ..More::default() }));
                self.set(seq, Vital { life, finished_at: Some(self.now), ..vital }, more);
                Reported::Applied { state: life.state.name() }
            }
        }
    }

    fn fail(&mut self, seq: Seq, token: Token, error: JobError, retry: Retry) -> Reported {
        let due_at = match retry {
            Retry::ByPolicy => Some(self.retry_at(seq)),
            Retry::After(wait) => Some(self.now.plus(wait)),
            Retry::Never => None,
        };
        let due_at = due_at.map(|due_at| self.take_retry(seq, token, due_at));
        let priority = self.jobs[&seq].fixed.priority;
        let next = due_at.map(|due_at| place_at(due_at, self.now, priority));
        self.end_attempt(seq, &Event::Failed { token, next }, due_at, Some(error))
    }

    /// Ends an attempt that ran longer than its timeout.
    pub(super) fn time_out(&mut self, seq: Seq, token: Token) -> Reported {
        let due_at = self.take_retry(seq, token, self.retry_at(seq));
        let entry = &self.jobs[&seq];
        let next = place_at(due_at, self.now, entry.fixed.priority);
        let started_at = entry.vital().run.map_or(self.now, |run| run.started_at);
        let error = JobError::timed_out(self.now.since(started_at));
        self.end_attempt(seq, &Event::TimedOut { token, next }, Some(due_at), Some(error))
    }

    /// Gives an attempt back unspent.
    pub(super) fn release(&mut self, seq: Seq, token: Token) -> Reported {
        let place = self.place_again(seq);
        self.end_attempt(seq, &Event::Released { token, place }, None, None)
    }

    /// Ends an attempt whose worker was lost.
    pub(super) fn lapse(&mut self, seq: Seq, token: Token, worker: WorkerId) -> Reported {
        let place = self.place_again(seq);
        let error = JobError::lost(worker);
        self.end_attempt(seq, &Event::Lapsed { token, place }, None, Some(error))
    }

    /// Ends a job whose attempt asks not to be run again.
    fn stop(&mut self, seq: Seq, token: Token, reason: Arc<str>) -> Reported {
        let vital = self.jobs[&seq].vital();
        let wanted = match vital.life.token() {
            Some(current) if current == token => step(&vital.life, &Event::Cancel).ok(),
            _ => None,
        };
        let life = wanted.unwrap_or(vital.life);
        let place = self.place_again(seq);
        match step(&life, &Event::Released { token, place }) {
            Err(refused) => refusal(refused),
            Ok(life) => {
                let asked = self.jobs[&seq].rare.as_ref().and_then(|r| r.cancel_reason.clone());
                let more = More {
                    cancel_reason: asked.or(Some(reason)),
                    attempt: self.attempt_record(&vital, Verdict::Released, None),
                    ..More::default()
                };
                let finished_at = life.state.is_final().then_some(self.now);
                self.set(seq, Vital { life, finished_at, ..vital }, Some(Box::new(more)));
                Reported::Applied { state: life.state.name() }
            }
        }
    }

    /// Applies an event that ends an attempt without completing the job.
    fn end_attempt(
        &mut self,
        seq: Seq,
        event: &Event,
        due_at: Option<Timestamp>,
        error: Option<JobError>,
    ) -> Reported {
        let vital = self.jobs[&seq].vital();
        let life = match step(&vital.life, event) {
            Err(refused) => return refusal(refused),
            Ok(life) => life,
        };
        let verdict = life.last.map_or(Verdict::Failed, |(_, verdict)| verdict);
        let more = More {
            attempt: self.attempt_record(&vital, verdict, error.clone()),
            error,
            ..More::default()
        };
        let is_over = life.state.is_final();
        let vital = Vital {
            life,
            due_at: if is_over { vital.due_at } else { due_at.unwrap_or(vital.due_at) },
            finished_at: is_over.then_some(self.now),
            ..vital
        };
        self.set(seq, vital, Some(Box::new(more)));
        Reported::Applied { state: life.state.name() }
    }

    fn attempt_record(
        &self,
        vital: &Vital,
        verdict: Verdict,
        error: Option<JobError>,
    ) -> Option<AttemptRecord> {
        let run = vital.run?;
        Some(AttemptRecord {
            attempt: vital.life.attempt,
            worker: self.workers.id(run.worker)?,
            started_at: run.started_at,
            ended_at: self.now,
            verdict,
            error,
        })
    }

    /// Where a job that is given back waits: its old rank, so that it is not behind those that came later.
    pub(super) fn place_again(&self, seq: Seq) -> taskwright_core::Place {
        let entry = &self.jobs[&seq];
        place_at(entry.vital().due_at.min(self.now), self.now, entry.fixed.priority)
    }

    fn retry_at(&self, seq: Seq) -> Timestamp {
        let entry = &self.jobs[&seq];
        let life = entry.vital().life;
        let chance = taskwright_core::retry::seed(entry.fixed.id, life.attempt);
        let policy = entry.fixed.extras.as_ref().and_then(|extras| extras.retry.as_ref());
        let wait = policy.unwrap_or(&DEFAULT_RETRY).delay(life.failures + 1, chance);
        self.now.plus(wait)
    }

    fn report_of_archived(&self, report: &Report, archive: &mut dyn Archive) -> Result<Reported> {
        if !self.may_be_archived(report.id) {
            return Ok(Reported::Unknown);
        }
        Ok(match archive.by_id(&report.namespace, report.id)? {
            Some(Archived::Whole(job)) => match (job.vital.life.last, report.outcome.verdict()) {
                (Some(last), Some(verdict)) if last == (report.token, verdict) => Reported::Already,
                _ => Reported::Stale,
            },
            _ => Reported::Unknown,
        })
    }
}

const DEFAULT_RETRY: RetryPolicy = RetryPolicy::DEFAULT;

fn refusal(refused: Refused) -> Reported {
    match refused {
        Refused::Already(_) => Reported::Already,
        Refused::Stale | Refused::Impossible(_) => Reported::Stale,
    }
}
