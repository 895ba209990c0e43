//! What is measured while a workload is played.

use std::time::Duration;

use crate::outcome::{BacklogSample, Waits};

/// The most samples of the backlog.
const SAMPLES_MAX: usize = 240;

/// Durations, kept one by one: percentiles are exact.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    micros: Vec<u64>,
}

impl Durations {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.micros.push(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Durations) {
        self.micros.extend_from_slice(&other.micros);
    }

    /// In short.
    pub fn waits(mut self) -> Waits {
        self.micros.sort_unstable();
        let all = &self.micros;
        let sum: u128 = all.iter().map(|&micros| u128::from(micros)).sum();
        let mean = sum.checked_div(all.len() as u128).unwrap_or(0);
        let at_most = |percent: usize| {
            let wanted = (all.len() * percent).div_ceil(100).saturating_sub(1);
            Duration::from_micros(all.get(wanted).copied().unwrap_or(0))
        };
        Waits {
            count: all.len() as u64,
            mean: Duration::from_micros(u64::try_from(mean).unwrap_or(u64::MAX)),
            p50: at_most(50),
            p90: at_most(90),
            p99: at_most(99),
            max: at_most(100),
        }
    }
}

/// A mean, without the numbers.
#[derive(Copy, Clone, Debug, Default)]
pub struct Mean {
    pub count: u64,
    sum: Duration,
}

impl Mean {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.count += 1;
        self.sum += duration;
    }

    /// Adds what another is the mean of.
    pub fn join(&mut self, other: &Mean) {
        self.count += other.count;
        self.sum += other.sum;
    }

    /// The mean, in seconds.
    pub fn secs(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum.as_secs_f64() / self.count as f64 }
    }
}

/// Jain's index of fairness (Jain, Chiu and Hawe, 1984): 1 where all are alike, 1/n where one has
/// everything. `None` of fewer than two.
pub fn jain(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum, mut squares) = (0_u64, 0.0, 0.0);
    for value in values {
        count += 1;
        sum += value;
        squares += value * value;
    }
    match count {
        0 | 1 => None,
        _ if squares == 0.0 => Some(1.0),
        _ => Some(sum * sum / (count as f64 * squares)),
    }
}

/// The backlog over time, in samples that get coarser as time goes on.
#[derive(Clone, Debug)]
pub struct Backlog {
    samples: Vec<BacklogSample>,
    every: Duration,
    next: Duration,
    max: u64,
}

impl Default for Backlog {
    fn default() -> Self {
        let every = Duration::from_secs(1);
        Backlog { samples: Vec::new(), every, next: Duration::ZERO, max: 0 }
    }
}

impl Backlog {
    /// So many jobs waited and ran until `now`.
    pub fn until(&mut self, now: Duration, waiting: u64, running: u64) {
        self.max = self.max.max(waiting);
        while self.next <= now {
            self.samples.push(BacklogSample { at: self.next, waiting, running });
            if self.samples.len() >= SAMPLES_MAX {
                let mut stays = [true, false].into_iter().cycle();
                self.samples.retain(|_| stays.next().unwrap_or(true));
                self.every *= 2;
            }
            self.next = self.samples.last().map_or(self.every, |last| last.at + self.every);
        }
    }

    /// The samples, and the most that ever waited.
    pub fn end(self) -> (Vec<BacklogSample>, u64) {
        (self.samples, self.max)
    }
}

#[cfg(test)]
#[path = "tests/measure.rs"]
mod tests;
