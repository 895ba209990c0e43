//! Which job holds which unique key.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use taskwright_core::{Name, Timestamp};

use crate::change::{Seq, TimedHold};

/// From unique keys to the jobs that hold them. It follows from the jobs, and only says where to
/// look: whether a job found here still holds its key, the job says.
#[derive(Debug, Default)]
pub struct Keys {
    holders: BTreeMap<Name, BTreeMap<Arc<str>, Seq>>,
    /// Holds that end with time: when, and whose.
    timed: BTreeMap<(Timestamp, Seq), (Name, Arc<str>)>,
    /// Jobs with a key, while the ledger comes back: what they hold is settled at the end, because
    /// groups are set again in another order than they were decided where jobs were held back.
    pub unsettled: FxHashSet<Seq>,
    /// Keys that jobs hold which had ended, as the table knows them.
    pub loaded: Vec<TimedHold>,
}

impl Keys {
    /// The job to ask about a key.
    pub fn find(&self, namespace: &Name, key: &str) -> Option<Seq> {
        self.holders.get(namespace)?.get(key).copied()
    }

    /// A job holds a key now; `until`: where only time ends that.
    pub fn hold(&mut self, namespace: &Name, key: &Arc<str>, seq: Seq, until: Option<Timestamp>) {
        let of_namespace = match self.holders.get_mut(namespace) {
            Some(of_namespace) => of_namespace,
            None => self.holders.entry(namespace.clone()).or_default(),
        };
        if of_namespace.insert(Arc::clone(key), seq) != Some(seq)
            && let Some(until) = until
        {
            self.timed.insert((until, seq), (namespace.clone(), Arc::clone(key)));
        }
    }

    /// A job does not hold a key any more, if it did.
    pub fn free(&mut self, namespace: &Name, key: &str, seq: Seq, until: Option<Timestamp>) {
        if let Some(until) = until {
            self.timed.remove(&(until, seq));
        }
        let Some(of_namespace) = self.holders.get_mut(namespace) else { return };
        if of_namespace.get(key) == Some(&seq) {
            of_namespace.remove(key);
        }
        if of_namespace.is_empty() {
            self.holders.remove(namespace);
        }
    }

    /// The hold of a job that is gone is over before its time.
    pub fn end(&mut self, until: Timestamp, seq: Seq) {
        if let Some((namespace, key)) = self.timed.remove(&(until, seq)) {
            self.free(&namespace, &key, seq, None);
        }
    }

    /// Ends up to `limit` holds whose time is over.
    pub fn end_elapsed(&mut self, now: Timestamp, limit: usize) {
        for _ in 0..limit {
            match self.timed.first_key_value() {
                Some((&(until, seq), _)) if until <= now => self.end(until, seq),
                _ => return,
            }
        }
    }

    /// All keys and the jobs that may hold them.
    pub fn all(&self) -> impl Iterator<Item = (&Name, &str, Seq)> {
        let of_namespaces = self.holders.iter();
        of_namespaces.flat_map(|(namespace, keys)| {
            keys.iter().map(move |(key, &seq)| (namespace, &**key, seq))
        })
    }
}

#[cfg(test)]
#[path = "tests/keys.rs"]
mod tests;
