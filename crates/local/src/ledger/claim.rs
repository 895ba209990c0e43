//! Handing out jobs.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, btree_set};
use std::sync::Arc;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::limits::{BATCH_BYTES_MAX, CLAIM_LOOKS_MAX, PROMOTIONS_MAX};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{Name, Rank, WorkerId};
use taskwright_store::{Claim, ClaimedJob, Error, ErrorKind, Result, WorkerInfo};

use super::Ledger;
use super::allowance::Room;
use super::limits::KeyNumber;
use super::workers::Worker;
use crate::change::{Change, LaneNumber, Run, Seq, Vital, WorkerNumber};

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
        let given = self.hand_out(number, claim);
        if given.is_empty() {
            return Ok((claim.max == 0).then(Vec::new));
        }
        if let Some(worker) = self.workers.get_mut(number) {
            worker.last_claim = claim.seq;
        }
        Ok(Some(given))
    }

    /// Gives jobs, smallest rank first, and puts aside those whose keys have no room; then those
    /// that this made ready.
    fn hand_out(&mut self, number: WorkerNumber, claim: &Claim) -> Vec<ClaimedJob> {
        let run = Run { worker: number, claim: claim.seq, started_at: self.now };
        let mut given: Vec<ClaimedJob> = Vec::new();
        let mut looks = CLAIM_LOOKS_MAX;
        let mut bytes = BATCH_BYTES_MAX;
        loop {
            let Best { mut picks, full } = self.best(number, claim, claim.max - given.len(), looks);
            looks -= full.len();
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
            let promoted = self.settle(PROMOTIONS_MAX);
            if promoted == 0 || given.len() == claim.max || looks == 0 || is_cut {
                given.sort_by_key(|job| (rank_of(job), job.seq));
                return given;
            }
        }
    }

    fn start(&mut self, seq: Seq, run: Run, nonce: u64) -> Option<ClaimedJob> {
        let vital = self.jobs.get(&seq)?.vital();
        let token = vital.life.next_token(self.epoch, nonce);
        let life = step(&vital.life, &Event::Claim { token }).ok()?;
        self.take_tokens(seq);
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

    /// The jobs to hand out, at most so many: smallest rank first over all lanes that the worker is
    /// offered; and of those before them at most `looks` whose keys have no room.
    fn best(&mut self, number: WorkerNumber, claim: &Claim, max: usize, looks: usize) -> Best {
        let lanes = self.lanes.matching(&claim.namespace, &claim.profile);
        let holds_suspect = self.workers.get(number).is_some_and(|worker| worker.suspects > 0);
        let mut merge = Merge::default();
        for &lane_number in lanes.iter() {
            if self.lanes.queue_of(lane_number).paused {
                continue;
            }
            let lane = self.lanes.get(lane_number);
            merge.add(&lane.ready, false);
            if !holds_suspect {
                merge.add(&lane.suspects, true);
            }
        }
        let in_time = |seq| match self.is_out_of_time(seq) {
            true => Judgement::Pass,
            false => Judgement::Take,
        };
        if !self.limits.has_policies(&claim.namespace) {
            return Best { picks: merge.take(max, in_time), full: Vec::new() };
        }
        let mut full = Vec::new();
        let mut allowance = self.allowance();
        let picks = merge.take(max, |seq| {
            if in_time(seq) == Judgement::Pass {
                return Judgement::Pass;
            }
            match allowance.take(seq) {
                Room::Free => Judgement::Take,
                Room::LaneFull => Judgement::PassLane,
                Room::KeyFull(_) if full.len() == looks => Judgement::Stop,
                Room::KeyFull(key) => {
                    full.push((seq, key));
                    Judgement::Pass
                }
            }
        });
        Best { picks, full }
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

    /// The next jobs over some lanes, as a worker that serves them all would be given them.
    pub(super) fn next_of(&self, lanes: &[LaneNumber], max: usize) -> Vec<Seq> {
        let mut merge = Merge::default();
        for &number in lanes {
            merge.add(&self.lanes.get(number).ready, false);
            merge.add(&self.lanes.get(number).suspects, false);
        }
        merge.take(max, |seq| match self.is_out_of_time(seq) {
            true => Judgement::Pass,
            false => Judgement::Take,
        })
    }
}

fn rank_of(job: &ClaimedJob) -> Rank {
    rank::fifo(job.run_at, job.priority, AGING_DEFAULT)
}

/// What a claim found.
struct Best {
    /// Jobs to start.
    picks: Vec<Seq>,
    /// Jobs that a key without room held back, and the key.
    full: Vec<(Seq, KeyNumber)>,
}

/// What becomes of a job that a claim looks at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Judgement {
    Take,
    Pass,
    /// So are all that follow it in its lane.
    PassLane,
    /// The claim looks no further.
    Stop,
}

/// Merges sorted lines of ready jobs.
#[derive(Default)]
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<(Rank, Seq, usize)>>,
}

struct Source<'a> {
    rest: btree_set::Iter<'a, (Rank, Seq)>,
    is_bounded: bool,
}

impl<'a> Merge<'a> {
    /// Adds a line. Of all bounded lines together at most one job is taken.
    fn add(&mut self, line: &'a BTreeSet<(Rank, Seq)>, is_bounded: bool) {
        let mut rest = line.iter();
        if let Some(&(rank, seq)) = rest.next() {
            self.heads.push(Reverse((rank, seq, self.sources.len())));
            self.sources.push(Source { rest, is_bounded });
        }
    }

    /// The first `max` jobs of those that are judged to be taken.
    fn take(mut self, max: usize, mut judge: impl FnMut(Seq) -> Judgement) -> Vec<Seq> {
        let mut taken = Vec::new();
        let mut bound_is_used = false;
        while taken.len() < max
            && let Some(Reverse((_, seq, index))) = self.heads.pop()
        {
            let source = &mut self.sources[index];
            if source.is_bounded && bound_is_used {
                continue;
            }
            match judge(seq) {
                Judgement::Take => {
                    taken.push(seq);
                    bound_is_used |= source.is_bounded;
                }
                Judgement::Pass => {}
                Judgement::PassLane => continue,
                Judgement::Stop => break,
            }
            if let Some(&(rank, seq)) = source.rest.next() {
                self.heads.push(Reverse((rank, seq, index)));
            }
        }
        taken
    }
}

#[cfg(test)]
#[path = "tests/claim.rs"]
mod tests;
