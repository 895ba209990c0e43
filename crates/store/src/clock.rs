//! Where stores get the time from.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taskwright_core::Timestamp;

/// A source of wall-clock time. It may jump in both directions: a store never trusts it to be
/// monotone, and takes the latest instant it has seen as its own time (law L6).
pub trait Clock: Send + Sync + 'static {
    /// The time that the clock shows.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Copy, Clone, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since_epoch) => Timestamp::ZERO.plus(since_epoch),
            Err(before_epoch) => Timestamp::ZERO.minus(before_epoch.duration()),
        }
    }
}

/// A clock that stands still until somebody moves it, for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        ManualClock(AtomicI64::new(now.as_micros()))
    }

    /// Lets the clock show `now`, which may be earlier than before.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Moves the clock back.
    pub fn turn_back(&self, by: Duration) {
        self.set(self.now().minus(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
