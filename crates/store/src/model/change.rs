//! What callers change: insert, report, heartbeat, control.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::lifecycle::{self, Event as E};
use taskwright_core::limits::{ID_WINDOW, LANES_MAX};
use taskwright_core::{
    Job, JobError, JobId, Life, Name, NewJob, Place, Refused, Requirement, StateName, Token,
};

use super::state::{Audited, Departed, Record, State, event_of};
use crate::events::Nudge;
use crate::request::*;

/// Namespace, queue, task and requirement.
pub type Lane<'a> = (&'a Name, &'a Name, &'a Name, &'a Requirement);

/// The lane of a job.
pub fn lane_of(job: &Job) -> Lane<'_> {
    (&job.namespace, &job.queue, &job.task, &job.extras.requires)
}

impl State {
    pub fn insert(&mut self, insert: Insert) -> Vec<Inserted> {
        if insert.partial {
            return insert.jobs.into_iter().map(|job| self.insert_one(job, true)).collect();
        }
        let touched = self.touched.clone();
        let before = (self.records.clone(), self.last_seq, self.unannounced.len(), touched);
        let mut answers: Vec<_> =
            insert.jobs.into_iter().map(|job| self.insert_one(job, true)).collect();
        let refused = |answer: &Inserted| matches!(answer, Inserted::Refused(_));
        if answers.iter().any(refused) {
            self.records = before.0;
            self.last_seq = before.1;
            self.unannounced.truncate(before.2);
            self.touched = before.3;
            for answer in answers.iter_mut().filter(|answer| !refused(answer)) {
                *answer = Inserted::Skipped;
            }
        }
        answers
    }

    /// Writes a job; `is_bound`: if its queue lets it wait.
    pub fn insert_one(&mut self, new: NewJob, is_bound: bool) -> Inserted {
        if let Some((seq, fingerprint, state)) = self.known(&new.namespace, new.id) {
            return if fingerprint == new.fingerprint {
                Inserted::Existing { seq, state }
            } else {
                Inserted::Refused(Refusal::IdConflict(new.id))
            };
        }
        if let Some(holder) = self.holder(&new.namespace, &new.extras) {
            return self.duplicate(holder, new);
        }
        let lane = (&new.namespace, &new.queue, &new.task, &new.extras.requires);
        if self.has_no_room_for_lane(lane) {
            return Inserted::Refused(Refusal::LanesFull { max: LANES_MAX });
        }
        if is_bound && let Some(max) = self.has_no_room_to_wait(&new.namespace, &new.queue) {
            return Inserted::Refused(Refusal::WaitingFull { queue: new.queue, max });
        }
        self.last_seq += 1;
        let record = self.admitted(new);
        self.unannounced.push(event_of(&record.job));
        self.enter(record);
        Inserted::New { seq: self.last_seq }
    }

    /// A job is here that was not.
    pub fn enter(&mut self, record: Record) {
        self.records.push(record);
        let index = self.records.len() - 1;
        self.touch(index);
        let state = self.records[index].job.life.state;
        if matches!(state, lifecycle::State::Available(Place::Ready(_))) {
            self.line_up(index);
        }
    }

    /// The number, digest and state of a job whose id is known.
    pub fn known(&self, namespace: &Name, id: JobId) -> Option<(u64, u64, StateName)> {
        if let Some(index) = self.find(namespace, id) {
            let Record { job, fingerprint, .. } = &self.records[index];
            return Some((job.seq, *fingerprint, job.life.state.name()));
        }
        let remembered = |d: &&Departed| {
            d.id == id && d.namespace == *namespace && self.now < d.finished_at.plus(ID_WINDOW)
        };
        self.departed.iter().rfind(remembered).map(|d| (d.seq, d.fingerprint, d.state))
    }

    pub fn has_no_room_for_lane(&self, own: Lane<'_>) -> bool {
        let live = self.records.iter().filter(|r| !r.job.life.state.is_final());
        if live.clone().count() < LANES_MAX {
            return false;
        }
        let lanes: HashSet<_> = live.map(|r| lane_of(&r.job)).collect();
        lanes.len() >= LANES_MAX && !lanes.contains(&own)
    }

    fn admitted(&self, new: NewJob) -> Record {
        let due_at = new.run_at.unwrap_or(self.now).max(self.now);
        let place = self.place(due_at, new.priority);
        let job = Job {
            namespace: new.namespace,
            id: new.id,
            seq: self.last_seq,
            task: new.task,
            queue: new.queue,
            life: Life::new(new.max_attempts, 0, place),
            priority: new.priority,
            run_at: due_at,
            timeout_ms: new.timeout_ms,
            created_at: self.now,
            started_at: None,
            finished_at: None,
            worker: None,
            cancel_reason: None,
            error: None,
            progress: None,
            checkpoint: None,
            args: Some(new.args),
            result: None,
            extras: new.extras,
            attempts: Vec::new(),
        };
        Record { allowance: job.life.max_attempts, job, fingerprint: new.fingerprint, claim_seq: 0 }
    }

    pub fn report(&mut self, report: Report) -> Reported {
        let Some(index) = self.find(&report.namespace, report.id) else {
            return Reported::Unknown;
        };
        let token = report.token;
        let now = self.now;
        let Job { life, run_at, priority, .. } = self.records[index].job;
        let is_current = life.token() == Some(token);

        let applied = match report.outcome {
            Outcome::Checkpoint { value } => {
                if !is_current {
                    return Reported::Stale;
                }
                self.records[index].job.checkpoint = Some(value);
                return Reported::Applied { state: StateName::Running };
            }
            Outcome::Completed { result } => {
                let applied = self.change(index, &E::Completed { token }, run_at, None);
                if applied.is_ok() {
                    self.records[index].job.result = result;
                }
                applied
            }
            Outcome::Failed { error, retry } => {
                let due_at = match retry {
                    Retry::ByPolicy => Some(self.retry(index)),
                    Retry::After(wait) => Some(now.plus(wait)),
                    Retry::Never => None,
                };
                let due_at = due_at.map(|at| self.take_retry(index, token, at));
                let next = due_at.map(|at| self.place(at, priority));
                let event = E::Failed { token, next };
                self.change(index, &event, due_at.unwrap_or(run_at), Some(error))
            }
            Outcome::TimedOut => self.time_out(index, token),
            Outcome::Snoozed { delay } => {
                let due_at = now.plus(delay);
                let place = self.place(due_at, priority);
                self.change(index, &E::Snoozed { token, place }, due_at, None)
            }
            Outcome::Released => self.release(index, token),
            Outcome::Cancelled { reason } => {
                if is_current {
                    self.cancel(index, reason).and_then(|_| self.release(index, token))
                } else {
                    self.release(index, token)
                }
            }
        };
        match applied {
            Ok(state) => Reported::Applied { state },
            Err(Refused::Already(_)) => Reported::Already,
            Err(Refused::Stale | Refused::Impossible(_)) => Reported::Stale,
        }
    }

    /// Gives a job back: it keeps its place in the order.
    fn release(&mut self, index: usize, token: Token) -> Result<StateName, Refused> {
        let Job { run_at, priority, .. } = self.records[index].job;
        let place = self.place(run_at, priority);
        self.change(index, &E::Released { token, place }, run_at, None)
    }

    pub fn lapse(&mut self, index: usize, token: Token) -> Result<StateName, Refused> {
        let Job { run_at, priority, worker, .. } = self.records[index].job;
        let place = self.place(run_at, priority);
        let error = worker.map(JobError::lost);
        self.change(index, &E::Lapsed { token, place }, run_at, error)
    }

    pub fn time_out(&mut self, index: usize, token: Token) -> Result<StateName, Refused> {
        let Job { priority, started_at, .. } = self.records[index].job;
        let ran = self.now.since(started_at.unwrap_or(self.now));
        let due_at = self.take_retry(index, token, self.retry(index));
        let next = self.place(due_at, priority);
        let error = Some(JobError::timed_out(ran));
        self.change(index, &E::TimedOut { token, next }, due_at, error)
    }

    /// Notes the wish to stop a job. The first reason stays.
    fn cancel(&mut self, index: usize, reason: Arc<str>) -> Result<StateName, Refused> {
        let due_at = self.records[index].job.run_at;
        let state = self.change(index, &E::Cancel, due_at, None)?;
        let job = &mut self.records[index].job;
        job.cancel_reason.get_or_insert(reason);
        if let (StateName::Running, Some(worker)) = (state, job.worker) {
            self.nudges.push(Nudge { namespace: job.namespace.clone(), worker });
        }
        Ok(state)
    }

    pub fn heartbeat(&mut self, heartbeat: Heartbeat) -> HeartbeatReply {
        let Heartbeat { namespace, worker, settled, held, progress, info } = heartbeat;
        self.greet(&namespace, worker).info = info;

        let running: Vec<_> = self.running_of(&namespace, worker).collect();
        for &index in &running {
            let Record { job, claim_seq, .. } = &self.records[index];
            let Some(token) = job.life.token() else { continue };
            if *claim_seq <= settled && !held.contains(&(job.id, token)) {
                // The job runs with this very token, so the release cannot be refused.
                let _ = self.release(index, token);
            }
        }
        let running: Vec<_> = self.running_of(&namespace, worker).collect();
        let current = |state: &State, id, token| {
            running.iter().copied().find(|&index| {
                let job = &state.records[index].job;
                job.id == id && job.life.token() == Some(token)
            })
        };
        for (id, token, value) in progress {
            if let Some(index) = current(self, id, token) {
                self.records[index].job.progress = Some(value);
            }
        }
        let lost = held.into_iter().filter(|&(id, token)| current(self, id, token).is_none());
        let lost = lost.collect();
        let cancel = running.iter().filter_map(|&index| self.cancel_order(index)).collect();
        HeartbeatReply { lost, cancel }
    }

    fn cancel_order(&self, index: usize) -> Option<CancelOrder> {
        let job = &self.records[index].job;
        let token = job.life.token()?;
        let order = |reason, timed_out| Some(CancelOrder { id: job.id, token, reason, timed_out });
        if job.life.cancel_requested {
            return order(job.cancel_reason.clone().unwrap_or_else(|| "".into()), false);
        }
        let timeout = Duration::from_millis(job.timeout_ms?);
        let ran = self.now.since(job.started_at?);
        if ran < timeout {
            return None;
        }
        order(JobError::timed_out(ran).message, true)
    }

    pub fn control(&mut self, actor: &str, command: Command) -> Controlled {
        self.audit.push(Audited { at: self.now, actor: actor.into(), command: command.clone() });
        match command {
            Command::Pause { namespace, queue } => {
                if !self.is_paused(&namespace, &queue) {
                    self.paused.push((namespace, queue));
                }
                Controlled::Done { state: None }
            }
            Command::Resume { namespace, queue } => {
                self.paused.retain(|(ns, q)| (ns, q) != (&namespace, &queue));
                Controlled::Done { state: None }
            }
            Command::Cancel { namespace, id, reason } => {
                self.on_job(&namespace, id, |state, index| state.cancel(index, reason))
            }
            Command::Redrive { namespace, id, attempts } => match self.find(&namespace, id) {
                Some(index) => self.redrive_if_free(index, attempts),
                None => Controlled::NotFound,
            },
            Command::Adjust { namespace, id, priority, run_at } => {
                self.on_job(&namespace, id, |state, index| state.adjust(index, priority, run_at))
            }
            Command::SetPolicy { namespace, subject, policy } => {
                self.set_policy(&namespace, subject, policy)
            }
            Command::Delete { namespace, id } => self.delete(&namespace, id),
        }
    }

    fn on_job(
        &mut self,
        namespace: &Name,
        id: JobId,
        act: impl FnOnce(&mut State, usize) -> Result<StateName, Refused>,
    ) -> Controlled {
        let Some(index) = self.find(namespace, id) else { return Controlled::NotFound };
        match act(self, index) {
            Ok(state) => Controlled::Done { state: Some(state) },
            Err(_) => Controlled::Refused { state: self.records[index].job.life.state.name() },
        }
    }

    pub fn redrive(&mut self, index: usize, attempts: u32) -> Result<StateName, Refused> {
        let Record { job, allowance, .. } = &self.records[index];
        let attempts = if attempts == 0 { *allowance } else { attempts };
        let place = self.place(self.now, job.priority);
        let state = self.change(index, &E::Redrive { attempts, place }, self.now, None)?;
        let job = &mut self.records[index].job;
        job.finished_at = None;
        job.result = None;
        job.cancel_reason = None;
        Ok(state)
    }

    fn delete(&mut self, namespace: &Name, id: JobId) -> Controlled {
        let Some(index) = self.find(namespace, id) else { return Controlled::NotFound };
        let state = self.records[index].job.life.state;
        if !state.is_final() {
            return Controlled::Refused { state: state.name() };
        }
        self.remove(index);
        Controlled::Done { state: None }
    }

    /// Takes out an ended job, and remembers its id.
    pub fn remove(&mut self, index: usize) {
        self.leave_order(index);
        let Record { job, fingerprint, .. } = self.records.remove(index);
        self.departed.push(Departed {
            namespace: job.namespace,
            id: job.id,
            fingerprint,
            seq: job.seq,
            state: job.life.state.name(),
            finished_at: job.finished_at.unwrap_or(self.now),
        });
    }
}
