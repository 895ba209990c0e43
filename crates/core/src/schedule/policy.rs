//! What a schedule does when it is due while its last job is live, was missed, or fails.

use std::time::Duration;

use crate::limits::{CATCH_UP_MAX, OverLimit, check};
use crate::time::Timestamp;

/// What happens to an instant when a job of the schedule is still live.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It makes a job as always.
    Allow,
    /// It is skipped.
    #[default]
    Skip,
    /// One instant waits for the live job to end; further ones are skipped.
    QueueOne,
    /// The live job is cancelled, and the instant makes one.
    CancelRunning,
}

/// What happens to instants that are late: due for longer than `limits::TICK_LATE_AFTER`, because
/// no node ticked meanwhile.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// They are skipped.
    Skip,
    /// One job makes up for all of them: that of the newest one. Where another instant is due now,
    /// in time, its job makes up for them.
    #[default]
    Once,
    /// The newest ones make a job each; older ones are skipped.
    All {
        /// How many: 1 to [`CATCH_UP_MAX`].
        max: u32,
    },
}

/// The policies of a schedule.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// When a job of the schedule is still live.
    pub overlap: Overlap,
    /// When instants were missed.
    pub catch_up: CatchUp,
    /// Instants that are late by more than this are skipped, whatever `catch_up` says; no bound
    /// where it is `None`.
    pub catch_up_window: Option<Duration>,
    /// The schedule pauses itself after so many jobs that failed one after another (from 1); never
    /// where it is `None`.
    pub pause_after: Option<u32>,
}

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// More is to be caught up than is allowed.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// A number is 0 that cannot be.
    #[error("{0} is 0, and must be at least 1; leave it out if it is not wanted")]
    Zero(&'static str),
}

impl Policy {
    /// Refuses numbers that make no sense.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        if let CatchUp::All { max } = self.catch_up {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            check("catch_up", max, CATCH_UP_MAX, "instants")?;
            if max == 0 {
                return Err(InvalidPolicy::Zero("catch_up"));
            }
        }
        if self.pause_after == Some(0) {
            return Err(InvalidPolicy::Zero("pause_after"));
        }
        Ok(())
    }
}

/// Why a schedule is paused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PausedBy {
    /// Somebody asked for it.
    Operator,
    /// Too many of its jobs failed one after another.
    Failures,
}

/// Where a schedule stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Each instant up to and with this one is accounted for: it made a job or was skipped.
    pub last: Timestamp,
    /// Whether it is paused, and by whom.
    pub paused: Option<PausedBy>,
    /// How many of its jobs failed one after another.
    pub failures: u32,
    /// Whether a job of the schedule has not ended.
    pub live: bool,
    /// The instant that waits for the live job to end.
    pub queued: Option<Timestamp>,
}

impl State {
    /// A schedule that is made now: only later instants are its own. One whose rule is changed keeps
    /// its state but for `last`, which becomes now.
    pub fn new(now: Timestamp) -> Self {
        State { last: now, paused: None, failures: 0, live: false, queued: None }
    }

    /// The state after its last live job has ended. The failure that reaches the policy's
    /// `pause_after` pauses the schedule.
    ///
    /// When an instant is queued, decide anew right away: it can start now.
    #[must_use]
    pub fn ended(self, policy: &Policy, failed: bool) -> Self {
        let failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let too_many = policy.pause_after.is_some_and(|most| failures >= most);
        let paused = self.paused.or(too_many.then_some(PausedBy::Failures));
        State { live: false, failures, paused, ..self }
    }
}

#[cfg(test)]
#[path = "tests/policy.rs"]
mod tests;
