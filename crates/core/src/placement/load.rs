//! How loaded a worker is, and how many jobs it takes meanwhile.

use std::fmt;
use std::time::Duration;

use crate::duration::format_duration;

/// What a worker measured of the machine that it runs on, or the most of it that it puts up with.
/// What is `None` was not measured, or has no maximum.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadMeasure {
    /// Time of processors in use, in percent of all that the worker may use.
    pub cpu_percent: Option<u32>,
    /// Memory in use, in percent of all that the worker may use.
    pub memory_percent: Option<u32>,
    /// How late its async runtime runs what is ready to run.
    pub lag: Option<Duration>,
}

/// The load of a worker, as it tells it with its heartbeats.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// What it measured last.
    pub measured: LoadMeasure,
    /// Over which it takes fewer jobs.
    pub max: LoadMeasure,
    /// How many jobs it holds at most because of that; `None`: as many as it has slots.
    pub takes: Option<u32>,
}

/// What is measured, in the order of `amounts` and `texts`.
const NAMES: [&str; 3] = ["cpu", "memory", "lag"];

/// How a measure compares with its maxima.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Standing {
    /// At least one is exceeded.
    Over,
    /// At least one is nearly reached.
    Near,
    /// None is.
    Below,
}

/// A maximum counts as nearly reached above so many hundredths of it, so that what goes down because
/// fewer jobs run does not make the worker take more of them at once.
const NEAR_PERCENT: u128 = 90;

impl LoadMeasure {
    /// In percent, and the lag in microseconds.
    fn amounts(&self) -> [Option<u128>; 3] {
        let percent = |share: Option<u32>| share.map(u128::from);
        let lag = self.lag.map(|lag| lag.as_micros());
        [percent(self.cpu_percent), percent(self.memory_percent), lag]
    }

    fn against(&self, max: &LoadMeasure) -> Standing {
        let pairs = self.amounts().into_iter().zip(max.amounts());
        let known = pairs.filter_map(|(amount, max)| Some((amount?, max?)));
        known.fold(Standing::Below, |standing, (amount, max)| {
            if amount > max || standing == Standing::Over {
                Standing::Over
            } else if amount * 100 > max * NEAR_PERCENT {
                Standing::Near
            } else {
                standing
            }
        })
    }

    /// The same amounts for people.
    fn texts(&self) -> [Option<String>; 3] {
        let percent = |share: Option<u32>| share.map(|share| format!("{share} %"));
        [percent(self.cpu_percent), percent(self.memory_percent), self.lag.map(format_duration)]
    }
}

/// How many jobs a worker with so many slots holds at most after a measurement, if it was `takes`
/// before it: half as many while a maximum is exceeded, but always one; an eighth of its slots more
/// once all are at least a tenth below theirs; as many as before in between.
pub fn takes_after(takes: u32, slots: u32, measured: &LoadMeasure, max: &LoadMeasure) -> u32 {
    let slots = slots.max(1);
    let takes = takes.clamp(1, slots);
    match measured.against(max) {
        Standing::Over => (takes / 2).max(1),
        Standing::Near => takes,
        Standing::Below => takes.saturating_add((slots / 8).max(1)).min(slots),
    }
}

impl Load {
    /// Why the worker takes fewer jobs than it has slots, such as `takes up to 4 jobs: cpu 97 % is
    /// over 90 %`; `None`: it does not.
    pub fn explain(&self) -> Option<String> {
        let takes = self.takes?;
        let jobs = if takes == 1 { "job" } else { "jobs" };
        let amounts = self.measured.amounts().into_iter().zip(self.max.amounts());
        let is_over = amounts.map(|(amount, max)| amount.zip(max).is_some_and(|(a, max)| a > max));
        let texts = self.measured.texts().into_iter().zip(self.max.texts());
        let told = |((name, is_over), (text, max)): ((&str, bool), _)| {
            let (text, max): (String, String) = (Option::zip(text, max).filter(|_| is_over))?;
            Some(format!("{name} {text} is over {max}"))
        };
        let over: Vec<String> =
            NAMES.into_iter().zip(is_over).zip(texts).filter_map(told).collect();
        let why = if over.is_empty() {
            "it was over its load and takes more step by step".to_owned()
        } else {
            over.join(", ")
        };
        Some(format!("takes up to {takes} {jobs}: {why}"))
    }
}

/// What was measured, such as `cpu 97 %, memory 41 %, lag 3.0ms`; nothing where nothing was.
impl fmt::Display for LoadMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (name, text) in NAMES.into_iter().zip(self.texts()) {
            if let Some(text) = text {
                write!(f, "{comma}{name} {text}")?;
                comma = ", ";
            }
        }
        Ok(())
    }
}
