//! Handing out jobs.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use taskwright_core::lifecycle::{Event, step};
use taskwright_core::limits::{BATCH_BYTES_MAX, CLAIM_LOOKS_MAX, PROMOTIONS_MAX};
use taskwright_core::placement::Cost;
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{Name, Rank, WorkerId};
use taskwright_store::{Claim, ClaimedJob, Error, ErrorKind, Result, WorkerInfo};

use super::Ledger;
use super::allowance::{Allowance, Room};
use super::limits::KeyNumber;
use super::merge::{FairQueue, Judge, Judgement, Merge, Queue, StrictQueue, Taken};
use super::workers::Worker;
use crate::change::{Change, LaneNumber, Run, Seq, Vital, WorkerNumber};

/// What every job costs to who only looks.
pub(super) static ONE: Cost = Cost::ONE;

impl Ledger {
    /// See `Store::claim`. `None`: nothing is ready, and the caller may wait.
    pub fn claim(&mut self, claim: &Claim) -> Result<Option<Vec<ClaimedJob>>> {
        let number = self.worker_or_new(&claim.namespace, claim.worker);
        self.renew(number, None);
        self.note_home(number, claim);
        let last = self.workers.get(number).map_or(0, |worker| worker.last_claim);
        if claim.seq < last || claim.seq == 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "claim {} of worker {} comes after its claim {last}; number claims upwards \
                     from 1",
                    claim.seq, claim.worker
                ),
            ));
        }
        if claim.seq == last {
            return Ok(Some(self.claimed_before(number, claim.seq)));
        }
        let (given, is_over) = self.hand_out(number, claim);
        if given.is_empty() {
            return Ok((claim.max == 0 || is_over).then(Vec::new));
        }
        if let Some(worker) = self.workers.get_mut(number) {
            worker.last_claim = claim.seq;
        }
        Ok(Some(given))
    }

    /// Gives jobs, smallest rank first, and puts aside those whose keys have no room; then those
    /// that this made ready. Also says whether the next one takes more than is left.
    fn hand_out(&mut self, number: WorkerNumber, claim: &Claim) -> (Vec<ClaimedJob>, bool) {
        let run = Run { worker: number, claim: claim.seq, started_at: self.now };
        let mut given: Vec<ClaimedJob> = Vec::new();
        let mut looks = CLAIM_LOOKS_MAX;
        let mut bytes = BATCH_BYTES_MAX;
        let mut room = claim.room();
        loop {
            let best = self.best(number, claim, &room, looks);
            let Best { mut picks, left, is_over, full, calls_others } = best;
            looks -= full.len();
            room = left;
            let fitting = self.within_bytes(&picks, &mut bytes, given.is_empty());
            let is_cut = fitting < picks.len();
            picks.truncate(fitting);
            if !picks.is_empty() {
                let nonce = self.next_nonce();
                given.extend(picks.into_iter().filter_map(|seq| self.start(seq, run, nonce)));
            }
            for (seq, key) in full {
                self.park(seq, key);
            }
            let nobody_came = self.settle(PROMOTIONS_MAX) == 0 && !calls_others;
            if nobody_came || is_over || room.slots == 0 || looks == 0 || is_cut {
                self.note_turns();
                given.sort_by_key(|job| (rank_of(job), job.seq));
                return (given, is_over);
            }
        }
    }

    fn start(&mut self, seq: Seq, run: Run, nonce: u64) -> Option<ClaimedJob> {
        let vital = self.jobs.get(&seq)?.vital();
        let token = vital.life.next_token(self.epoch, nonce);
        let life = step(&vital.life, &Event::Claim { token }).ok()?;
        self.take_tokens(seq);
        self.take_turn(seq);
        self.set_placed(seq, Vital { life, run: Some(run), ..vital }, None);
        self.claimed_view(seq)
    }

    /// What an earlier claim gave and is still running.
    fn claimed_before(&self, number: WorkerNumber, claim: u64) -> Vec<ClaimedJob> {
        let Some(worker) = self.workers.get(number) else { return Vec::new() };
        let of_claim = |seq: &Seq| {
            let run = self.jobs.get(seq).and_then(|entry| entry.vital().run);
            run.is_some_and(|run| run.claim == claim)
        };
        let mut seqs: Vec<Seq> = worker.held.iter().copied().filter(of_claim).collect();
        seqs.sort_by_key(|seq| (self.rank_of(*seq), *seq));
        seqs.into_iter().filter_map(|seq| self.claimed_view(seq)).collect()
    }

    fn claimed_view(&self, seq: Seq) -> Option<ClaimedJob> {
        let entry = self.jobs.get(&seq)?;
        let (fixed, vital) = (&entry.fixed, entry.vital());
        let lane = self.lanes.get(fixed.lane);
        Some(ClaimedJob {
            id: fixed.id,
            seq,
            queue: lane.queue.clone(),
            task: lane.task.clone(),
            args: fixed.args.clone(),
            token: vital.life.token()?,
            failures: vital.life.failures,
            max_attempts: vital.life.max_attempts,
            timeout_ms: fixed.timeout_ms,
            priority: fixed.priority,
            created_at: fixed.created_at,
            run_at: vital.due_at,
            started_at: vital.run?.started_at,
            checkpoint: entry.rare.as_ref().and_then(|rare| rare.checkpoint.clone()),
            extras: lane.extras_of(fixed),
        })
    }

    /// The jobs to hand out that fit what is free: smallest rank first over all lanes that the worker is
    /// offered; and of those before them at most `looks` whose keys have no room.
    fn best(&mut self, number: WorkerNumber, claim: &Claim, free: &Cost, looks: usize) -> Best {
        let lanes = self.lanes.matching(&claim.namespace, &claim.profile);
        let holds_suspect = self.workers.get(number).is_some_and(|worker| worker.suspects > 0);
        let is_limited = self.limits.has_policies(&claim.namespace);
        let mut merge = Merge::default();
        let mut queues: FxHashMap<usize, Queue<'_>> = FxHashMap::default();
        for &lane_number in lanes.iter() {
            if self.lanes.queue_of(lane_number).paused {
                continue;
            }
            let lane = self.lanes.get(lane_number);
            let own = match is_limited {
                true => self.order_of_queue(lane_number, &mut queues),
                false => None,
            };
            if let Some(queue) = own {
                queue.add(&lane.ready, false, &lane.cost);
                if !holds_suspect {
                    queue.add(&lane.suspects, true, &lane.cost);
                }
                continue;
            }
            merge.add(&lane.ready, false, &lane.cost);
            if !holds_suspect {
                merge.add(&lane.suspects, true, &lane.cost);
            }
        }
        if !is_limited {
            let taken = merge.take(free, &mut InTime(self));
            return Best::of(taken, Vec::new());
        }
        queues.into_values().for_each(|queue| merge.add_queue(queue));
        let (in_time, allowance) = (InTime(self), self.allowance());
        let mut allowed = Allowed { in_time, allowance, full: Vec::new(), looks };
        let taken = merge.take(free, &mut allowed);
        Best::of(taken, allowed.full)
    }

    /// Of these the queue of a lane, if that has an order of its own; it is begun where it was not.
    fn order_of_queue<'q, 'l>(
        &self,
        number: LaneNumber,
        queues: &'q mut FxHashMap<usize, Queue<'l>>,
    ) -> Option<&'q mut Queue<'l>> {
        let lane = self.lanes.get(number);
        let begun = if self.is_fair(number) {
            let (clock, ungrouped) = self.clock_of(number);
            let turns = &self.limits.turns;
            Queue::Fair(FairQueue::new(turns.shown(clock), turns.shown(ungrouped)))
        } else if self.limits.is_strict(&lane.namespace, &lane.queue) {
            Queue::Strict(StrictQueue::default())
        } else {
            return None;
        };
        Some(queues.entry(lane.queue_index).or_insert(begun))
    }

    /// How many of the jobs fit what is `left` of one answer; the very first always does.
    fn within_bytes(&self, seqs: &[Seq], left: &mut usize, is_first: bool) -> usize {
        let mut fitting = 0;
        for seq in seqs {
            let bytes = self.jobs.get(seq).map_or(0, |entry| entry.args_len as usize);
            if bytes > *left && !(is_first && fitting == 0) {
                break;
            }
            *left = left.saturating_sub(bytes);
            fitting += 1;
        }
        fitting
    }

    /// Whether a waiting job may not start any more, though no sweep has ended it yet.
    fn is_out_of_time(&self, seq: Seq) -> bool {
        let Some(&(first, _)) = self.expiry.first() else { return false };
        if first > self.now {
            return false;
        }
        let Some(entry) = self.jobs.get(&seq) else { return false };
        super::index::expires_at(entry, &entry.vital()).is_some_and(|at| at <= self.now)
    }

    fn rank_of(&self, seq: Seq) -> Option<Rank> {
        let entry = self.jobs.get(&seq)?;
        Some(entry.rank_at(entry.vital().due_at))
    }

    /// The number of a worker, which becomes known where it was not.
    pub(super) fn worker_or_new(&mut self, namespace: &Name, id: WorkerId) -> WorkerNumber {
        if let Some(number) = self.workers.number(namespace, id) {
            return number;
        }
        let number = self.workers.next_number();
        let worker = Worker {
            id,
            namespace: namespace.clone(),
            info: WorkerInfo::default(),
            profile: None,
            first_seen_at: self.now,
            last_seen_at: self.now,
            lease_end: self.served,
            last_claim: 0,
            held: BTreeSet::new(),
            suspects: 0,
            in_process: false,
        };
        self.changes.push(Change::Worker(worker.fact(number)));
        self.workers.insert(number, worker);
        number
    }

    /// Notes what a worker serves, and whether it lives in the process that has the store open.
    fn note_home(&mut self, number: WorkerNumber, claim: &Claim) {
        let Some(worker) = self.workers.get_mut(number) else { return };
        worker.profile = Some(Arc::clone(&claim.profile));
        if worker.in_process != claim.in_process {
            worker.in_process = claim.in_process;
            self.changes.push(Change::Worker(worker.fact(number)));
        }
    }

    /// Renews a worker's lease.
    pub(super) fn renew(&mut self, number: WorkerNumber, info: Option<WorkerInfo>) {
        let lease_end = self.served + taskwright_core::limits::LEASE;
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(number) {
            worker.lease_end = lease_end;
            worker.last_seen_at = now;
            if let Some(info) = info {
                worker.info = info;
            }
        }
    }

    /// The next jobs over the lanes of a queue, as a worker that serves them all would be given them.
    /// What they cost does not matter to who looks.
    pub(super) fn next_of(&self, queue: &super::lanes::Queue, max: usize) -> Vec<Seq> {
        let mut merge = Merge::default();
        let mut strict = Queue::Strict(StrictQueue::default());
        let is_strict = self.limits.is_strict(&queue.namespace, &queue.name);
        for &number in &queue.lanes {
            let lane = self.lanes.get(number);
            for jobs in [&lane.ready, &lane.suspects] {
                match is_strict {
                    true => strict.add(jobs, false, &ONE),
                    false => merge.add(jobs, false, &ONE),
                }
            }
        }
        merge.add_queue(strict);
        let free = Cost { slots: max, ..Cost::default() };
        merge.take(&free, &mut InTime(self)).jobs
    }
}

fn rank_of(job: &ClaimedJob) -> Rank {
    rank::fifo(job.run_at, job.priority, AGING_DEFAULT)
}

/// What a claim found.
struct Best {
    /// Jobs to start.
    picks: Vec<Seq>,
    /// What they leave free.
    left: Cost,
    /// The next one takes more than that.
    is_over: bool,
    /// Jobs that a key without room held back, and the key.
    full: Vec<(Seq, KeyNumber)>,
    /// Others are to be called from lines before more is handed out.
    calls_others: bool,
}

impl Best {
    fn of(taken: Taken, full: Vec<(Seq, KeyNumber)>) -> Self {
        let Taken { jobs, left, is_over, calls_others } = taken;
        Best { picks: jobs, left, is_over, full, calls_others }
    }
}

/// Judges by time alone, where nothing is limited.
struct InTime<'a>(&'a Ledger);

impl Judge for InTime<'_> {
    fn look(&mut self, seq: Seq) -> Judgement {
        if self.0.is_out_of_time(seq) { Judgement::Pass } else { Judgement::Take }
    }

    fn decide(&mut self, seq: Seq) -> Judgement {
        self.look(seq)
    }

    fn age(&self, seq: Seq) -> Rank {
        self.0.rank_of(seq).unwrap_or(Rank::MAX)
    }
}

/// Judges by what is limited as well.
struct Allowed<'a> {
    in_time: InTime<'a>,
    allowance: Allowance<'a>,
    /// Jobs that a key without room held back, and the key.
    full: Vec<(Seq, KeyNumber)>,
    /// So many of them may be looked at.
    looks: usize,
}

impl Judge for Allowed<'_> {
    fn look(&mut self, seq: Seq) -> Judgement {
        let lane = self.in_time.0.jobs.get(&seq).map(|entry| entry.fixed.lane);
        match self.in_time.look(seq) {
            Judgement::Take if lane.is_none_or(|lane| self.allowance.is_full(lane)) => {
                Judgement::PassLane
            }
            looked => looked,
        }
    }

    fn decide(&mut self, seq: Seq) -> Judgement {
        if self.in_time.look(seq) == Judgement::Pass {
            return Judgement::Pass;
        }
        match self.allowance.take(seq) {
            Room::Free if self.allowance.was_last_of_group(seq) => Judgement::TakeAndCall,
            Room::Free => Judgement::Take,
            Room::LaneFull => Judgement::PassLane,
            Room::KeyFull(_) if self.full.len() == self.looks => Judgement::Stop,
            Room::KeyFull(key) => {
                self.full.push((seq, key));
                Judgement::Pass
            }
        }
    }

    fn age(&self, seq: Seq) -> Rank {
        self.in_time.age(seq)
    }
}
