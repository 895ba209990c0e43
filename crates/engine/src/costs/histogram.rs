//! Durations by size, in a fixed number of counters.

use std::time::Duration;

use super::Times;

/// Counters for each doubling; a counter's bounds are at most a quarter apart.
const STEPS: u64 = 4;
/// Counters: the last one begins at 15 days.
const COUNTERS: usize = 160;

/// How many durations there were of which size, from a microsecond to weeks, in the manner of HDR
/// histograms (Gil Tene): the counters are as wide as their bounds are far out.
#[derive(Clone, Debug)]
pub struct Histogram {
    counters: Box<[u64; COUNTERS]>,
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        let counters = Box::new([0; COUNTERS]);
        Histogram { counters, count: 0, sum: Duration::ZERO, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Adds a duration.
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counters[index_of(micros)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
        self.max = self.max.max(duration);
    }

    /// Adds all durations of another.
    pub fn merge(&mut self, other: &Histogram) {
        for (counter, more) in self.counters.iter_mut().zip(other.counters.iter()) {
            *counter += more;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// In short.
    pub fn times(&self) -> Times {
        Times {
            count: self.count,
            sum: self.sum,
            p50: self.at_most(50),
            p90: self.at_most(90),
            p99: self.at_most(99),
            max: self.max,
        }
    }

    /// The duration that so many of a hundred do not exceed.
    fn at_most(&self, percent: u64) -> Duration {
        let wanted = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0;
        for (index, &counter) in self.counters.iter().enumerate() {
            seen += u128::from(counter);
            if seen >= wanted && counter > 0 {
                return middle_of(index).min(self.max);
            }
        }
        Duration::ZERO
    }
}

/// The counter of so many microseconds.
fn index_of(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let doubling = u64::from(micros.ilog2()) - 2;
    let step = (micros >> doubling) - STEPS;
    ((STEPS * (doubling + 1) + step) as usize).min(COUNTERS - 1)
}

/// The middle of what a counter counts.
fn middle_of(index: usize) -> Duration {
    let index = index as u64;
    if index < STEPS {
        return Duration::from_micros(index);
    }
    let (doubling, step) = (index / STEPS - 1, index % STEPS);
    let width = 1_u64 << doubling;
    Duration::from_micros((STEPS + step) * width + width / 2)
}

#[cfg(test)]
#[path = "../tests/histogram.rs"]
mod tests;
