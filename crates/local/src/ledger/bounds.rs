//! What a queue bounds beside starts: how many jobs may wait in it, and how fast failed attempts
//! may come back.

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::{LineKey, Name, NewJob, Place, StateName, Timestamp, Token};
use taskwright_store::Refusal;

use super::Ledger;
use super::counters::Slot;
use super::insert::lane_name;
use crate::change::{Arrival, Change, Seq};

impl Ledger {
    /// Whether a queue of these jobs lets only so many wait.
    pub(super) fn is_any_bound(&self, jobs: &[NewJob]) -> bool {
        self.limits.has_any()
            && jobs.iter().any(|job| self.waiting_max(&job.namespace, &job.queue).is_some())
    }

    /// The most jobs that may wait in a queue.
    fn waiting_max(&self, namespace: &Name, queue: &Name) -> Option<u32> {
        self.limits.policies.get(namespace)?.waiting_of(queue)
    }

    /// Why a new job may not wait in its queue, where `more` jobs will before it.
    pub(super) fn check_waiting(&self, job: &NewJob, more: u64) -> Result<(), Refusal> {
        let Some(max) = self.waiting_max(&job.namespace, &job.queue) else { return Ok(()) };
        let index = self.lanes.queue_index(&job.namespace, &job.queue);
        let waiting = index.map_or(0, |index| {
            let counters = &self.lanes.queues[index].counters;
            [Slot::Ready, Slot::Scheduled, Slot::InLine].map(|slot| counters.get(slot)).iter().sum()
        });
        match waiting + more >= u64::from(max) {
            true => Err(Refusal::WaitingFull { queue: job.queue.clone(), max }),
            false => Ok(()),
        }
    }

    /// Why a new job is not written whose queue is full; that there is no room for its lane is told
    /// first.
    pub(super) fn refused_to_wait(&self, job: &NewJob) -> Option<Refusal> {
        if !self.limits.has_policies(&job.namespace) {
            return None;
        }
        let full = self.check_waiting(job, 0).err()?;
        let lane_room = match self.lanes.number(&lane_name(job)) {
            Some(_) => Ok(()),
            None => self.lanes.check_room(1),
        };
        Some(lane_room.err().unwrap_or(full))
    }

    /// When a job is due whose attempt failed and that was to come back at this instant: one that is
    /// retried takes its place in the retry budget of its queue.
    pub(super) fn take_retry(&mut self, seq: Seq, token: Token, wanted: Timestamp) -> Timestamp {
        let Some(entry) = self.jobs.get(&seq) else { return wanted };
        let lane = self.lanes.get(entry.fixed.lane);
        let policies = self.limits.policies.get(&lane.namespace);
        let Some(budget) = policies.and_then(|policies| policies.budget_of(&lane.queue)) else {
            return wanted;
        };
        let event = Event::Failed { token, next: Some(Place::Intake) };
        let is_retried = step(&entry.vital().life, &event)
            .is_ok_and(|life| life.state.name() == StateName::Available);
        if !is_retried {
            return wanted;
        }
        let number = LineKey::budget(&lane.namespace, &lane.queue, &budget);
        let (at, after) = budget.retry(self.limits.usage(number, 0).arrival, self.now);
        self.limits.arrivals.insert(number, after);
        self.changes.push(Change::Arrival(Arrival { number, at: after }));
        wanted.max(at)
    }
}
