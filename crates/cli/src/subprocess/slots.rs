//! Numbered slots, each with the guard of what runs in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::guard::Guard;

/// The slots of a worker. Clones mean the same ones.
#[derive(Clone, Debug, Default)]
pub struct Slots(Arc<Mutex<Shelf>>);

/// Free slots, and how many there are in all.
#[derive(Debug, Default)]
struct Shelf {
    free: BTreeMap<usize, Option<Guard>>,
    made: usize,
}

/// A slot that one attempt has. Dropped before it is [`freed`](Slot::free), all that runs in it is
/// killed.
#[derive(Debug)]
pub struct Slot {
    number: usize,
    guard: Option<Guard>,
    slots: Slots,
}

impl Slots {
    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the free slot with the lowest number, from 0; there is always one more.
    pub fn take(&self) -> Slot {
        let mut shelf = self.shelf();
        let (number, guard) = shelf.free.pop_first().unwrap_or_else(|| {
            shelf.made += 1;
            (shelf.made - 1, None)
        });
        Slot { number, guard, slots: self.clone() }
    }
}

impl Slot {
    /// Its number, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The guard, started where there is none.
    pub async fn guard(&mut self) -> Result<&Guard> {
        if !self.guard.as_mut().is_some_and(Guard::is_alive) {
            self.guard = None;
        }
        let guard = match self.guard.take() {
            Some(guard) => guard,
            None => Guard::start().await?,
        };
        Ok(self.guard.insert(guard))
    }

    /// Asks whatever runs in the slot to end.
    pub fn ask_to_end(&self) {
        if let Some(guard) = &self.guard {
            guard.ask_to_end();
        }
    }

    /// Kills whatever runs in the slot.
    pub fn clear(&mut self) {
        self.guard = None;
    }

    /// Gives the slot back with its guard: nothing runs in it.
    pub fn free(mut self) {
        let guard = self.guard.take();
        self.slots.shelf().free.insert(self.number, guard);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.guard = None;
        self.slots.shelf().free.entry(self.number).or_insert(None);
    }
}
