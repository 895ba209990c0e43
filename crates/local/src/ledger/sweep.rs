//! Doing what is due.

use std::collections::BTreeSet;

use taskwright_core::Timestamp;
use taskwright_core::lifecycle::{Event, step};
use taskwright_core::limits::SERVED_PER_SWEEP_MAX;
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_store::Swept;

use super::Ledger;
use super::heartbeat::TIMEOUT_GRACE;
use super::workers::Worker;
use crate::change::{Seq, Vital};

impl Ledger {
    /// See `Store::sweep`; pruning is the table's.
    pub fn sweep(&mut self, limit: usize) -> Swept {
        self.serve_time();
        let mut room = limit;
        let swept = Swept {
            lapsed: self.end_leases(&mut room),
            timed_out: self.end_timeouts(&mut room),
            expired: self.expire(&mut room),
            due: self.make_due_ready(&mut room),
            promoted: self.serve_lines(&mut room),
            more: (room == 0 && self.has_due()) || self.has_touched(),
            now: self.now,
            next_due: self.next_due(),
            wake_at: self.documents.wake_at(),
            ..Swept::default()
        };
        self.keys.end_elapsed(self.now, limit);
        self.forget_workers();
        // Queues and tasks that their rate held back may have room by now.
        self.became_ready |= self.limits.has_any();
        swept
    }

    fn serve_lines(&mut self, room: &mut usize) -> usize {
        self.touch_due_lines();
        let promoted = self.settle(*room);
        *room -= promoted;
        promoted
    }

    /// See `Swept::next_due`, as of now.
    pub fn next_due(&self) -> Option<Timestamp> {
        let timed = self.timer.first().map(|&(at, _)| at);
        timed.into_iter().chain(self.next_room_at()).min()
    }

    fn has_due(&self) -> bool {
        let is_due = |set: &BTreeSet<(Timestamp, Seq)>, by: Timestamp| {
            set.first().is_some_and(|&(at, _)| at <= by)
        };
        is_due(&self.timer, self.now)
            || is_due(&self.expiry, self.now)
            || is_due(&self.deadlines, self.now.minus(TIMEOUT_GRACE))
            || self.workers.iter().any(|(_, worker)| self.has_lapsed(worker))
    }

    fn has_lapsed(&self, worker: &Worker) -> bool {
        worker.lease_end <= self.served && !worker.held.is_empty()
    }

    fn serve_time(&mut self) {
        self.served += self.now.since(self.swept_at).min(SERVED_PER_SWEEP_MAX);
        self.swept_at = self.now;
    }

    /// Takes from workers whose lease is over what they hold, as lost.
    fn end_leases(&mut self, room: &mut usize) -> usize {
        let lapsed = self.workers.iter().filter(|(_, worker)| self.has_lapsed(worker));
        let held = lapsed.flat_map(|(_, worker)| worker.held.iter().map(|&seq| (seq, worker.id)));
        let seqs: Vec<_> = held.take(*room).collect();
        *room -= seqs.len();
        for &(seq, worker) in &seqs {
            if let Some(token) = self.token_of(seq) {
                self.lapse(seq, token, worker);
            }
        }
        seqs.len()
    }

    fn end_timeouts(&mut self, room: &mut usize) -> usize {
        let until = self.now.minus(TIMEOUT_GRACE);
        let mut ended = 0;
        while *room > 0
            && let Some(&(deadline, seq)) = self.deadlines.first()
            && deadline <= until
        {
            match self.token_of(seq) {
                Some(token) => {
                    self.time_out(seq, token);
                }
                None => {
                    self.deadlines.remove(&(deadline, seq));
                }
            }
            *room -= 1;
            ended += 1;
        }
        ended
    }

    fn expire(&mut self, room: &mut usize) -> usize {
        let mut expired = 0;
        while *room > 0
            && let Some(&(at, seq)) = self.expiry.first()
            && at <= self.now
        {
            let vital = self.jobs[&seq].vital();
            match step(&vital.life, &Event::Expire) {
                Ok(life) => {
                    self.set(seq, Vital { life, finished_at: Some(self.now), ..vital }, None);
                }
                Err(_) => {
                    self.expiry.remove(&(at, seq));
                }
            }
            *room -= 1;
            expired += 1;
        }
        expired
    }

    fn make_due_ready(&mut self, room: &mut usize) -> usize {
        let mut due = 0;
        while *room > 0
            && let Some(&(at, seq)) = self.timer.first()
            && at <= self.now
        {
            let entry = &self.jobs[&seq];
            let vital = entry.vital();
            let rank = rank::fifo(vital.due_at, entry.fixed.priority, AGING_DEFAULT);
            match step(&vital.life, &Event::Due { rank }) {
                Ok(life) => self.set(seq, Vital { life, ..vital }, None),
                Err(_) => {
                    self.timer.remove(&(at, seq));
                }
            }
            *room -= 1;
            due += 1;
        }
        due
    }

    fn forget_workers(&mut self) {
        let is_gone = |worker: &Worker| worker.held.is_empty() && worker.lease_end <= self.served;
        let gone: Vec<_> =
            self.workers.iter().filter(|(_, worker)| is_gone(worker)).map(|(n, _)| n).collect();
        for number in gone {
            self.workers.remove(number);
        }
    }
}
