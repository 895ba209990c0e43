//! Coming back: from the table's rows, then from the groups that the table had not applied.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::LEASE;
use taskwright_core::{Name, StateName, Timestamp, WorkerId};
use taskwright_store::{Error, ErrorKind, Result, WorkerInfo};

use super::counters::Slot;
use super::entry::Entry;
use super::workers::Worker;
use super::{Archive, Archived, Ledger};
use crate::change::{
    Arrival, Change, DocumentFact, Fixed, Lane, LaneNumber, More, PolicyFact, Position,
    QueueSettings, Rewrite, Seq, TimedHold, Turn, Update, Vital, WorkerFact, WorkerNumber,
};

/// What the table hands over before its live jobs.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// All lanes, by number.
    pub lanes: Vec<Lane>,
    /// The settings of queues.
    pub queues: Vec<QueueSettings>,
    /// The policies.
    pub policies: Vec<PolicyFact>,
    /// The documents.
    pub documents: Vec<DocumentFact>,
    /// When the next start is due by a rate.
    pub arrivals: Vec<Arrival>,
    /// The turns of fair queues.
    pub turns: Vec<Turn>,
    /// Workers that hold jobs or were seen lately, each with the number of its last claim.
    pub workers: Vec<(WorkerFact, u64)>,
    /// The number that the next new worker gets.
    pub next_worker: WorkerNumber,
    /// Jobs that ended and are kept.
    pub ended: Vec<(LaneNumber, StateName, u64)>,
    /// Unique keys that ended jobs hold for a time.
    pub holds: Vec<TimedHold>,
}

/// A live job as the table hands it over. Its args may be left out (empty).
#[derive(Clone, Debug)]
pub struct LoadedJob {
    /// What never changes.
    pub fixed: Fixed,
    /// Bytes of its args.
    pub args_len: u64,
    /// What changes with every step.
    pub vital: Vital,
    /// What changes seldom.
    pub more: Option<Box<More>>,
    /// Whether the table keeps ended attempts of it.
    pub has_attempts: bool,
}

impl Ledger {
    /// Takes over lanes, settings, workers and counts.
    pub fn load(&mut self, loaded: Loaded) -> Result<()> {
        for lane in &loaded.lanes {
            self.replay_lane(lane)?;
        }
        for queue in &loaded.queues {
            self.replay_queue(queue)?;
        }
        loaded.policies.iter().for_each(|policy| self.limits.restore(policy));
        loaded.documents.into_iter().for_each(|fact| self.documents.set(fact));
        loaded.arrivals.iter().for_each(|&arrival| self.limits.restore_arrival(arrival));
        loaded.turns.iter().for_each(|&turn| self.limits.turns.set(turn));
        for (worker, last_claim) in &loaded.workers {
            self.replay_worker(worker)?;
            if let Some(worker) = self.workers.get_mut(worker.number) {
                worker.last_claim = *last_claim;
            }
        }
        self.workers.skip_to(loaded.next_worker);
        for (lane, state, count) in loaded.ended {
            self.count_ended(lane, state, count);
        }
        self.keys.loaded = loaded.holds;
        Ok(())
    }

    /// Takes over a live job.
    pub fn load_job(&mut self, job: LoadedJob) {
        let seq = job.fixed.seq;
        self.note_claim(&job.vital);
        let mut entry = Entry::new(Arc::new(job.fixed), job.vital);
        entry.args_len = u32::try_from(job.args_len).unwrap_or(u32::MAX);
        if let Some(more) = &job.more {
            entry.rare_mut().absorb(more);
        }
        if job.has_attempts {
            entry.rare_mut().has_attempts = true;
        }
        let has_key = entry.fixed.unique().is_some();
        self.enter(seq, entry);
        if has_key {
            self.note_key(seq);
        }
        self.next_seq = self.next_seq.max(seq + 1);
    }

    /// Workers that live jobs speak of and that were not handed over.
    pub fn nameless_workers(&self) -> Vec<WorkerNumber> {
        self.workers.nameless()
    }

    /// Takes over the id of such a worker.
    pub fn name_worker(&mut self, number: WorkerNumber, id: WorkerId) {
        self.workers.name(number, id);
    }

    /// Remembers that the table knows the id of an ended job.
    pub fn load_ended_id(&mut self, id: taskwright_core::JobId, state: StateName) {
        match state {
            StateName::Completed => self.completed_ids.insert(id),
            _ => self.other_ids.insert(id),
        }
    }

    /// Sets again what a group of the journal says.
    pub fn replay(
        &mut self,
        position: Position,
        now: Timestamp,
        changes: &[Change],
        archive: &mut dyn Archive,
    ) -> Result<()> {
        self.position = position;
        self.now = self.now.max(now);
        for change in changes {
            match change {
                Change::Insert(fixed, vital) => {
                    self.next_seq = self.next_seq.max(fixed.seq + 1);
                    self.enter(fixed.seq, Entry::new(Arc::clone(fixed), *vital));
                    if fixed.unique().is_some() {
                        self.note_key(fixed.seq);
                    }
                }
                Change::Update(update) => self.replay_update(update, archive)?,
                Change::Rewrite(rewrite) => self.replay_rewrite(rewrite, archive)?,
                Change::Delete(seq) => {
                    self.replay_recall(*seq, archive)?;
                    self.forget(*seq);
                }
                Change::Lane(lane) => self.replay_lane(lane)?,
                Change::Queue(queue) => self.replay_queue(queue)?,
                Change::Worker(worker) => self.replay_worker(worker)?,
                Change::Policy(policy) => self.restore_policy(policy, archive)?,
                Change::Document(fact) => self.documents.set((**fact).clone()),
                Change::Arrival(arrival) => self.limits.restore_arrival(*arrival),
                Change::Turn(turn) => self.limits.turns.set(*turn),
                Change::Audit(_) => {}
            }
        }
        Ok(())
    }

    /// Begins service: every lease is granted afresh, but those of workers that lived in the
    /// process that had the store open are over. `epoch` says how often the store was opened, this
    /// time included.
    pub fn resume(&mut self, epoch: u32, wall: taskwright_core::Timestamp) {
        self.resume_lines();
        self.epoch = epoch;
        self.now = self.now.max(wall);
        self.swept_at = self.now;
        self.settle_keys();
        let numbers: Vec<_> = self.workers.iter().map(|(number, _)| number).collect();
        let served = self.served;
        for worker in numbers {
            if let Some(worker) = self.workers.get_mut(worker) {
                let lease = if worker.in_process { Duration::ZERO } else { LEASE };
                worker.lease_end = served + lease;
            }
        }
    }

    fn replay_update(&mut self, update: &Update, archive: &mut dyn Archive) -> Result<()> {
        self.replay_recall(update.seq, archive)?;
        self.note_claim(&update.vital);
        self.place(update.seq, update.vital, update.more.as_deref());
        Ok(())
    }

    fn replay_rewrite(&mut self, rewrite: &Rewrite, archive: &mut dyn Archive) -> Result<()> {
        self.replay_recall(rewrite.seq, archive)?;
        self.give(rewrite);
        Ok(())
    }

    /// Makes sure that a job which a change speaks of is in memory.
    fn replay_recall(&mut self, seq: u64, archive: &mut dyn Archive) -> Result<()> {
        if self.jobs.contains_key(&seq) {
            return Ok(());
        }
        match archive.by_seq(seq)? {
            Some(Archived::Whole(job)) => {
                self.bring_back(*job);
                Ok(())
            }
            _ => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the journal changes job number {seq} at position {}, but neither it nor the \
                     table knows that job; run `taskwright fsck`",
                    self.position
                ),
            )),
        }
    }

    fn note_claim(&mut self, vital: &Vital) {
        if let Some(run) = vital.run
            && let Some(worker) = self.workers.get_mut(run.worker)
        {
            worker.last_claim = worker.last_claim.max(run.claim);
        }
    }

    fn replay_lane(&mut self, lane: &Lane) -> Result<()> {
        if (lane.number as usize) < self.lanes.count() {
            return Ok(());
        }
        let requires = lane.requires.parse().map_err(named_wrongly)?;
        let name = (name(&lane.namespace)?, name(&lane.queue)?, name(&lane.task)?, requires);
        let made = self.lanes.add(name);
        if made.number != lane.number {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "lane {} is missing before lane {} ({}/{}); run `taskwright fsck`",
                    made.number, lane.number, lane.queue, lane.task
                ),
            ));
        }
        Ok(())
    }

    fn replay_queue(&mut self, settings: &QueueSettings) -> Result<()> {
        let index = self.lanes.queue_or_new(&name(&settings.namespace)?, &name(&settings.queue)?);
        self.lanes.queues[index].paused = settings.paused;
        Ok(())
    }

    fn replay_worker(&mut self, fact: &WorkerFact) -> Result<()> {
        if let Some(worker) = self.workers.get_mut(fact.number) {
            worker.in_process = fact.in_process;
            return Ok(());
        }
        self.workers.insert(
            fact.number,
            Worker {
                id: fact.id,
                namespace: name(&fact.namespace)?,
                info: WorkerInfo::default(),
                profile: None,
                first_seen_at: fact.first_seen_at,
                last_seen_at: self.now,
                lease_end: self.served,
                last_claim: 0,
                held: Default::default(),
                suspects: 0,
                in_process: fact.in_process,
            },
        );
        Ok(())
    }

    /// Takes pruned jobs off the counts, ends the `holds` of unique keys that they had, lets the `dead`
    /// of them leave the order of their keys and, of `remembered` ids that the table still knows, keeps
    /// at least those in mind.
    pub fn pruned(
        &mut self,
        pruned: &[(LaneNumber, StateName, u64)],
        holds: &[(Timestamp, Seq)],
        dead: &[Seq],
        remembered: u64,
    ) {
        for &(until, seq) in holds {
            self.keys.end(until, seq);
        }
        for &seq in dead {
            self.leave_orders(seq);
        }
        for &(lane, state, count) in pruned {
            let queue_index = self.lanes.get(lane).queue_index;
            self.lanes.queues[queue_index].counters.subtract(Slot::State(state), count);
        }
        self.completed_ids.keep_newest(usize::try_from(remembered).unwrap_or(usize::MAX));
    }
}

fn name(text: &str) -> Result<Name> {
    Name::new(text).map_err(named_wrongly)
}

fn named_wrongly(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the store names something wrongly: {error}"))
}
