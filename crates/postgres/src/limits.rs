//! Limits: what may start, and who stands in line.
//!
//! Decided in Rust, by `core::admission`, under a lock of the namespace (`migrations/0001/limits.sql`).
//! Where nothing is limited, nobody takes that lock alone and nothing here runs.
//!
//! - `policies`: what operators allow, and what this node knows of it
//! - `bounds`: queues that let only so many jobs wait
//! - `budgets`: how fast failed attempts come back
//! - `enter`: where jobs go that come or come back, and which keys are noted then
//! - `desk`: what is known under the lock, and who stands where; no IO
//! - `read`, `write`: fill the desk, and write down what was decided there
//! - `foresee`, `settle`: serves lines, and reads what that takes at once
//! - `give`: claims
//! - `ordered`: who comes first in the order of a key
//! - `turns`: whose turn it is in fair queues
//! - `serve`: when lines are served: after calls, and by sweeps
//! - `rouse`: room that comes with time, on the node that used up what there was

pub(crate) mod bounds;
pub(crate) mod budgets;
mod desk;
mod enter;
mod foresee;
mod give;
mod ordered;
mod policies;
mod read;
pub(crate) mod rouse;
pub(crate) mod serve;
mod settle;
mod turns;
mod write;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use taskwright_core::{Policies, Timestamp};

pub(crate) use enter::{Entering, is_keyed, key_numbers, keys_text, notes_of};
pub(crate) use ordered::BlockedLines;

/// What the database raises where policies have changed since the caller read them.
pub(crate) const CHANGED: &str = "TW006";

/// Most namespaces whose policies are remembered; then all are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// The policies of a namespace, and of which version.
#[derive(Debug, Default)]
pub(crate) struct PolicySet {
    pub version: i64,
    pub policies: Policies,
    /// Whether any of them says what may start.
    pub limits_starts: bool,
    /// Whether any queue lets only so many jobs wait.
    pub has_bounds: bool,
    /// Whether any queue is strict.
    pub has_strict: bool,
}

/// What this node knows of limits.
pub(crate) struct Limits {
    known: RwLock<HashMap<i32, Arc<PolicySet>>>,
    has_bounds: AtomicBool,
    turns: Mutex<HashMap<i32, Arc<tokio::sync::Mutex<()>>>>,
    /// Behind which line a sweep looks next whether it was forgotten.
    looked_at: AtomicI64,
    /// When a queue or task that is held back has more room by time alone.
    grows_at: Mutex<Option<Timestamp>>,
    /// When this node looks for room in which namespaces.
    looks: rouse::Looks,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            known: RwLock::default(),
            has_bounds: AtomicBool::new(false),
            turns: Mutex::default(),
            looked_at: AtomicI64::new(i64::MIN),
            grows_at: Mutex::default(),
            looks: rouse::Looks::default(),
        }
    }
}

impl Limits {
    /// The policies of a namespace, as this node knows them.
    fn known(&self, namespace: i32) -> Option<Arc<PolicySet>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&namespace).cloned()
    }

    fn keep(&self, namespace: i32, set: PolicySet) -> Arc<PolicySet> {
        let set = Arc::new(set);
        // It stays so: nobody is harmed who looks for none.
        if set.has_bounds {
            self.has_bounds.store(true, Ordering::Relaxed);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(namespace, Arc::clone(&set));
        set
    }

    /// The policies of a namespace have changed.
    fn forget(&self, namespace: i32) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&namespace);
    }

    /// When a queue or task that is held back has more room by time alone.
    fn set_grows_at(&self, at: Option<Timestamp>) {
        *self.grows_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Whether that instant has come; it is told once.
    fn take_growth(&self, now: Timestamp) -> bool {
        let mut grows_at = self.grows_at.lock().unwrap_or_else(PoisonError::into_inner);
        grows_at.take_if(|at| *at <= now).is_some()
    }

    /// Who holds it may serve the lines of the namespace; the others of this node wait for him.
    fn turn(&self, namespace: i32) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= REMEMBERED_MAX {
            turns.clear();
        }
        Arc::clone(turns.entry(namespace).or_default())
    }

    /// Whether any queue of any namespace lets only so many jobs wait, as far as this node knows.
    pub fn has_bounds(&self) -> bool {
        self.has_bounds.load(Ordering::Relaxed)
    }

    /// Whether what may start in the namespace is limited, as far as this node knows.
    pub fn is_limited(&self, namespace: i32) -> bool {
        self.known(namespace).is_some_and(|set| set.limits_starts)
    }
}
