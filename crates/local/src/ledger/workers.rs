//! Workers: who holds what, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use taskwright_core::{Name, Timestamp, WorkerId};
use taskwright_store::{Profile, WorkerInfo};

use crate::change::{Seq, WorkerFact, WorkerNumber};

/// A worker and what it holds.
#[derive(Debug)]
pub struct Worker {
    /// Its id.
    pub id: WorkerId,
    /// The tenant.
    pub namespace: Name,
    /// What it says of itself.
    pub info: WorkerInfo,
    /// What it serves, as its newest claim said.
    pub profile: Option<Arc<Profile>>,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
    /// Its lease ends when the store has served so much time.
    pub lease_end: Duration,
    /// The number of its last claim that gave jobs.
    pub last_claim: u64,
    /// What it runs.
    pub held: BTreeSet<Seq>,
    /// How many of those are suspects.
    pub suspects: usize,
    /// Whether it lives in the process that has the store open.
    pub in_process: bool,
}

impl Worker {
    /// What is written down of it.
    pub fn fact(&self, number: WorkerNumber) -> WorkerFact {
        WorkerFact {
            number,
            id: self.id,
            namespace: self.namespace.as_str().into(),
            first_seen_at: self.first_seen_at,
            in_process: self.in_process,
        }
    }
}

/// A worker that jobs in memory speak of.
#[derive(Debug, Default)]
struct Named {
    /// Its id, where it is not among the known.
    id: Option<WorkerId>,
    jobs: usize,
}

/// All workers that are known.
#[derive(Debug, Default)]
pub struct Workers {
    /// In order, so that every run of the same commands does the same.
    workers: BTreeMap<WorkerNumber, Worker>,
    /// Workers that jobs in memory speak of: they are named there even when long gone.
    named: FxHashMap<WorkerNumber, Named>,
    numbers: FxHashMap<(Name, WorkerId), WorkerNumber>,
    next: WorkerNumber,
}

impl Workers {
    /// The number of a worker.
    pub fn number(&self, namespace: &Name, id: WorkerId) -> Option<WorkerNumber> {
        self.numbers.get(&(namespace.clone(), id)).copied()
    }

    /// A worker.
    pub fn get(&self, number: WorkerNumber) -> Option<&Worker> {
        self.workers.get(&number)
    }

    /// A worker, to change.
    pub fn get_mut(&mut self, number: WorkerNumber) -> Option<&mut Worker> {
        self.workers.get_mut(&number)
    }

    /// The number that the next new worker gets.
    pub fn next_number(&self) -> WorkerNumber {
        self.next
    }

    /// Gives no number below this one to a new worker.
    pub fn skip_to(&mut self, next: WorkerNumber) {
        self.next = self.next.max(next);
    }

    /// Adds a worker.
    pub fn insert(&mut self, number: WorkerNumber, worker: Worker) {
        self.skip_to(number + 1);
        self.numbers.insert((worker.namespace.clone(), worker.id), number);
        self.workers.insert(number, worker);
    }

    /// Forgets a worker, but for its id while jobs speak of it.
    pub fn remove(&mut self, number: WorkerNumber) {
        if let Some(worker) = self.workers.remove(&number) {
            self.name(number, worker.id);
            // A worker that was forgotten and came back has a newer number too.
            let key = (worker.namespace, worker.id);
            if self.numbers.get(&key) == Some(&number) {
                self.numbers.remove(&key);
            }
        }
    }

    /// The id of a worker, known or gone.
    pub fn id(&self, number: WorkerNumber) -> Option<WorkerId> {
        let known = self.workers.get(&number).map(|worker| worker.id);
        known.or_else(|| self.named.get(&number)?.id)
    }

    /// A job in memory speaks of the worker.
    pub fn refer(&mut self, number: WorkerNumber) {
        self.named.entry(number).or_default().jobs += 1;
    }

    /// A job in memory no longer speaks of the worker.
    pub fn unrefer(&mut self, number: WorkerNumber) {
        if let Some(named) = self.named.get_mut(&number) {
            named.jobs -= 1;
            if named.jobs == 0 {
                self.named.remove(&number);
            }
        }
    }

    /// Workers that jobs speak of and whose id is not known.
    pub fn nameless(&self) -> Vec<WorkerNumber> {
        self.named.keys().copied().filter(|&number| self.id(number).is_none()).collect()
    }

    /// Notes the id of a worker that jobs speak of.
    pub fn name(&mut self, number: WorkerNumber, id: WorkerId) {
        if let Some(named) = self.named.get_mut(&number) {
            named.id = Some(id);
        }
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (WorkerNumber, &Worker)> {
        self.workers.iter().map(|(&number, worker)| (number, worker))
    }
}
