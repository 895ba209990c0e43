//! Taking in jobs that come from another store.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use taskwright_core::{AttemptRecord, Job, Json, Name, Requirement, State, WorkerId};
use taskwright_store::{Imported, Record, Refusal, Result};

use super::entry::Entry;
use super::{Archive, Ledger};
use crate::change::{Change, Fixed, LaneNumber, More, Run, Seq, Vital, WorkerFact, WorkerNumber};

/// The numbers of workers that the jobs of one import speak of.
type Numbers = FxHashMap<(Name, WorkerId), WorkerNumber>;

impl Ledger {
    /// See `Store::import`.
    pub fn import(
        &mut self,
        records: Vec<Record>,
        archive: &mut dyn Archive,
    ) -> Result<Vec<Imported>> {
        let mut numbers = Numbers::default();
        let import = |record| self.import_one(record, &mut numbers, archive);
        records.into_iter().map(import).collect()
    }

    fn import_one(
        &mut self,
        record: Record,
        numbers: &mut Numbers,
        archive: &mut dyn Archive,
    ) -> Result<Imported> {
        let Job { namespace, id, queue, task, extras, .. } = &record.job;
        if let Some(known) = self.known(namespace, *id, archive)? {
            return Ok(if known.fingerprint == record.fingerprint {
                Imported::Existing { seq: known.seq, state: known.state }
            } else {
                Imported::Refused(Refusal::IdConflict(*id))
            });
        }
        let lane = (namespace.clone(), queue.clone(), task.clone(), extras.requires.clone());
        if self.lanes.number(&lane).is_none()
            && let Err(refusal) = self.lanes.check_room(1)
        {
            return Ok(Imported::Refused(refusal));
        }
        let mut record = record.arriving(self.now);
        record.job.extras.requires = Requirement::NONE;
        if let Some(refusal) = self.key_is_taken(&record.job, archive)? {
            return Ok(Imported::Refused(refusal));
        }
        let lane = match self.lane_or_new(lane) {
            Ok(lane) => lane,
            Err(refusal) => return Ok(Imported::Refused(refusal)),
        };
        let seq = self.next_seq;
        self.next_seq += 1;
        self.take_over(record, seq, lane, numbers);
        Ok(Imported::New { seq })
    }

    /// Writes a job down in the words that the journal has for jobs that live here: it is inserted,
    /// then it is so. One that has ended is blocked in between, because a job departs when it ends
    /// and at no other time.
    fn take_over(&mut self, record: Record, seq: Seq, lane: LaneNumber, numbers: &mut Numbers) {
        let Record { job, fingerprint, allowance } = record;
        let run = job.worker.zip(job.started_at).map(|(id, started_at)| {
            let worker = self.number_of(&job.namespace, id, numbers);
            (Run { worker, claim: 0, started_at }, id)
        });
        let Job { life, run_at: due_at, finished_at, .. } = job;
        let vital = Vital { life, due_at, run: run.map(|(run, _)| run), finished_at };
        let has_ended = life.state.is_final();
        let mut facts = facts(&job);
        if has_ended && facts.is_empty() {
            facts.push(None);
        }
        let fixed = Arc::new(Fixed {
            seq,
            id: job.id,
            lane,
            priority: job.priority,
            timeout_ms: job.timeout_ms,
            created_at: job.created_at,
            fingerprint,
            max_attempts: allowance,
            args: job.args.unwrap_or_else(Json::null),
            extras: (!job.extras.is_empty()).then(|| Box::new(job.extras)),
        });
        let first = match has_ended {
            true => {
                let life = taskwright_core::Life { state: State::Blocked, ..life };
                Vital { life, finished_at: None, ..vital }
            }
            false => self.lined_up(&fixed, vital),
        };
        self.changes.push(Change::Insert(Arc::clone(&fixed), first));
        let is_heard = self.is_heard;
        self.is_heard &= !has_ended;
        self.enter(seq, Entry::new(fixed, first));
        self.is_heard = is_heard;
        if let Some((run, id)) = run {
            self.workers.name(run.worker, id);
        }
        for more in facts {
            self.set(seq, vital, more);
        }
        self.note_key(seq);
    }

    /// The number of a worker that a job speaks of. It does not become known by that: as one that
    /// lived in a process that is gone, it has no lease at the next opening either.
    fn number_of(&mut self, namespace: &Name, id: WorkerId, numbers: &mut Numbers) -> WorkerNumber {
        if let Some(number) = self.workers.number(namespace, id) {
            return number;
        }
        let key = (namespace.clone(), id);
        if let Some(&number) = numbers.get(&key) {
            return number;
        }
        let number = self.workers.next_number();
        self.workers.skip_to(number + 1);
        self.changes.push(Change::Worker(WorkerFact {
            number,
            id,
            namespace: namespace.as_str().into(),
            first_seen_at: self.now,
            in_process: true,
        }));
        numbers.insert(key, number);
        number
    }
}

/// What is to be told of a job behind its insert: each ended attempt in an update of its own, and
/// with the last one all the rest.
fn facts(job: &Job) -> Vec<Option<Box<More>>> {
    let rest = More {
        attempt: None,
        error: job.error.clone(),
        result: job.result.clone(),
        cancel_reason: job.cancel_reason.clone(),
        progress: None,
        checkpoint: job.checkpoint.clone(),
    };
    let of_attempt = |attempt: &AttemptRecord| {
        let attempt = Some(attempt.clone());
        Some(Box::new(More { attempt, ..More::default() }))
    };
    let mut facts: Vec<_> = job.attempts.iter().map(of_attempt).collect();
    match facts.last_mut() {
        Some(Some(last)) => **last = More { attempt: last.attempt.take(), ..rest },
        _ if rest != More::default() => facts.push(Some(Box::new(rest))),
        _ => {}
    }
    facts
}
