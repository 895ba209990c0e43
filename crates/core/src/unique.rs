//! Keys that at most one job holds at a time.
//!
//! A hold is no record of its own: [`Unique::is_held`] reads it off the job, so it cannot outlive
//! the job or be forgotten by it.

use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::{Life, State};
use crate::time::Timestamp;

/// A key that at most one job of its namespace holds at a time, and until when this one does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The key, at most `KEY_BYTES_MAX` bytes.
    pub key: Arc<str>,
    /// When the job lets go of it.
    pub until: Until,
}

/// When a job lets go of its unique key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// With its first claim; a retry does not take the key again.
    Claimed,
    /// With its end, whichever it is.
    Finished,
    /// So long after it was inserted, whatever has become of it; earlier only if it is deleted or
    /// pruned.
    Elapsed {
        /// The time, in milliseconds.
        ms: u64,
    },
}

impl Unique {
    /// Whether a job with this life, inserted at `created_at`, holds the key at `now`.
    pub fn is_held(&self, life: &Life, created_at: Timestamp, now: Timestamp) -> bool {
        let is_live = !life.state.is_final();
        match self.until {
            Until::Claimed => is_live && life.attempt == 0,
            Until::Finished => is_live,
            Until::Elapsed { ms } => now < created_at.plus(Duration::from_millis(ms)),
        }
    }
}

/// What an insert does where another job holds the unique key of the new one, which is then not
/// written.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Nothing: the answer names the holder.
    #[default]
    Keep,
    /// It refuses the new job, naming the holder.
    Refuse,
    /// It gives the holder fields of the new job.
    Replace(Replace),
}

/// Which fields of a waiting job are replaced by those of a new one with the same unique key.
///
/// Only before the job's first claim; later it stays as it is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Replace {
    /// The input.
    pub args: bool,
    /// The priority.
    pub priority: bool,
    /// When it is due: the `run_at` of the new job, or now.
    pub run_at: bool,
    /// How often it may fail.
    pub max_attempts: bool,
    /// How long an attempt may run.
    pub timeout: bool,
    /// Words to find it by.
    pub tags: bool,
    /// Only while the job waits for its `run_at`; a job that is ready stays as it is.
    pub scheduled_only: bool,
    /// `run_at` becomes at most this long after the insert of the job that waits, in milliseconds.
    pub at_most_ms: Option<u64>,
}

impl Replace {
    /// Every new job pushes the waiting one back to its own `run_at` and gives it its args, but to
    /// no later than `at_most_ms` after the first: one run when the stream of them pauses.
    pub const fn debounce(at_most_ms: Option<u64>) -> Self {
        Replace { args: true, run_at: true, at_most_ms, ..Replace::nothing() }
    }

    /// Every new job gives the waiting one its args and leaves it its `run_at`: one run for each
    /// such time, with the newest args.
    pub const fn throttle() -> Self {
        Replace { args: true, ..Replace::nothing() }
    }

    const fn nothing() -> Self {
        Replace {
            args: false,
            priority: false,
            run_at: false,
            max_attempts: false,
            timeout: false,
            tags: false,
            scheduled_only: false,
            at_most_ms: None,
        }
    }

    /// Whether a job with this life may be changed.
    pub fn applies_to(&self, life: &Life) -> bool {
        let is_waiting = match life.state {
            State::Available(place) => place.is_until() || !self.scheduled_only,
            State::Blocked => !self.scheduled_only,
            _ => false,
        };
        is_waiting && life.attempt == 0
    }

    /// When the job that waits is due afterwards: `new_run_at` is what the new job asks for (none:
    /// `now`), `created_at` when the waiting one was inserted, `due_at` when it is due so far.
    pub fn due_at(
        &self,
        new_run_at: Option<Timestamp>,
        created_at: Timestamp,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        if !self.run_at {
            return due_at;
        }
        let asked = new_run_at.unwrap_or(now);
        let latest = self.at_most_ms.map(|ms| created_at.plus(Duration::from_millis(ms)));
        latest.map_or(asked, |latest| asked.min(latest)).max(now)
    }
}

#[cfg(test)]
#[path = "tests/unique.rs"]
mod tests;
