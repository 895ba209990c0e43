//! Idle connections, kept for the next call.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, Id};

/// Most connections kept; older ones are let go.
const KEPT_MAX: usize = 64;

/// A connection belongs to the runtime that it was made on, and is of use only there: a runtime that
/// nobody drives just now moves no bytes.
#[derive(Debug)]
pub(crate) struct Pool<C>(Mutex<VecDeque<(Id, C)>>);

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Pool(Mutex::new(VecDeque::new()))
    }
}

impl<C> Pool<C> {
    /// The connection of this runtime that was used last, among those that `is_usable`; others of
    /// this runtime are dropped.
    pub(crate) fn take(&self, is_usable: impl Fn(&C) -> bool) -> Option<C> {
        let here = Handle::current().id();
        let mut kept = self.kept();
        while let Some(at) = kept.iter().rposition(|(home, _)| *home == here) {
            match kept.remove(at) {
                Some((_, connection)) if is_usable(&connection) => return Some(connection),
                _ => {}
            }
        }
        None
    }

    /// Keeps a connection that has just been of use.
    pub(crate) fn put(&self, connection: C) {
        let mut kept = self.kept();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((Handle::current().id(), connection));
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Id, C)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tests/pool.rs"]
mod tests;
