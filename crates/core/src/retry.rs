//! When a failed job runs again.

use std::time::Duration;

use crate::id::JobId;

/// How long to wait before the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryPolicy {
    /// Exponential back-off with full jitter: a random time between zero and
    /// `base × 2^(failures − 1)`, never above `max`.
    ///
    /// "Full jitter" as in Marc Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015.
    Exponential {
        /// The bound of the first wait, in milliseconds.
        base_ms: u64,
        /// The bound of every wait, in milliseconds.
        max_ms: u64,
    },
    /// Always the same wait.
    Fixed {
        /// The wait, in milliseconds.
        delay_ms: u64,
    },
    /// One wait after another, in milliseconds; the last one repeats.
    List {
        /// The waits.
        delays_ms: Vec<u64>,
    },
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy::DEFAULT
    }
}

impl RetryPolicy {
    /// The policy of a job that names none: from 2 s, doubling, at most an hour, with full jitter.
    pub const DEFAULT: RetryPolicy = RetryPolicy::Exponential { base_ms: 2_000, max_ms: 3_600_000 };

    /// The wait after the failure with number `failures` (from 1).
    ///
    /// `seed` is the chance in it: the same seed gives the same wait.
    pub fn delay(&self, failures: u32, seed: u64) -> Duration {
        let step = failures.saturating_sub(1);
        match self {
            RetryPolicy::Exponential { base_ms, max_ms } => {
                let bound_ms = base_ms.saturating_mul(1_u64.checked_shl(step).unwrap_or(u64::MAX));
                let bound_us = bound_ms.min(*max_ms).saturating_mul(1_000);
                Duration::from_micros(scaled(bound_us, seed))
            }
            RetryPolicy::Fixed { delay_ms } => Duration::from_millis(*delay_ms),
            RetryPolicy::List { delays_ms } => {
                let index = (step as usize).min(delays_ms.len().saturating_sub(1));
                Duration::from_millis(delays_ms.get(index).copied().unwrap_or(0))
            }
        }
    }
}

/// The chance in the wait after an attempt, for [`RetryPolicy::delay`]: made from the job and the
/// number of the attempt alone, so that every store computes the same wait.
pub fn seed(id: JobId, attempt: u32) -> u64 {
    let [high, low] = [id.as_u128() >> 64, id.as_u128() & u128::from(u64::MAX)]
        .map(|half| u64::try_from(half).unwrap_or(u64::MAX));
    mixed(mixed(high) ^ low).wrapping_add(u64::from(attempt))
}

/// A number in `0..=bound` that `seed` chooses evenly.
fn scaled(bound: u64, seed: u64) -> u64 {
    let product = u128::from(mixed(seed)) * (u128::from(bound) + 1);
    u64::try_from(product >> 64).unwrap_or(bound)
}

/// The bits of `seed` mixed: one step of SplitMix64 (Steele, Lea and Flood, *Fast Splittable
/// Pseudorandom Number Generators*, 2014).
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "tests/retry.rs"]
mod tests;
