//! Which jobs a run has, in which order. About 50 bytes an input.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskwright_core::JobId;
use tokio::sync::watch;

use super::input::job_id;

/// The jobs of a run in the order of their inputs. Clones mean the same one.
#[derive(Clone, Debug)]
pub struct Roster {
    run: Arc<str>,
    list: Arc<Mutex<List>>,
    grown: watch::Sender<Grown>,
}

#[derive(Debug, Default)]
struct List {
    ids: Vec<JobId>,
    positions: HashMap<JobId, u32>,
    /// How often inputs were seen that were seen more than once, by the id of the first occurrence.
    repeats: HashMap<JobId, u32>,
}

/// How much of the roster there is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Grown {
    /// Jobs so far.
    pub jobs: usize,
    /// Whether there will be no more.
    pub is_complete: bool,
}

impl Roster {
    /// The roster of a run that has no jobs yet.
    pub fn new(run: &str) -> Roster {
        Roster { run: run.into(), list: Arc::default(), grown: watch::Sender::default() }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the next input its job. It is announced once its job is written.
    pub fn enter(&self, input: &[u8]) -> JobId {
        let mut list = self.list();
        let first = job_id(&self.run, input, 1);
        let id = if list.positions.contains_key(&first) {
            let seen = list.repeats.entry(first).or_insert(1);
            *seen += 1;
            job_id(&self.run, input, *seen)
        } else {
            first
        };
        list.add(id);
        id
    }

    /// Adds a job that an earlier life of the run had, unless it is known.
    pub fn enter_earlier(&self, id: JobId) {
        let mut list = self.list();
        if !list.positions.contains_key(&id) {
            list.add(id);
        }
    }

    /// Whether a job is known.
    pub fn knows(&self, id: JobId) -> bool {
        self.list().positions.contains_key(&id)
    }

    /// The place of a job, from 0.
    pub fn position(&self, id: JobId) -> Option<usize> {
        self.list().positions.get(&id).map(|&position| position as usize)
    }

    /// Lets the jobs entered so far be seen; with `is_complete`, there will be no more.
    pub fn announce(&self, is_complete: bool) {
        let jobs = self.list().ids.len();
        self.grown.send_replace(Grown { jobs, is_complete });
    }

    /// How much of it there is, from now on.
    pub fn grown(&self) -> watch::Receiver<Grown> {
        self.grown.subscribe()
    }

    /// Up to `max` jobs from a place on, of those that were announced.
    pub fn ids(&self, from: usize, max: usize) -> Vec<JobId> {
        let announced = self.grown.borrow().jobs;
        let end = from.saturating_add(max).min(announced);
        self.list().ids.get(from..end).unwrap_or_default().to_vec()
    }
}

impl List {
    fn add(&mut self, id: JobId) {
        // More inputs than this do not fit into any store.
        let position = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.push(id);
        self.positions.insert(id, position);
    }
}

#[cfg(test)]
#[path = "tests/roster.rs"]
mod tests;
