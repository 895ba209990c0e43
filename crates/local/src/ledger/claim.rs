//! Handing out jobs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::btree_set;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::{Rank, WorkerId};
use taskwright_store::{Claim, ClaimedJob, Error, ErrorKind, Result, WorkerInfo};

use super::Ledger;
use super::workers::Worker;
use crate::change::{Change, LaneNumber, Run, Seq, Vital, WorkerFact, WorkerNumber};

impl Ledger {
    /// See `Store::claim`. It never waits.
    pub fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        let number = self.worker_or_new(&claim.namespace, claim.worker, claim.in_process)?;
        self.renew(number, None);
        let last = self.workers.get(number).map_or(0, |worker| worker.last_claim);
        if claim.seq < last {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "claim {} of worker {} comes after its claim {last}; number claims upwards",
                    claim.seq, claim.worker
                ),
            ));
        }
        if claim.seq == last {
            return Ok(self.claimed_before(number, claim.seq));
        }
        let picks = self.best(number, claim);
        if picks.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(worker) = self.workers.get_mut(number) {
            worker.last_claim = claim.seq;
        }
        let run = Run { worker: number, claim: claim.seq, started_at: self.now };
        let nonce = self.next_nonce();
        Ok(picks.into_iter().filter_map(|seq| self.start(seq, run, nonce)).collect())
    }

    fn start(&mut self, seq: Seq, run: Run, nonce: u64) -> Option<ClaimedJob> {
        let vital = self.jobs.get(&seq)?.vital();
        let token = vital.life.next_token(self.epoch, nonce);
        let life = step(&vital.life, &Event::Claim { token }).ok()?;
        self.set(seq, Vital { life, run: Some(run), ..vital }, None);
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
        seqs.sort_by_key(|seq| self.jobs.get(seq).map(|entry| (entry.vital().due_at, *seq)));
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
            extras: fixed.extras.as_deref().cloned().unwrap_or_default(),
        })
    }

    /// The jobs to hand out: smallest rank first over all lanes that the worker is offered.
    fn best(&mut self, number: WorkerNumber, claim: &Claim) -> Vec<Seq> {
        let lanes = self.lanes.matching(&claim.namespace, &claim.profile);
        let holds_suspect = self.workers.get(number).is_some_and(|worker| worker.suspects > 0);
        let mut merge = Merge::default();
        for &lane_number in lanes.iter() {
            if self.lanes.queue_of(lane_number).paused {
                continue;
            }
            let lane = self.lanes.get(lane_number);
            merge.add(&lane.ready, usize::MAX);
            if !holds_suspect {
                merge.add(&lane.suspects, 1);
            }
        }
        merge.take(claim.max)
    }

    /// The number of a worker, which becomes known where it was not.
    pub(super) fn worker_or_new(
        &mut self,
        namespace: &taskwright_core::Name,
        id: WorkerId,
        in_process: bool,
    ) -> Result<WorkerNumber> {
        if let Some(number) = self.workers.number(id) {
            let known = self.workers.get(number).map(|worker| &worker.namespace);
            if known.is_some_and(|known| known != namespace) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("worker {id} belongs to another namespace; start it with a new id"),
                ));
            }
            return Ok(number);
        }
        let number = self.workers.next_number();
        self.changes.push(Change::Worker(WorkerFact {
            number,
            id,
            namespace: namespace.as_str().into(),
            first_seen_at: self.now,
            in_process,
        }));
        self.workers.insert(
            number,
            Worker {
                id,
                namespace: namespace.clone(),
                info: WorkerInfo::default(),
                first_seen_at: self.now,
                last_seen_at: self.now,
                lease_end: self.served,
                last_claim: 0,
                held: Default::default(),
                suspects: 0,
                in_process,
            },
        );
        Ok(number)
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
            merge.add(&self.lanes.get(number).ready, usize::MAX);
            merge.add(&self.lanes.get(number).suspects, usize::MAX);
        }
        merge.take(max)
    }
}

/// Merges sorted lines of ready jobs.
#[derive(Default)]
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<(Rank, Seq, usize)>>,
}

struct Source<'a> {
    rest: btree_set::Iter<'a, (Rank, Seq)>,
    is_suspects: bool,
}

impl<'a> Merge<'a> {
    /// Adds a line of which at most `most` jobs are taken; all lines with a bound share it.
    fn add(&mut self, line: &'a btree_set::BTreeSet<(Rank, Seq)>, most: usize) {
        let mut rest = line.iter();
        if let Some(&(rank, seq)) = rest.next() {
            self.heads.push(Reverse((rank, seq, self.sources.len())));
            self.sources.push(Source { rest, is_suspects: most == 1 });
        }
    }

    fn take(mut self, max: usize) -> Vec<Seq> {
        let mut taken = Vec::new();
        let mut took_suspect = false;
        while taken.len() < max
            && let Some(Reverse((_, seq, index))) = self.heads.pop()
        {
            let source = &mut self.sources[index];
            if source.is_suspects && std::mem::replace(&mut took_suspect, true) {
                continue;
            }
            taken.push(seq);
            if let Some(&(rank, seq)) = source.rest.next() {
                self.heads.push(Reverse((rank, seq, index)));
            }
        }
        taken
    }
}
