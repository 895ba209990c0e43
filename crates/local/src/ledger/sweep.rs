//! Doing what is due.

use std::time::Duration;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::limits::SERVED_PER_SWEEP_MAX;
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{JobError, Timestamp};
use taskwright_store::Swept;

use super::Ledger;
use super::heartbeat::TIMEOUT_GRACE;
use crate::change::{Seq, Vital, WorkerNumber};

/// How long a worker that holds nothing and says nothing is remembered.
pub const WORKER_KEPT: Duration = Duration::from_secs(3_600);

impl Ledger {
    /// See `Store::sweep`; pruning is the table's.
    pub fn sweep(&mut self, limit: usize) -> Swept {
        self.serve_time();
        let mut swept = Swept::default();
        let mut room = limit;
        swept.lapsed = self.end_leases(&mut room);
        swept.timed_out = self.end_timeouts(&mut room);
        swept.expired = self.expire(&mut room);
        swept.due = self.make_due_ready(&mut room);
        swept.more = room == 0;
        self.forget_workers();
        swept
    }

    /// When the next timer is due, if any is set.
    pub fn next_due(&self) -> Option<Timestamp> {
        let first = |set: &std::collections::BTreeSet<(Timestamp, Seq)>| set.first().map(|e| e.0);
        first(&self.timer).into_iter().chain(first(&self.expiry)).min()
    }

    fn serve_time(&mut self) {
        if let Some(before) = self.swept_at.replace(self.now) {
            self.served += self.now.since(before).min(SERVED_PER_SWEEP_MAX);
        }
    }

    fn end_leases(&mut self, room: &mut usize) -> usize {
        let lapsed = |worker: &super::workers::Worker| {
            worker.lease_end <= self.served && !worker.held.is_empty()
        };
        let numbers: Vec<_> =
            self.workers.iter().filter(|(_, worker)| lapsed(worker)).map(|(n, _)| n).collect();
        let mut ended = 0;
        for number in numbers {
            ended += self.end_lease(number, "its lease ended", room);
        }
        ended
    }

    /// Takes from a worker what it holds, as lost.
    pub(super) fn end_lease(
        &mut self,
        number: WorkerNumber,
        why: &str,
        room: &mut usize,
    ) -> usize {
        let Some(worker) = self.workers.get(number) else { return 0 };
        let name = if worker.info.name.is_empty() {
            worker.id.to_string()
        } else {
            format!("{} ({})", worker.id, worker.info.name)
        };
        let seqs: Vec<Seq> = worker.held.iter().copied().take(*room).collect();
        *room -= seqs.len();
        for &seq in &seqs {
            if let Some(token) = self.token_of(seq) {
                let message = format!("attempt {} lost: worker {name}: {why}", token.attempt);
                self.lapse(seq, token, JobError::new("lost", &message));
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
        let before = self.now.minus(WORKER_KEPT);
        let is_gone = |worker: &super::workers::Worker| {
            worker.held.is_empty() && worker.last_seen_at < before
        };
        let gone: Vec<_> =
            self.workers.iter().filter(|(_, worker)| is_gone(worker)).map(|(n, _)| n).collect();
        for number in gone {
            self.workers.remove(number);
        }
    }
}
