//! What clients of a store were told, and whether it can all be true.

use std::time::Duration;

use taskwright_core::limits::{LEASE, SERVED_PER_SWEEP_MAX};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{
    JobId, Json, Name, NewJob, Rank, StateName, Timestamp, Token, Verdict, WorkerId,
};
use taskwright_store::{ClaimedJob, Controlled, HeartbeatReply, Reported, Swept};

use super::given::Given;
use super::limited::{KnownLimits, Limit};

/// In what the store contradicts itself or its promises.
pub type Broken = String;

/// Tells what is broken unless something holds.
macro_rules! ensure {
    ($truth:expr, $($message:tt)*) => {
        if !$truth {
            return Err(format!($($message)*));
        }
    };
}

pub(super) use ensure;

/// A job as its clients know it.
pub struct Known {
    pub new: NewJob,
    pub insert: Insertion,
    /// What it was given: with its insert, or while it waited.
    pub given: Given,
    /// Who was told that it runs the job.
    pub holder: Option<Holder>,
    /// Whether a request that got no answer may have ended its attempt.
    pub is_shaky: bool,
    /// The same of a redrive.
    pub(super) may_be_redriven: bool,
    /// The last state that it was told to have ended in.
    pub(super) ended_as: Option<StateName>,
    /// The result that was accepted.
    pub(super) result: Option<Json>,
    pub(super) attempt: u32,
    /// Tokens whose attempts are over.
    over: Vec<Token>,
    /// What was reported, whether it was answered or not.
    reported: Vec<(Token, Verdict)>,
}

/// Whether a job was inserted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is not in the store.
    No,
    /// It was asked for, without an answer.
    Perhaps,
    /// It was acknowledged with this number.
    Yes(u64),
}

/// What an operator asked for: about which job, or of which queue whether it pauses.
#[derive(Copy, Clone, Debug)]
pub enum Commanded {
    Cancel(usize),
    Redrive(usize),
    Adjust(usize, Option<i8>, Option<Timestamp>),
    Pause(usize, bool),
    Limit(Limit),
}

/// Who runs a job.
#[derive(Copy, Clone, Debug)]
pub struct Holder {
    pub worker: usize,
    pub token: Token,
    /// The number of the claim; `None` where its answer was lost.
    pub claim: Option<u64>,
}

/// A worker as the clients know it.
pub struct KnownWorker {
    pub id: WorkerId,
    pub in_process: bool,
    pub next_claim: u64,
    /// The claim that it sent last.
    pub last_claim: u64,
    /// When its lease ends, in served time.
    lease_end: Duration,
}

/// All that clients know.
#[derive(Default)]
pub struct History {
    pub jobs: Vec<Known>,
    pub workers: Vec<KnownWorker>,
    /// Whether each queue is paused; `None`: nobody knows.
    pub paused: Vec<(Name, Option<bool>)>,
    pub(super) limits: KnownLimits,
    epoch: u32,
    /// The highest time of anything acknowledged.
    high_water: Timestamp,
    served: Duration,
    swept_at: Timestamp,
    /// Everything due by then must be ready.
    pub(super) promoted: Timestamp,
    pub(super) last_seq: u64,
}

impl Known {
    pub fn new(new: NewJob) -> Self {
        Known {
            given: Given::with(&new),
            new,
            insert: Insertion::No,
            holder: None,
            is_shaky: false,
            may_be_redriven: false,
            ended_as: None,
            result: None,
            attempt: 0,
            over: Vec::new(),
            reported: Vec::new(),
        }
    }

    /// Any token that its clients ever had, the newest most often.
    pub fn tokens(&self) -> Vec<Token> {
        self.over.iter().copied().chain(self.holder.map(|holder| holder.token)).collect()
    }

    pub(super) fn end_attempt(&mut self) {
        self.over.extend(self.holder.take().map(|holder| holder.token));
    }

    fn finish(&mut self, state: StateName, result: Option<Json>) {
        self.end_attempt();
        self.is_shaky = false;
        self.ended_as = state.is_final().then_some(state);
        self.result = result;
    }
}

impl History {
    pub fn worker(&mut self, id: WorkerId, in_process: bool) {
        let lease_end = Duration::ZERO;
        self.workers.push(KnownWorker { id, in_process, next_claim: 1, last_claim: 0, lease_end });
    }

    pub(super) fn index(&self, id: JobId) -> Result<usize, Broken> {
        let found = self.jobs.iter().position(|job| job.new.id == id);
        found.ok_or_else(|| format!("job {id} was never inserted"))
    }

    /// The store was opened: this is its epoch and time.
    pub fn opened(&mut self, epoch: u32, now: Timestamp) -> Result<(), Broken> {
        ensure!(epoch > self.epoch, "epoch {epoch} after {}", self.epoch);
        ensure!(now >= self.high_water, "time went back from {} to {now}", self.high_water);
        self.epoch = epoch;
        (self.served, self.swept_at) = (Duration::ZERO, now);
        // A sweep that changed nothing may have seen a later time, which nobody wrote down.
        self.promoted = self.promoted.min(now);
        for worker in &mut self.workers {
            worker.lease_end = if worker.in_process { Duration::ZERO } else { LEASE };
        }
        Ok(())
    }

    pub(super) fn acknowledge(&mut self, now: Timestamp) -> Result<(), Broken> {
        ensure!(now >= self.high_water, "time went back from {} to {now}", self.high_water);
        self.high_water = now;
        Ok(())
    }

    /// The order in which a job is claimed.
    fn order(job: &ClaimedJob) -> (Rank, u64) {
        (rank::fifo(job.run_at, job.priority, AGING_DEFAULT), job.seq)
    }

    pub fn claimed(
        &mut self,
        worker: usize,
        claim: u64,
        jobs: &[ClaimedJob],
        now: Timestamp,
    ) -> Result<(), Broken> {
        self.greet(worker);
        let in_order = jobs.is_sorted_by_key(History::order);
        ensure!(in_order, "claim {claim} of worker {worker} is out of order");
        for job in jobs {
            let index = self.index(job.id)?;
            if self.claimed_one(worker, claim, index, job)? {
                self.acknowledge(now)?;
            }
        }
        if !jobs.is_empty() {
            self.workers[worker].next_claim = claim + 1;
        }
        Ok(())
    }

    /// Whether it was claimed just now, and not by the same claim before.
    fn claimed_one(
        &mut self,
        worker: usize,
        claim: u64,
        index: usize,
        job: &ClaimedJob,
    ) -> Result<bool, Broken> {
        let known = &mut self.jobs[index];
        let seq = job.seq;
        ensure!(known.insert == Insertion::Yes(seq), "job {index} was claimed with seq {seq}");
        ensure!(job.args == known.given.args, "job {index} was handed out with other args");
        let is_over = known.over.contains(&job.token);
        ensure!(!is_over, "token {} of job {index} was given again", job.token);
        if known.holder.is_some_and(|holder| holder.token == job.token) {
            known.holder = Some(Holder { worker, token: job.token, claim: Some(claim) });
            return Ok(false);
        }
        self.found_room(index, job)?;
        let known = &mut self.jobs[index];
        let paused = self.paused.contains(&(job.queue.clone(), Some(true)));
        ensure!(!paused, "{} is paused, and job {index} was claimed", job.queue);
        let ended = known.ended_as;
        ensure!(known.is_shaky || ended.is_none(), "job {index} ended as {ended:?}, then ran");
        let is_free = known.holder.is_none() || known.is_shaky;
        ensure!(is_free, "job {index} has two live leases: {:?} and {}", known.holder, job.token);
        let grows = job.token.attempt > known.attempt && job.token.epoch == self.epoch;
        ensure!(grows, "token {} of job {index} does not grow", job.token);
        let is_due = job.run_at <= job.started_at;
        ensure!(is_due, "job {index} is due at {} and ran at {}", job.run_at, job.started_at);
        let late = job.started_at < self.high_water;
        ensure!(!late, "job {index} started before what was acknowledged earlier");
        known.end_attempt();
        known.holder = Some(Holder { worker, token: job.token, claim: Some(claim) });
        known.attempt = job.token.attempt;
        known.is_shaky = false;
        Ok(true)
    }

    fn greet(&mut self, worker: usize) {
        self.workers[worker].lease_end = self.served + LEASE;
    }

    pub fn reported(
        &mut self,
        index: usize,
        token: Token,
        (verdict, result): (Verdict, Option<Json>),
        answer: &Reported,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let known = &mut self.jobs[index];
        let is_holder = known.holder.is_some_and(|holder| holder.token == token);
        let was_asked = known.reported.contains(&(token, verdict));
        known.reported.push((token, verdict));
        match answer {
            Reported::Applied { state } => {
                let is_late = known.over.contains(&token);
                ensure!(
                    !is_late,
                    "a late report {verdict:?} of job {index} was accepted ({token})"
                );
                let was = known.ended_as;
                ensure!(known.is_shaky || was.is_none(), "job {index} ended twice, first {was:?}");
                ensure!(is_holder, "job {index} took a report of {token}, which nobody held");
                known.finish(*state, result);
                self.acknowledge(now)?;
            }
            Reported::Already => {
                ensure!(was_asked, "job {index}: {verdict:?} is there already and was never told");
                if is_holder {
                    known.end_attempt();
                }
            }
            Reported::Stale => {
                let is_live = is_holder && !known.is_shaky;
                ensure!(!is_live, "the live attempt {token} of job {index} was refused");
                if is_holder {
                    known.end_attempt();
                }
            }
            Reported::Unknown => {
                let known = matches!(known.insert, Insertion::Yes(_));
                ensure!(!known, "job {index} was acknowledged and is unknown");
            }
        }
        Ok(())
    }

    pub fn beaten(
        &mut self,
        worker: usize,
        settled: u64,
        held: &[(usize, Token)],
        answer: &HeartbeatReply,
    ) -> Result<(), Broken> {
        self.greet(worker);
        for (index, token) in held {
            let known = &mut self.jobs[*index];
            let is_lost = answer.lost.contains(&(known.new.id, *token));
            let is_over = known.over.contains(token);
            ensure!(is_lost || !is_over, "attempt {token} of job {index} is over and was renewed");
            let is_holder = known.holder.is_some_and(|holder| holder.token == *token);
            if is_lost && is_holder {
                ensure!(known.is_shaky, "the live attempt {token} of job {index} was lost");
                known.end_attempt();
            }
        }
        for (index, known) in self.jobs.iter_mut().enumerate() {
            let Some(holder) = known.holder.filter(|holder| holder.worker == worker) else {
                continue;
            };
            if held.contains(&(index, holder.token)) {
                continue;
            }
            // The store releases it, or may: the worker could have said the same.
            known.reported.push((holder.token, Verdict::Released));
            match holder.claim {
                Some(claim) if claim <= settled => known.end_attempt(),
                Some(_) => {}
                None => known.is_shaky = true,
            }
        }
        Ok(())
    }

    pub fn swept(&mut self, answer: &Swept, now: Timestamp) {
        self.served += now.since(self.swept_at).min(SERVED_PER_SWEEP_MAX);
        self.swept_at = now;
        for known in &mut self.jobs {
            let Some(holder) = known.holder else { continue };
            if self.workers[holder.worker].lease_end <= self.served {
                match answer.more {
                    true => known.is_shaky = true,
                    false => known.end_attempt(),
                }
            }
        }
        if !answer.more {
            self.promoted = now;
        }
    }

    pub fn commanded(&mut self, command: Commanded, answer: &Controlled) -> Result<(), Broken> {
        match command {
            Commanded::Cancel(index) => self.cancelled(index, answer),
            Commanded::Redrive(index) => self.redriven(index, answer),
            Commanded::Adjust(index, priority, _) => self.adjusted(index, priority, answer),
            Commanded::Limit(limit) => self.limited(limit, answer),
            Commanded::Pause(queue, paused) => {
                self.paused[queue].1 = Some(paused);
                Ok(())
            }
        }
    }

    fn cancelled(&mut self, index: usize, answer: &Controlled) -> Result<(), Broken> {
        let known = &mut self.jobs[index];
        match answer {
            Controlled::Done { state: Some(StateName::Cancelled) } => {
                known.finish(StateName::Cancelled, None);
                Ok(())
            }
            Controlled::Done { .. }
            | Controlled::Refused { .. }
            | Controlled::Taken { .. }
            | Controlled::PoliciesFull { .. } => Ok(()),
            Controlled::NotFound => self.not_found(index),
        }
    }

    fn redriven(&mut self, index: usize, answer: &Controlled) -> Result<(), Broken> {
        let known = &mut self.jobs[index];
        match answer {
            Controlled::Done { .. } => {
                ensure!(known.holder.is_none() || known.is_shaky, "job {index} ran at its redrive");
                known.finish(StateName::Available, None);
                Ok(())
            }
            Controlled::Refused { state } => {
                let ended = known.ended_as.filter(|_| !known.is_shaky);
                ensure!(ended.is_none(), "job {index} ended as {ended:?} and is {state}");
                Ok(())
            }
            Controlled::PoliciesFull { .. } => Err(format!("job {index} is no policy")),
            Controlled::Taken { holder } => self.shares_its_key(index, *holder),
            Controlled::NotFound => self.not_found(index),
        }
    }

    pub(super) fn not_found(&self, index: usize) -> Result<(), Broken> {
        let insert = self.jobs[index].insert;
        ensure!(insert == Insertion::No, "job {index} ({insert:?}) is not found");
        Ok(())
    }

    /// A report got no answer.
    pub fn report_unanswered(&mut self, index: usize, token: Token, verdict: Verdict) {
        let known = &mut self.jobs[index];
        known.reported.push((token, verdict));
        known.is_shaky = true;
    }

    /// A heartbeat got no answer.
    pub fn beat_unanswered(&mut self, worker: usize, held: &[(usize, Token)]) {
        for (index, known) in self.jobs.iter_mut().enumerate() {
            if let Some(holder) = known.holder.filter(|holder| holder.worker == worker)
                && !held.contains(&(index, holder.token))
            {
                known.reported.push((holder.token, Verdict::Released));
                known.is_shaky = true;
            }
        }
    }

    /// A sweep at this time got no answer.
    pub fn sweep_unanswered(&mut self, now: Timestamp) {
        let served = self.served + now.since(self.swept_at).min(SERVED_PER_SWEEP_MAX);
        for known in &mut self.jobs {
            if let Some(holder) = known.holder
                && self.workers[holder.worker].lease_end <= served
            {
                known.is_shaky = true;
            }
        }
    }

    /// A command got no answer.
    pub fn command_unanswered(&mut self, command: Commanded) {
        match command {
            Commanded::Pause(queue, _) => self.paused[queue].1 = None,
            Commanded::Limit(limit) => self.limit_unanswered(limit),
            Commanded::Cancel(index) => self.jobs[index].is_shaky = true,
            Commanded::Adjust(index, priority, _) => self.adjust_unanswered(index, priority),
            Commanded::Redrive(index) => {
                self.jobs[index].is_shaky = true;
                self.jobs[index].may_be_redriven = true;
            }
        }
    }

    /// What a worker holds.
    pub fn held_by(&self, worker: usize) -> Vec<(usize, Token)> {
        let jobs = self.jobs.iter().enumerate();
        let held = jobs.filter_map(|(index, known)| Some((index, known.holder?)));
        let own = held.filter(|(_, holder)| holder.worker == worker);
        own.map(|(index, holder)| (index, holder.token)).collect()
    }

    /// A job that is in the store and has not ended.
    pub fn unfinished(&self) -> Option<usize> {
        let is_there = |known: &Known| matches!(known.insert, Insertion::Yes(_));
        self.jobs.iter().position(|known| is_there(known) && known.ended_as.is_none())
    }
}
