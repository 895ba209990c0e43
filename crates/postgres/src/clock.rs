//! The store's own time: the database's, so that nodes whose clocks differ behave as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use taskwright_store::Clock;

/// What a node tells the database of the time.
pub(crate) enum StoreClock {
    /// Nothing: the database's clock counts.
    Database,
    /// The latest instant that a clock of a test has shown.
    Shown { clock: Arc<dyn Clock>, latest: AtomicI64 },
}

impl StoreClock {
    pub fn of(clock: Option<Arc<dyn Clock>>) -> Self {
        match clock {
            None => StoreClock::Database,
            Some(clock) => StoreClock::Shown { clock, latest: AtomicI64::new(i64::MIN) },
        }
    }

    /// The time to run a statement at, in microseconds; `None`: the database's own.
    pub fn shown(&self) -> Option<i64> {
        match self {
            StoreClock::Database => None,
            StoreClock::Shown { clock, latest } => {
                let now = clock.now().as_micros();
                Some(latest.fetch_max(now, Ordering::SeqCst).max(now))
            }
        }
    }
}
