//! Unique keys, and jobs that are changed while they wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::{
    Extras, Job, JobId, Life, Name, NewJob, OnConflict, Place, Replace, State, Timestamp,
};
use taskwright_store::{Controlled, Inserted, Refusal, Result};

use super::insert::{lane_name, place_at};
use super::lanes::LaneName;
use super::{Archive, Archived, Ledger};
use crate::change::{Change, Rewrite, Seq, TimedHold, Vital};

/// The job that holds a unique key.
pub(super) struct Holder {
    seq: Seq,
    id: JobId,
    life: Life,
}

/// What the items of a call would see of those before them.
#[derive(Default)]
struct Foreseen<'a> {
    fingerprints: HashMap<(&'a Name, JobId), u64>,
    holders: HashMap<(&'a Name, &'a str), JobId>,
    lanes: HashSet<LaneName>,
    /// New jobs of queues that let only so many wait.
    waiting: HashMap<(&'a Name, &'a Name), u64>,
}

impl Ledger {
    /// All unique keys and the jobs that may hold them, to look at.
    pub fn keys(&self) -> impl Iterator<Item = (&Name, &str, Seq)> {
        self.keys.all()
    }

    /// Notes whether a job holds its unique key, if it has one.
    pub(super) fn note_key(&mut self, seq: Seq) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let Some(unique) = entry.fixed.unique() else { return };
        if self.epoch == 0 {
            self.keys.unsettled.insert(seq);
            return;
        }
        let namespace = &self.lanes.get(entry.fixed.lane).namespace;
        let until = entry.fixed.key_elapses_at();
        match entry.holds_key(self.now) {
            true => self.keys.hold(namespace, &unique.key, seq, until),
            false => self.keys.free(namespace, &unique.key, seq, until),
        }
    }

    /// Finds out who holds what once all groups are set again.
    pub(super) fn settle_keys(&mut self) {
        for seq in std::mem::take(&mut self.keys.unsettled) {
            self.note_key(seq);
        }
        for hold in std::mem::take(&mut self.keys.loaded) {
            let TimedHold { seq, namespace, key, until } = hold;
            if self.now < until && !self.jobs.contains_key(&seq) {
                self.keys.hold(&namespace, &key, seq, Some(until));
            }
        }
    }

    /// The job that holds the unique key of another one, if that has one.
    pub(super) fn holder(
        &self,
        namespace: &Name,
        extras: &Extras,
        archive: &mut dyn Archive,
    ) -> Result<Option<Holder>> {
        let Some(unique) = &extras.unique else { return Ok(None) };
        let Some(seq) = self.keys.find(namespace, &unique.key) else { return Ok(None) };
        if let Some(entry) = self.jobs.get(&seq) {
            let holder = || Holder { seq, id: entry.fixed.id, life: entry.vital().life };
            return Ok(entry.holds_key(self.now).then(holder));
        }
        let Some(Archived::Whole(job)) = archive.by_seq(seq)? else { return Ok(None) };
        let is_held = job.fixed.key_elapses_at().is_some_and(|until| self.now < until);
        Ok(is_held.then_some(Holder { seq, id: job.fixed.id, life: job.vital.life }))
    }

    /// Another job that holds the key which a job would hold with this life.
    pub(super) fn rival(
        &self,
        seq: Seq,
        life: &Life,
        archive: &mut dyn Archive,
    ) -> Result<Option<JobId>> {
        let fixed = &self.jobs[&seq].fixed;
        let (Some(extras), Some(unique)) = (&fixed.extras, fixed.unique()) else {
            return Ok(None);
        };
        if !unique.is_held(life, fixed.created_at, self.now) {
            return Ok(None);
        }
        let namespace = &self.lanes.get(fixed.lane).namespace;
        let holder = self.holder(namespace, extras, archive)?;
        Ok(holder.filter(|holder| holder.seq != seq).map(|holder| holder.id))
    }

    /// Why a job that comes from another store cannot have the key that it holds.
    pub(super) fn key_is_taken(
        &self,
        job: &Job,
        archive: &mut dyn Archive,
    ) -> Result<Option<Refusal>> {
        let Some(unique) = &job.extras.unique else { return Ok(None) };
        if !unique.is_held(&job.life, job.created_at, self.now) {
            return Ok(None);
        }
        let holder = self.holder(&job.namespace, &job.extras, archive)?;
        let key = Arc::clone(&unique.key);
        Ok(holder.map(|holder| Refusal::UniqueTaken { key, holder: holder.id }))
    }

    /// The answers where some job must be refused: each item sees what those before it would do.
    pub(super) fn refuse_in_turn(
        &self,
        jobs: &[NewJob],
        archive: &mut dyn Archive,
    ) -> Result<Option<Vec<Inserted>>> {
        let mut foreseen = Foreseen::default();
        let mut answers = vec![Inserted::Skipped; jobs.len()];
        let mut is_refused = false;
        for (job, answer) in jobs.iter().zip(&mut answers) {
            if let Some(refusal) = self.foresee(job, &mut foreseen, archive)? {
                *answer = Inserted::Refused(refusal);
                is_refused = true;
            }
        }
        Ok(is_refused.then_some(answers))
    }

    /// Why a job would be refused after those that were foreseen.
    fn foresee<'a>(
        &self,
        job: &'a NewJob,
        foreseen: &mut Foreseen<'a>,
        archive: &mut dyn Archive,
    ) -> Result<Option<Refusal>> {
        let NewJob { namespace, id, fingerprint, .. } = job;
        let known = match foreseen.fingerprints.get(&(namespace, *id)) {
            Some(known) => Some(*known),
            None => self.known(namespace, *id, archive)?.map(|known| known.fingerprint),
        };
        if let Some(known) = known {
            return Ok((known != *fingerprint).then_some(Refusal::IdConflict(*id)));
        }
        if let Some(unique) = &job.extras.unique {
            let holder = match foreseen.holders.get(&(namespace, &*unique.key)) {
                Some(holder) => Some(*holder),
                None => self.holder(namespace, &job.extras, archive)?.map(|holder| holder.id),
            };
            if let Some(holder) = holder {
                let key = Arc::clone(&unique.key);
                let is_refused = job.on_conflict == OnConflict::Refuse;
                return Ok(is_refused.then_some(Refusal::UniqueTaken { key, holder }));
            }
        }
        let lane = lane_name(job);
        let mut new_lane = None;
        if self.lanes.number(&lane).is_none() && !foreseen.lanes.contains(&lane) {
            if let Err(refusal) = self.lanes.check_room(foreseen.lanes.len() + 1) {
                return Ok(Some(refusal));
            }
            new_lane = Some(lane);
        }
        if self.limits.has_policies(namespace) {
            let waiting = foreseen.waiting.entry((namespace, &job.queue)).or_insert(0);
            if let Err(refusal) = self.check_waiting(job, *waiting) {
                return Ok(Some(refusal));
            }
            *waiting += 1;
        }
        foreseen.lanes.extend(new_lane);
        foreseen.fingerprints.insert((namespace, *id), *fingerprint);
        if let Some(unique) = &job.extras.unique
            && unique.is_held(&Life::new(1, 0, Place::Intake), self.now, self.now)
        {
            foreseen.holders.insert((namespace, &unique.key), *id);
        }
        Ok(None)
    }

    /// What becomes of a new job whose key another job holds.
    pub(super) fn duplicate(&mut self, holder: &Holder, new: NewJob) -> Inserted {
        let Holder { id, seq, life } = *holder;
        let replaced = match (new.on_conflict, &new.extras.unique) {
            (OnConflict::Refuse, Some(unique)) => {
                let key = Arc::clone(&unique.key);
                return Inserted::Refused(Refusal::UniqueTaken { key, holder: id });
            }
            (OnConflict::Replace(replace), _) if replace.applies_to(&life) => {
                self.replace(seq, replace, new);
                true
            }
            _ => false,
        };
        Inserted::Duplicate { id, seq, state: life.state.name(), replaced }
    }

    /// Gives a waiting job fields of a new one.
    fn replace(&mut self, seq: Seq, replace: Replace, new: NewJob) {
        let entry = &self.jobs[&seq];
        let vital = entry.vital();
        let created_at = entry.fixed.created_at;
        let due_at = replace.due_at(new.run_at, created_at, vital.due_at, self.now);
        let mut rewrite = Rewrite::of(&entry.fixed, vital);
        if replace.priority {
            rewrite.priority = new.priority;
        }
        if replace.timeout {
            rewrite.timeout_ms = new.timeout_ms;
        }
        if replace.max_attempts {
            rewrite.max_attempts = new.max_attempts.max(1);
            rewrite.vital.life.max_attempts = rewrite.max_attempts;
        }
        rewrite.tags = replace.tags.then_some(new.extras.tags);
        rewrite.args = replace.args.then_some(new.args);
        match self.put(&rewrite, due_at) {
            Some(vital) if !self.keeps_place(&rewrite, due_at) => {
                rewrite.vital = self.lined_up(&self.jobs[&seq].fixed, vital);
            }
            _ => {}
        }
        self.rewrite(rewrite);
    }

    /// Changes how urgent a waiting job is, or when it is due.
    pub(super) fn adjust(
        &mut self,
        namespace: &Name,
        id: JobId,
        priority: Option<i8>,
        run_at: Option<Timestamp>,
        archive: &mut dyn Archive,
    ) -> Result<Controlled> {
        let Some(seq) = self.recall(namespace, id, archive)? else {
            return Ok(Controlled::NotFound);
        };
        let entry = &self.jobs[&seq];
        let vital = entry.vital();
        let mut rewrite = Rewrite::of(&entry.fixed, vital);
        rewrite.priority = priority.unwrap_or(rewrite.priority);
        let due_at = run_at.map_or(vital.due_at, |run_at| run_at.max(self.now));
        let Some(vital) = self.put(&rewrite, due_at) else {
            return Ok(self.refused(seq, vital.life.state));
        };
        let state = vital.life.state.name();
        if !self.keeps_place(&rewrite, due_at) {
            let vital = self.lined_up(&self.jobs[&seq].fixed, vital);
            self.rewrite(Rewrite { vital, ..rewrite });
        }
        Ok(Controlled::Done { state: Some(state) })
    }

    /// Whether the priority of a job and when it is due are as before: then it keeps its place, and its
    /// turn.
    fn keeps_place(&self, rewrite: &Rewrite, due_at: Timestamp) -> bool {
        let fixed = self.jobs.get(&rewrite.seq).map(|entry| entry.fixed.priority);
        fixed == Some(rewrite.priority) && rewrite.vital.due_at == due_at
    }

    /// How an available job stands where its priority and this due time belong.
    fn put(&self, rewrite: &Rewrite, due_at: Timestamp) -> Option<Vital> {
        let State::Available(_) = rewrite.vital.life.state else { return None };
        let place = place_at(due_at, self.now, rewrite.priority);
        let life = step(&rewrite.vital.life, &Event::Adjust { place }).ok()?;
        Some(Vital { life, due_at, ..rewrite.vital })
    }

    /// A waiting job is now so: changes it, its place in every index, and notes the change.
    fn rewrite(&mut self, rewrite: Rewrite) {
        self.give(&rewrite);
        self.changes.push(Change::Rewrite(Box::new(rewrite)));
    }
}

#[cfg(test)]
#[path = "tests/unique.rs"]
mod tests;
