//! Where a job is found: every index, kept in one place.

use taskwright_core::{Place, State, StateName, Timestamp};
use taskwright_store::Event;

use super::Ledger;
use super::counters::Slot;
use super::entry::Entry;
use super::lanes::second;
use super::limits::is_keyed;
use crate::change::{More, Rewrite, Run, Seq, Vital};

impl Ledger {
    /// Puts a job that was not in memory into every index.
    pub(super) fn enter(&mut self, seq: Seq, mut entry: Entry) {
        let vital = entry.vital();
        self.args_bytes += entry.fixed.args.len();
        self.ids.insert(entry.fixed.id, seq);
        self.refer(None, vital.run);
        if is_keyed(&entry.fixed) {
            entry.rare_mut().keys = Some(self.keys_of(&entry.fixed));
        }
        self.jobs.insert(seq, entry);
        self.link(seq, &vital);
        self.announce(seq, &vital);
    }

    /// Changes a job that is in memory, and its place in every index.
    pub(super) fn place(&mut self, seq: Seq, vital: Vital, more: Option<&More>) {
        let Some(entry) = self.jobs.get_mut(&seq) else { return };
        let old = entry.vital();
        let has_key = entry.fixed.unique().is_some();
        entry.set_vital(vital);
        if let Some(more) = more {
            entry.rare_mut().absorb(more);
        }
        if let Some(rare) = &mut entry.rare {
            rare.settle(vital.life.state);
        }
        self.unlink(seq, &old);
        self.link(seq, &vital);
        if has_key {
            self.note_key(seq);
        }
        self.refer(old.run, vital.run);
        if old.life.state.name() != vital.life.state.name() {
            self.announce(seq, &vital);
            if vital.life.state.is_final() {
                self.departing.push_back((self.position, seq));
            } else if old.life.state.is_final()
                && !self.recalled.remove(&seq)
                && let Some(entry) = self.jobs.get_mut(&seq)
            {
                entry.rare_mut().undone_ends += 1;
            }
        }
    }

    /// Gives a waiting job other fields and another place.
    pub(super) fn give(&mut self, rewrite: &Rewrite) {
        let seq = rewrite.seq;
        let Some(entry) = self.jobs.get_mut(&seq) else { return };
        self.args_bytes -= entry.fixed.args.len();
        let vital = entry.vital();
        let old = (entry.fixed.priority, entry.rank_at(vital.due_at));
        entry.rewrite(rewrite, self.position);
        self.args_bytes += entry.fixed.args.len();
        if rewrite.args.is_some() {
            self.rewritten.push_back((self.position, seq));
        }
        self.rerank(seq, &vital, old);
        self.place(seq, rewrite.vital, None);
    }

    /// A job that spoke of the worker of one run now speaks of that of another.
    pub(super) fn refer(&mut self, old: Option<Run>, new: Option<Run>) {
        let (old, new) = (old.map(|run| run.worker), new.map(|run| run.worker));
        if old != new {
            old.inspect(|&number| self.workers.unrefer(number));
            new.inspect(|&number| self.workers.refer(number));
        }
    }

    fn link(&mut self, seq: Seq, vital: &Vital) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let (lane_number, priority) = (entry.fixed.lane, entry.fixed.priority);
        let expires_at = expires_at(entry, vital);
        let deadline = deadline(entry, vital);
        let lane = self.lanes.get_mut(lane_number);
        let queue_index = lane.queue_index;
        match vital.life.state {
            State::Available(Place::Ready(rank)) => {
                let ready =
                    if vital.life.is_suspect() { &mut lane.suspects } else { &mut lane.ready };
                ready.insert(priority, (rank, seq));
                let since = &mut self.lanes.queues[queue_index].ready_since;
                *since.entry(second(vital.due_at)).or_insert(0) += 1;
                self.became_ready = true;
                self.ready += 1;
            }
            State::Available(Place::Until(due_at)) => {
                self.timer.insert((due_at, seq));
            }
            State::Running(_) => {
                lane.running += 1;
                if let Some(worker) = vital.run.and_then(|run| self.workers.get_mut(run.worker)) {
                    worker.held.insert(seq);
                    worker.suspects += usize::from(vital.life.is_suspect());
                }
                if let Some(deadline) = deadline {
                    self.deadlines.insert((deadline, seq));
                }
            }
            _ => {}
        }
        if let Some(at) = expires_at {
            self.expiry.insert((at, seq));
        }
        self.lanes.queues[queue_index].counters.add(Slot::of(vital.life.state), 1);
        self.link_keys(seq, vital);
    }

    fn unlink(&mut self, seq: Seq, vital: &Vital) {
        let Some(entry) = self.jobs.get(&seq) else { return };
        let expires_at = expires_at(entry, vital);
        let deadline = deadline(entry, vital);
        let priority = entry.fixed.priority;
        let lane = self.lanes.get_mut(entry.fixed.lane);
        let queue_index = lane.queue_index;
        match vital.life.state {
            State::Available(Place::Ready(rank)) => {
                let ready =
                    if vital.life.is_suspect() { &mut lane.suspects } else { &mut lane.ready };
                ready.remove(priority, (rank, seq));
                self.ready -= 1;
                let since = &mut self.lanes.queues[queue_index].ready_since;
                if let Some(count) = since.get_mut(&second(vital.due_at)) {
                    *count -= 1;
                    if *count == 0 {
                        since.remove(&second(vital.due_at));
                    }
                }
            }
            State::Available(Place::Until(due_at)) => {
                self.timer.remove(&(due_at, seq));
            }
            State::Running(_) => {
                lane.running -= 1;
                // A queue or task that held others back has room again.
                self.became_ready |= self.limits.has_any();
                if let Some(worker) = vital.run.and_then(|run| self.workers.get_mut(run.worker)) {
                    worker.held.remove(&seq);
                    worker.suspects -= usize::from(vital.life.is_suspect());
                }
                if let Some(deadline) = deadline {
                    self.deadlines.remove(&(deadline, seq));
                }
            }
            _ => {}
        }
        if let Some(at) = expires_at {
            self.expiry.remove(&(at, seq));
        }
        self.lanes.queues[queue_index].counters.subtract(Slot::of(vital.life.state), 1);
        self.unlink_keys(seq, vital);
    }

    /// Counts jobs that ended and are no longer in memory.
    pub(super) fn count_ended(&mut self, lane: u32, state: StateName, count: u64) {
        let queue_index = self.lanes.get(lane).queue_index;
        self.lanes.queues[queue_index].counters.add(Slot::State(state), count);
    }

    fn announce(&mut self, seq: Seq, vital: &Vital) {
        if !self.is_heard {
            return;
        }
        let Some(entry) = self.jobs.get(&seq) else { return };
        let lane = self.lanes.get(entry.fixed.lane);
        self.events.push(Event {
            namespace: lane.namespace.clone(),
            queue: lane.queue.clone(),
            task: lane.task.clone(),
            id: entry.fixed.id,
            state: vital.life.state.name(),
            attempt: vital.life.attempt,
        });
    }
}

/// When a job ends as expired, if it still can.
pub(super) fn expires_at(entry: &Entry, vital: &Vital) -> Option<Timestamp> {
    let waits = matches!(vital.life.state, State::Blocked | State::Available(_));
    if !waits || vital.life.was_redriven() {
        return None;
    }
    entry.fixed.extras.as_ref()?.expires_at
}

/// When the running attempt has had its time.
fn deadline(entry: &Entry, vital: &Vital) -> Option<Timestamp> {
    let timeout = std::time::Duration::from_millis(entry.fixed.timeout_ms?);
    Some(vital.run?.started_at.plus(timeout))
}
