//! Attempts: claimed, run, reported; and sweeps.

use std::time::Duration;

use taskwright_core::limits::{BATCH_MAX, SERVED_PER_SWEEP_MAX};
use taskwright_core::{JobError, Token};
use taskwright_store::{
    Claim, ClaimedJob, Heartbeat, Outcome as Ended, Report, Reported, Retry, WorkerInfo,
};

use super::{Attempt, Event, How, Play, refused};
use crate::chance::seconds;
use crate::error::{Error, Result};
use crate::fleet::{AttemptIndex, Presence, WorkerIndex};
use crate::outcome::Outcome;

impl Play<'_> {
    /// A worker claims for its free slots, and waits for jobs where there are too few.
    pub(super) fn serve(&mut self, index: WorkerIndex) -> Result<()> {
        while self.workers.get(index).presence == Presence::Here && self.workers.get(index).free > 0
        {
            if !self.claim(index)? {
                self.workers.wait(index);
                break;
            }
        }
        Ok(())
    }

    /// Whether a claim of a worker gave jobs.
    fn claim(&mut self, index: WorkerIndex) -> Result<bool> {
        let worker = self.workers.get(index);
        let claim = Claim {
            namespace: self.namespace.clone(),
            worker: worker.id,
            seq: worker.claims + 1,
            profile: self.plan.fleets[worker.fleet].profile.clone(),
            max: worker.free.min(BATCH_MAX),
            free: Default::default(),
            wait: Duration::ZERO,
            in_process: false,
        };
        let Some(jobs) = self.ledger.claim(&claim).map_err(refused)? else { return Ok(false) };
        self.workers.get_mut(index).claims += 1;
        for job in jobs {
            self.start(index, job);
        }
        Ok(true)
    }

    fn start(&mut self, worker: WorkerIndex, job: ClaimedJob) {
        let mark = self.marks[job.seq as usize - 1];
        let class = mark.class as usize;
        let of = &self.plan.classes[class];
        let stream = of.chance.fork(mark.number.into());
        let mut chance = stream.fork(u64::from(job.token.attempt));
        let speed = self.plan.fleets[self.workers.get(worker).fleet].speed;
        let ran = seconds(chance.run(&of.runs) / speed);
        let fails = of.fails > 0.0 && chance.unit() <= of.fails;
        let (ran, how) = match of.timeout {
            Some(timeout) if ran > timeout => (timeout, How::TooLate),
            _ if fails => (ran, How::Badly),
            _ => (ran, How::Well),
        };
        let (group, keys) = self.keys_of(class, mark.number);
        self.tally.started(class, group, self.now.since(job.run_at));
        let holds = self.usage.start(class, group, &keys);
        let (id, seq, token) = (job.id, job.seq, job.token);
        let attempt = Attempt { seq, id, token, class, worker, started_at: self.now, how, holds };
        let place = self.free_places.pop().unwrap_or_else(|| {
            self.attempts.push(None);
            self.attempts.len() as AttemptIndex - 1
        });
        self.attempts[place as usize] = Some(attempt);
        let worker_of = self.workers.get_mut(worker);
        worker_of.running.push(place);
        worker_of.free -= 1;
        self.workers.must_beat(worker, self.served);
        self.note(self.now.plus(ran), Event::End(place, token));
        self.idle_events = 0;
    }

    /// Lets go of an attempt that is over.
    pub(super) fn free(&mut self, place: AttemptIndex) -> Option<Attempt> {
        let attempt = self.attempts[place as usize].take()?;
        self.free_places.push(place);
        Some(attempt)
    }

    /// An attempt has run: its worker reports it and claims again.
    pub(super) fn end(&mut self, place: AttemptIndex, token: Token) -> Result<()> {
        let is_it =
            |attempt: &&Attempt| attempt.token == token && !self.lost.contains_key(&attempt.seq);
        if self.attempts[place as usize].as_ref().filter(is_it).is_none() {
            return Ok(());
        }
        let Some(attempt) = self.free(place) else { return Ok(()) };
        let (index, ran) = (attempt.worker, self.now.since(attempt.started_at));
        let worker = self.workers.get_mut(index);
        worker.running.retain(|&other| other != place);
        worker.free += 1;
        self.workers.was_busy(index, ran);
        self.usage.end(&attempt.holds);
        self.report(&attempt, ran)?;
        self.ledger.settle_lines();
        let worker = self.workers.get(index);
        if worker.presence == Presence::Leaving && worker.running.is_empty() {
            let slots = self.plan.fleets[worker.fleet].slots;
            self.workers.gone(index, slots, false, self.now);
        }
        self.serve(index)
    }

    fn report(&mut self, attempt: &Attempt, ran: Duration) -> Result<()> {
        let outcome = match attempt.how {
            How::Well => Ended::Completed { result: None },
            How::Badly => Ended::Failed { error: self.error.clone(), retry: Retry::ByPolicy },
            How::TooLate => Ended::TimedOut,
        };
        let (id, token) = (attempt.id, attempt.token);
        let report = Report { namespace: self.namespace.clone(), id, token, outcome };
        let reported = self.ledger.report(vec![report], &mut self.archive).map_err(refused)?;
        match reported.first() {
            Some(Reported::Applied { state }) => {
                self.tally.ended(attempt.class, ran, attempt.how == How::Well, *state);
                self.idle_events = 0;
                Ok(())
            }
            other => Err(Error::Refused(format!("a report: {other:?}"))),
        }
    }

    /// Gives claims that wait what became ready. A class of workers of which one is given nothing is
    /// passed over: the others would be given nothing either.
    pub(super) fn feed(&mut self) -> Result<()> {
        if !self.ledger.take_became_ready() {
            return Ok(());
        }
        self.passed_over.fill(false);
        while self.ledger.has_ready() {
            let Some(index) = self.workers.next_waiting(&self.passed_over) else { return Ok(()) };
            if self.claim(index)? {
                self.workers.waits_no_longer(index);
                self.serve(index)?;
            } else {
                self.passed_over[self.workers.get(index).fleet] = true;
            }
        }
        Ok(())
    }

    /// Heartbeats first, as the stores do: a sweep must not end leases that are about to be renewed.
    pub(super) fn sweep(&mut self) -> Result<()> {
        let passed = self.now.since(self.swept_at).min(SERVED_PER_SWEEP_MAX);
        for worker in self.workers.due_beats(self.served + passed) {
            let heartbeat = Heartbeat {
                namespace: self.namespace.clone(),
                worker,
                settled: 0,
                held: Vec::new(),
                progress: Vec::new(),
                info: WorkerInfo::default(),
            };
            self.ledger.heartbeat(heartbeat).map_err(refused)?;
        }
        let swept = self.ledger.sweep(BATCH_MAX);
        self.served += passed;
        self.swept_at = self.now;
        self.sweeps_on = swept.more;
        self.ledger.settle_lines();
        // What lapsed no longer counts when others are given its room.
        self.end_group();
        Ok(())
    }

    pub(super) fn outcome(self) -> Outcome {
        let Play { plan, workers, usage, tally, .. } = self;
        let end = tally.ended_at();
        let workers = workers.outcome(&plan.fleets, end);
        tally.outcome(plan, workers, usage.outcome())
    }
}

pub(super) fn failure() -> JobError {
    JobError::new("error", "failed by chance")
}
