//! Taking in new jobs.

use std::collections::HashSet;
use std::sync::Arc;

use taskwright_core::limits::ID_WINDOW;
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{JobId, Life, Name, NewJob, Place, StateName, Timestamp};
use taskwright_store::{Insert, Inserted, Refusal, Result};

use super::entry::Entry;
use super::lanes::LaneName;
use super::{Archive, Archived, Ledger};
use crate::change::{Change, Fixed, LaneNumber, Seq, Vital};

impl Ledger {
    /// See `Store::insert`.
    pub fn insert(&mut self, insert: Insert, archive: &mut dyn Archive) -> Result<Vec<Inserted>> {
        if insert.partial {
            return insert
                .jobs
                .into_iter()
                .map(|job| self.insert_one(job, true, archive))
                .collect();
        }
        let has_keys = insert.jobs.iter().any(|job| job.extras.unique.is_some());
        let refused = match has_keys || self.is_any_bound(&insert.jobs) {
            true => self.refuse_in_turn(&insert.jobs, archive)?,
            false => self.refuse(&insert.jobs, archive)?,
        };
        if let Some(refused) = refused {
            return Ok(refused);
        }
        insert.jobs.into_iter().map(|job| self.insert_one(job, false, archive)).collect()
    }

    /// As a partial insert, of jobs that may wait however many there are.
    pub(super) fn insert_freely(
        &mut self,
        jobs: Vec<NewJob>,
        archive: &mut dyn Archive,
    ) -> Result<Vec<Inserted>> {
        jobs.into_iter().map(|job| self.insert_one(job, false, archive)).collect()
    }

    /// The answers where some job must be refused, of a call without unique keys to queues that take
    /// any number.
    fn refuse(&self, jobs: &[NewJob], archive: &mut dyn Archive) -> Result<Option<Vec<Inserted>>> {
        let mut refused: Option<Vec<Inserted>> = None;
        let mut refuse = |index: usize, refusal| {
            let answers = refused.get_or_insert_with(|| vec![Inserted::Skipped; jobs.len()]);
            answers[index] = Inserted::Refused(refusal);
        };
        let mut new = Vec::new();
        let mut new_lanes = HashSet::new();
        let mut last_lane: Option<&NewJob> = None;
        for (index, job) in jobs.iter().enumerate() {
            match self.known(&job.namespace, job.id, archive)? {
                None => new.push(index),
                Some(known) if known.fingerprint == job.fingerprint => {}
                Some(_) => refuse(index, Refusal::IdConflict(job.id)),
            }
            if last_lane.is_none_or(|last| !same_lane(last, job)) {
                let lane = lane_name(job);
                if self.lanes.number(&lane).is_none()
                    && new_lanes.insert(lane)
                    && let Err(refusal) = self.lanes.check_room(new_lanes.len())
                {
                    refuse(index, refusal);
                }
                last_lane = Some(job);
            }
        }
        for index in twins_that_differ(jobs, new) {
            refuse(index, Refusal::IdConflict(jobs[index].id));
        }
        Ok(refused)
    }

    /// Writes a job; `is_bound`: if its queue lets it wait.
    fn insert_one(
        &mut self,
        mut job: NewJob,
        is_bound: bool,
        archive: &mut dyn Archive,
    ) -> Result<Inserted> {
        if let Some(known) = self.known(&job.namespace, job.id, archive)? {
            return Ok(if known.fingerprint == job.fingerprint {
                Inserted::Existing { seq: known.seq, state: known.state }
            } else {
                Inserted::Refused(Refusal::IdConflict(job.id))
            });
        }
        if let Some(holder) = self.holder(&job.namespace, &job.extras, archive)? {
            return Ok(self.duplicate(&holder, job));
        }
        if is_bound && let Some(refusal) = self.refused_to_wait(&job) {
            return Ok(Inserted::Refused(refusal));
        }
        let requires = std::mem::take(&mut job.extras.requires);
        let name = (job.namespace.clone(), job.queue.clone(), job.task.clone(), requires);
        let lane = match self.lane_or_new(name) {
            Ok(lane) => lane,
            Err(refusal) => return Ok(Inserted::Refused(refusal)),
        };
        let seq = self.next_seq;
        self.next_seq += 1;
        let (fixed, vital) = self.admit(job, seq, lane);
        self.changes.push(Change::Insert(Arc::clone(&fixed), vital));
        let has_key = fixed.unique().is_some();
        self.enter(seq, Entry::new(fixed, vital));
        if has_key {
            self.note_key(seq);
        }
        Ok(Inserted::New { seq })
    }

    fn admit(&self, job: NewJob, seq: Seq, lane: LaneNumber) -> (Arc<Fixed>, Vital) {
        let later = job.run_at.filter(|&run_at| run_at > self.now);
        let due_at = later.unwrap_or(self.now);
        let place = place_at(due_at, self.now, job.priority);
        let waits_for = u32::try_from(job.extras.parents.len()).unwrap_or(u32::MAX);
        let life = Life::new(job.max_attempts, waits_for, place);
        let fixed = Arc::new(Fixed {
            seq,
            id: job.id,
            lane,
            priority: job.priority,
            timeout_ms: job.timeout_ms,
            created_at: self.now,
            fingerprint: job.fingerprint,
            max_attempts: life.max_attempts,
            args: job.args,
            extras: (!job.extras.is_empty()).then(|| Box::new(job.extras)),
        });
        let vital = Vital { life, due_at, run: None, finished_at: None };
        let vital = self.lined_up(&fixed, vital);
        (fixed, vital)
    }

    /// The number of a lane, which is made where there was none.
    pub(super) fn lane_or_new(&mut self, name: LaneName) -> Result<LaneNumber, Refusal> {
        if let Some(number) = self.lanes.number(&name) {
            return Ok(number);
        }
        self.lanes.check_room(1)?;
        let lane = self.lanes.add(name);
        let number = lane.number;
        self.changes.push(Change::Lane(lane));
        Ok(number)
    }

    /// What is known of an id, here or in the archive.
    pub(super) fn known(
        &self,
        namespace: &Name,
        id: JobId,
        archive: &mut dyn Archive,
    ) -> Result<Option<Known>> {
        if let Some(seq) = self.find(namespace, id) {
            let entry = &self.jobs[&seq];
            if self.is_forgotten(entry) {
                return Ok(None);
            }
            let (fingerprint, state) = (entry.fixed.fingerprint, entry.state().name());
            return Ok(Some(Known { seq, fingerprint, state }));
        }
        if !self.may_be_archived(id) {
            return Ok(None);
        }
        Ok(archive.by_id(namespace, id)?.and_then(|archived| match archived {
            Archived::Whole(job) => Some(Known {
                seq: job.fixed.seq,
                fingerprint: job.fixed.fingerprint,
                state: job.vital.life.state.name(),
            }),
            Archived::Gone { seq, fingerprint, state, finished_at } => {
                let is_remembered = self.now < finished_at.plus(ID_WINDOW);
                is_remembered.then_some(Known { seq, fingerprint, state })
            }
        }))
    }
}

/// What is known of an id.
pub(super) struct Known {
    pub seq: Seq,
    pub fingerprint: u64,
    pub state: StateName,
}

/// Where a job that is due at `due_at` waits.
pub(super) fn place_at(due_at: Timestamp, now: Timestamp, priority: i8) -> Place {
    if due_at > now {
        Place::Until(due_at)
    } else {
        Place::Ready(rank::fifo(due_at, priority, AGING_DEFAULT))
    }
}

fn same_lane(a: &NewJob, b: &NewJob) -> bool {
    a.task == b.task
        && a.queue == b.queue
        && a.namespace == b.namespace
        && a.extras.requires == b.extras.requires
}

/// The name of a job's lane.
pub(super) fn lane_name(job: &NewJob) -> LaneName {
    let NewJob { namespace, queue, task, extras, .. } = job;
    (namespace.clone(), queue.clone(), task.clone(), extras.requires.clone())
}

/// Of the jobs at `new`, those whose id stands earlier in the call with another fingerprint.
fn twins_that_differ(jobs: &[NewJob], mut new: Vec<usize>) -> Vec<usize> {
    let name = |index: usize| (jobs[index].id, &jobs[index].namespace);
    // Ids that grow, as version 7 ones do, have no twins.
    if new.is_sorted_by(|&a, &b| jobs[a].id < jobs[b].id) {
        return Vec::new();
    }
    new.sort_by_key(|&index| (name(index), index));
    let mut differ = Vec::new();
    for twins in new.chunk_by(|&a, &b| name(a) == name(b)) {
        let first = jobs[twins[0]].fingerprint;
        differ.extend(twins.iter().copied().filter(|&index| jobs[index].fingerprint != first));
    }
    differ
}
