//! Whether the database is there.

use std::time::SystemTime;
use taskwright_store::ErrorKind;

/// Whether the database is there, as readiness is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody has asked for a connection yet.
    Untried,
    /// There is a connection, or there was one when it was last asked for.
    Connected,
    /// There is none.
    Unreachable {
        /// What kind of error it is: one that passes when others let go, or not.
        kind: ErrorKind,
        /// Since when.
        since: SystemTime,
        /// Why, in a sentence without secrets.
        why: String,
    },
}

impl Health {
    /// Whether calls can be expected to succeed.
    pub fn is_connected(&self) -> bool {
        *self == Health::Connected
    }

    /// The state after one more failure: `since` stays that of the first.
    pub(super) fn failed(&mut self, kind: ErrorKind, reason: &str) {
        let since = match self {
            Health::Unreachable { since, .. } => *since,
            _ => SystemTime::now(),
        };
        *self = Health::Unreachable { since, kind, why: reason.to_string() };
    }
}
