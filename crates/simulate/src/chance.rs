//! Chance from a seed.

use std::time::Duration;

use taskwright_core::limits::SIMULATED_SPAN_MAX;

use crate::workload::{Keys, Runs};

/// Numbers that look random: SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
/// Generators*, 2014). Each job draws from a stream of its own, so that what one variant of a workload
/// draws is what the other one draws.
#[derive(Copy, Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of these numbers.
    pub fn of(parts: &[u64]) -> Chance {
        Chance(parts.iter().fold(0, |sum, part| mixed(sum ^ part)))
    }

    /// The stream of a text.
    pub fn of_text(seed: u64, text: &str) -> Chance {
        text.bytes().fold(Chance::of(&[seed]), |chance, byte| Chance::of(&[chance.0, byte.into()]))
    }

    /// The stream of a number of this one.
    pub fn fork(self, number: u64) -> Chance {
        Chance::of(&[self.0, number])
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// Evenly above 0, up to 1.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Without memory, with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    /// Normally around 0 with deviation 1 (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// How long an attempt runs, in seconds.
    pub fn run(&mut self, runs: &Runs) -> f64 {
        match runs {
            Runs::Constant(time) => time.0.as_secs_f64(),
            Runs::Uniform(from, to) => {
                let (from, to) = (from.0.as_secs_f64(), to.0.as_secs_f64());
                from + (to - from) * self.unit()
            }
            Runs::Exponential(mean) => self.exponential(mean.0.as_secs_f64()),
            Runs::Lognormal(of) => {
                let (median, p99) = (of.median.0.as_secs_f64(), of.p99.0.as_secs_f64());
                // 99 % of a normal distribution lie below 2.3263 deviations.
                let deviation = (p99 / median).ln() / 2.326_347_874;
                median * (deviation * self.normal()).exp()
            }
            Runs::Bimodal(of) => {
                let time = if self.unit() <= of.long_share { of.long } else { of.short };
                time.0.as_secs_f64()
            }
        }
    }
}

fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// So many seconds, to the microsecond as the store's time is; at most what can be simulated.
pub fn seconds(seconds: f64) -> Duration {
    let most = SIMULATED_SPAN_MAX.as_secs_f64();
    Duration::from_micros((seconds.clamp(0.0, most) * 1e6).round() as u64)
}

/// Which of some keys a job has.
#[derive(Clone, Debug)]
pub struct Choice {
    /// For each key, how likely it or one before it is chosen.
    up_to: Vec<f64>,
}

impl Choice {
    /// A choice among keys, by their skew.
    pub fn new(keys: &Keys) -> Choice {
        let mut sum = 0.0;
        let weights = (1..=keys.of).map(|place| f64::from(place).powf(-keys.skew));
        let sums: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        Choice { up_to: sums.into_iter().map(|up_to| up_to / sum).collect() }
    }

    /// The place of the key, from 0.
    pub fn pick(&self, chance: &mut Chance) -> usize {
        let at = chance.unit();
        self.up_to.partition_point(|&up_to| up_to < at).min(self.up_to.len() - 1)
    }
}

#[cfg(test)]
#[path = "tests/chance.rs"]
mod tests;
