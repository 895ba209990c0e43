//! How long to wait before another try.

use std::time::Duration;

/// Doubling waits with full jitter: many clients that lost one server do not return as one.
#[derive(Copy, Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of up to `base` at first, of up to `max` in the end.
    pub fn new(base: Duration, max: Duration) -> Self {
        Backoff { base, max, failures: 0 }
    }

    /// The wait after one more failure.
    pub fn fail(&mut self) -> Duration {
        let wait = self.drawn(getrandom::u32().unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Forgets all failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// A share of the longest wait, as `chance` is a share of its own range.
    fn drawn(&self, chance: u32) -> Duration {
        self.longest().mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    fn longest(&self) -> Duration {
        self.base.saturating_mul(1 << self.failures.min(16)).min(self.max)
    }
}

#[cfg(test)]
#[path = "tests/backoff.rs"]
mod tests;
