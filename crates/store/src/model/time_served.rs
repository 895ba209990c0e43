//! What time does to jobs: the sweep.

use std::time::Duration;

use taskwright_core::lifecycle::{self, Event as E, Place};
use taskwright_core::limits::{HEARTBEAT_EVERY, ID_WINDOW, SERVED_PER_SWEEP_MAX};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{Job, StateName, Timestamp};

use super::state::{Record, State};
use crate::request::Swept;

impl State {
    /// Leases, timeouts, expiry, due times, prune, in this order, while `limit` lasts.
    pub fn sweep(&mut self, limit: usize) -> Swept {
        self.served += self.now.since(self.swept_at).min(SERVED_PER_SWEEP_MAX);
        self.swept_at = self.now;

        let mut swept = Swept { now: self.now, ..Swept::default() };
        let mut left = limit;
        swept.lapsed = self.spend(&mut left, &mut swept.more, Self::lapsed, Self::sweep_lapsed);
        self.forget_workers();
        swept.timed_out =
            self.spend(&mut left, &mut swept.more, Self::overdue, Self::sweep_overdue);
        swept.expired = self.spend(&mut left, &mut swept.more, Self::expired, Self::sweep_expired);
        swept.due = self.spend(&mut left, &mut swept.more, Self::due, Self::sweep_due);
        self.touch_all_lines();
        swept.promoted = self.settle(left);
        left -= swept.promoted;
        swept.more |= !self.touched.is_empty();
        swept.pruned = self.spend(&mut left, &mut swept.more, Self::prunable, Self::remove);
        let now = self.now;
        self.departed.retain(|d| now < d.finished_at.plus(ID_WINDOW));
        swept.next_due = self.next_due();
        swept.wake_at = self.documents.iter().filter_map(|document| document.wake_at).min();
        swept
    }

    /// When the next of the jobs that wait comes due.
    fn next_due(&self) -> Option<Timestamp> {
        let until = |record: &Record| match record.job.life.state {
            lifecycle::State::Available(Place::Until(at)) => Some(at),
            _ => None,
        };
        self.records.iter().filter_map(until).chain(self.next_room_at()).min()
    }

    /// Does `act` to one `next` job after another until there is none, or nothing left to spend.
    fn spend(
        &mut self,
        left: &mut usize,
        more: &mut bool,
        next: impl Fn(&State) -> Option<usize>,
        act: impl Fn(&mut State, usize),
    ) -> usize {
        let mut done = 0;
        while let Some(index) = next(self) {
            if *left == 0 {
                *more = true;
                break;
            }
            act(self, index);
            *left -= 1;
            done += 1;
        }
        done
    }

    fn first(&self, wanted: impl Fn(&Job) -> bool) -> Option<usize> {
        self.records.iter().position(|record| wanted(&record.job))
    }

    /// A running job whose worker's lease is over.
    fn lapsed(&self) -> Option<usize> {
        let is_leased = |job: &Job| {
            self.workers.iter().any(|worker| {
                Some(worker.id) == job.worker
                    && worker.namespace == job.namespace
                    && worker.lease_end > self.served
            })
        };
        self.first(|job| job.life.token().is_some() && !is_leased(job))
    }

    fn sweep_lapsed(&mut self, index: usize) {
        if let Some(token) = self.records[index].job.life.token() {
            let _ = self.lapse(index, token);
        }
    }

    /// Forgets the workers whose lease is over and which hold nothing any more.
    fn forget_workers(&mut self) {
        let workers = std::mem::take(&mut self.workers);
        let stays = |worker: &super::state::Worker| {
            worker.lease_end > self.served
                || self.running_of(&worker.namespace, worker.id).next().is_some()
        };
        self.workers = workers.into_iter().filter(stays).collect();
    }

    /// A running job that ran longer than its timeout and one renewal's grace.
    fn overdue(&self) -> Option<usize> {
        self.first(|job| {
            let (Some(timeout_ms), Some(started_at)) = (job.timeout_ms, job.started_at) else {
                return false;
            };
            let ends_at = started_at.plus(Duration::from_millis(timeout_ms)).plus(HEARTBEAT_EVERY);
            job.life.token().is_some() && self.now >= ends_at
        })
    }

    fn sweep_overdue(&mut self, index: usize) {
        if let Some(token) = self.records[index].job.life.token() {
            let _ = self.time_out(index, token);
        }
    }

    /// A job that waits, and whose time to start is over.
    fn expired(&self) -> Option<usize> {
        self.first(|job| self.is_out_of_time(job))
    }

    /// Whether the job waits, and may not start any more.
    pub fn is_out_of_time(&self, job: &Job) -> bool {
        let waits = matches!(job.life.state.name(), StateName::Available | StateName::Blocked);
        let is_over = job.extras.expires_at.is_some_and(|at| at <= self.now);
        waits && is_over && !job.life.was_redriven()
    }

    fn sweep_expired(&mut self, index: usize) {
        let due_at = self.records[index].job.run_at;
        let _ = self.change(index, &E::Expire, due_at, None);
    }

    /// A job whose time has come.
    fn due(&self) -> Option<usize> {
        self.first(|job| match job.life.state {
            lifecycle::State::Available(Place::Until(at)) => at <= self.now,
            _ => false,
        })
    }

    fn sweep_due(&mut self, index: usize) {
        let Job { run_at, priority, .. } = self.records[index].job;
        let rank = rank::fifo(run_at, priority, AGING_DEFAULT);
        let _ = self.change(index, &E::Due { rank }, run_at, None);
    }

    /// The oldest ended job of a kind that is beyond the bounds.
    fn prunable(&self) -> Option<usize> {
        let dead = |record: &Record| record.job.life.state.name() == StateName::Dead;
        let is_other = |record: &Record| record.job.life.state.is_final() && !dead(record);
        self.oldest_beyond(is_other, self.retention.age)
            .or_else(|| self.oldest_beyond(dead, self.retention.dead_age))
    }

    fn oldest_beyond(&self, of_kind: impl Fn(&Record) -> bool, age: Duration) -> Option<usize> {
        let kind = || self.records.iter().enumerate().filter(|(_, record)| of_kind(record));
        let count = kind().count() as u64;
        let bytes: u64 = kind().map(|(_, record)| bytes_of(&record.job)).sum();
        let ended = |job: &Job| job.finished_at.unwrap_or(Timestamp::ZERO);
        let (index, oldest) = kind().min_by_key(|(_, r)| (ended(&r.job), r.job.seq))?;
        let is_old = ended(&oldest.job).plus(age) <= self.now;
        let is_beyond = count > self.retention.count || bytes > self.retention.bytes;
        (is_old || is_beyond).then_some(index)
    }
}

/// The bytes that a job's texts take.
fn bytes_of(job: &Job) -> u64 {
    let texts = [&job.args, &job.result, &job.checkpoint];
    let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
    let errors = job.attempts.iter().filter_map(|attempt| attempt.error.as_ref());
    let errors: usize = errors.map(|error| error.message.len()).sum();
    (texts + errors) as u64
}
