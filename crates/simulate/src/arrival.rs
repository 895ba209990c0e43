//! When the jobs of a class arrive.

use std::time::Duration;

use crate::chance::{Chance, seconds};
use crate::workload::{Arrivals, Burst};

/// The arrivals of a class, one after another.
#[derive(Clone, Debug)]
pub struct Source {
    arrivals: Arrivals,
    chance: Chance,
    /// Jobs so far.
    count: u64,
    /// When the last one arrived by chance, in seconds.
    last: f64,
}

impl Source {
    /// Those of a class, by its own chance.
    pub fn new(arrivals: &Arrivals, chance: Chance) -> Source {
        let mut arrivals = arrivals.clone();
        if let Arrivals::Trace(times) = &mut arrivals {
            times.sort();
        }
        Source { arrivals, chance, count: 0, last: 0.0 }
    }

    /// When the next one arrives, after the beginning; `None`: no more do.
    pub fn next(&mut self) -> Option<Duration> {
        let at = match &self.arrivals {
            Arrivals::Poisson(frequency) => {
                self.last += self.chance.exponential(1.0 / frequency.per_second());
                Some(seconds(self.last))
            }
            Arrivals::Constant(frequency) => {
                Some(seconds(self.count as f64 / frequency.per_second()))
            }
            Arrivals::Burst(burst) => self.of_burst(burst),
            Arrivals::Trace(times) => {
                let index = usize::try_from(self.count).unwrap_or(usize::MAX);
                times.get(index).map(|time| time.0)
            }
        };
        self.count += 1;
        at
    }

    fn of_burst(&self, burst: &Burst) -> Option<Duration> {
        let before = self.count / burst.jobs;
        match burst.every {
            None => (before == 0).then_some(burst.at.0),
            Some(every) => Some(burst.at.0 + every.0.mul_f64(before as f64)),
        }
    }

    /// About how many arrive within a time.
    pub fn expected(arrivals: &Arrivals, within: Duration) -> f64 {
        let within = within.as_secs_f64();
        match arrivals {
            Arrivals::Poisson(frequency) | Arrivals::Constant(frequency) => {
                frequency.per_second() * within
            }
            Arrivals::Burst(burst) => {
                let again = burst.every.map_or(0.0, |every| within / every.0.as_secs_f64());
                burst.jobs as f64 * (1.0 + again)
            }
            Arrivals::Trace(times) => times.len() as f64,
        }
    }

    /// Whether they end by themselves.
    pub fn ends(arrivals: &Arrivals) -> bool {
        match arrivals {
            Arrivals::Poisson(_) | Arrivals::Constant(_) => false,
            Arrivals::Burst(burst) => burst.every.is_none(),
            Arrivals::Trace(_) => true,
        }
    }
}

#[cfg(test)]
#[path = "tests/arrival.rs"]
mod tests;
