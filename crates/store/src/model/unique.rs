//! Unique keys, and jobs that are changed while they wait.

use std::sync::Arc;

use taskwright_core::lifecycle::{self, Event as E};
use taskwright_core::{
    Extras, Job, JobId, Name, NewJob, OnConflict, Refused, Replace, StateName, Timestamp,
};

use super::state::{Record, State};
use crate::request::{Controlled, Inserted, Refusal};

impl State {
    /// The job that holds the unique key of this one.
    pub fn holder(&self, namespace: &Name, extras: &Extras) -> Option<usize> {
        let key = &extras.unique.as_ref()?.key;
        self.records.iter().position(|record| {
            let job = &record.job;
            job.namespace == *namespace && self.key_held_by(job) == Some(key)
        })
    }

    /// The unique key that a job holds now.
    fn key_held_by<'a>(&self, job: &'a Job) -> Option<&'a Arc<str>> {
        let unique = job.extras.unique.as_ref()?;
        unique.is_held(&job.life, job.created_at, self.now).then_some(&unique.key)
    }

    /// Another job that holds the key that this one holds: that must not be.
    fn rival(&self, index: usize) -> Option<JobId> {
        let job = &self.records[index].job;
        let key = self.key_held_by(job)?;
        let holds_it = |other: &&Record| {
            let it = &other.job;
            it.seq != job.seq && it.namespace == job.namespace && self.key_held_by(it) == Some(key)
        };
        self.records.iter().find(holds_it).map(|record| record.job.id)
    }

    /// What becomes of a new job whose key that other job holds.
    pub fn duplicate(&mut self, holder: usize, new: NewJob) -> Inserted {
        let Record { job, .. } = &self.records[holder];
        let (id, seq, state) = (job.id, job.seq, job.life.state.name());
        let replaced = match (new.on_conflict, &new.extras.unique) {
            (OnConflict::Refuse, Some(unique)) => {
                let key = Arc::clone(&unique.key);
                return Inserted::Refused(Refusal::UniqueTaken { key, holder: id });
            }
            (OnConflict::Replace(replace), _) if replace.applies_to(&job.life) => {
                self.replace(holder, replace, new);
                true
            }
            _ => false,
        };
        Inserted::Duplicate { id, seq, state, replaced }
    }

    fn replace(&mut self, holder: usize, replace: Replace, new: NewJob) {
        let now = self.now;
        let Record { job, allowance, .. } = &mut self.records[holder];
        let priority = job.priority;
        if replace.args {
            job.args = Some(new.args);
        }
        if replace.priority {
            job.priority = new.priority;
        }
        if replace.timeout {
            job.timeout_ms = new.timeout_ms;
        }
        if replace.tags {
            job.extras.tags = new.extras.tags;
        }
        if replace.max_attempts {
            job.life.max_attempts = new.max_attempts.max(1);
            *allowance = job.life.max_attempts;
        }
        let due_at = replace.due_at(new.run_at, job.created_at, job.run_at, now);
        if matches!(job.life.state, lifecycle::State::Available(_)) {
            // The job is available, so it cannot be refused.
            let _ = self.put(holder, priority, due_at);
        }
    }

    /// Changes how urgent a waiting job is, or when it is due.
    pub fn adjust(
        &mut self,
        index: usize,
        priority: Option<i8>,
        run_at: Option<Timestamp>,
    ) -> Result<StateName, Refused> {
        let job = &self.records[index].job;
        if !matches!(job.life.state, lifecycle::State::Available(_)) {
            return Err(Refused::Impossible(job.life.state.name()));
        }
        let due_at = run_at.map_or(job.run_at, |run_at| run_at.max(self.now));
        let job = &mut self.records[index].job;
        let before = job.priority;
        job.priority = priority.unwrap_or(before);
        self.put(index, before, due_at)
    }

    /// Puts an available job where its priority and this due time belong. One for which both are as
    /// before keeps its place, and its turn.
    fn put(
        &mut self,
        index: usize,
        priority_before: i8,
        due_at: Timestamp,
    ) -> Result<StateName, Refused> {
        let job = &self.records[index].job;
        if (job.priority, job.run_at) == (priority_before, due_at) {
            return Ok(job.life.state.name());
        }
        let place = self.place(due_at, self.records[index].job.priority);
        self.change(index, &E::Adjust { place }, due_at, None)
    }

    /// Redrives an ended job, unless another one holds its key now.
    pub fn redrive_if_free(&mut self, index: usize, attempts: u32) -> Controlled {
        let state = self.records[index].job.life.state.name();
        let before = self.records[index].clone();
        let Ok(state_after) = self.redrive(index, attempts) else {
            return Controlled::Refused { state };
        };
        let Some(holder) = self.rival(index) else {
            return Controlled::Done { state: Some(state_after) };
        };
        self.records[index] = before;
        self.unannounced.pop();
        Controlled::Taken { holder }
    }
}
