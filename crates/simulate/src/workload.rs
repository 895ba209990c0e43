//! A workload as it is written down: what arrives, how long it runs, who serves it.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use taskwright_core::parse_duration;

/// What arrives, how long it runs, who serves it. See `docs/simulate.md`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// All chance comes from it.
    #[serde(default = "one")]
    pub seed: u64,
    /// Jobs arrive before this time; what has arrived is then served to the end.
    pub duration: Option<Span>,
    /// No more jobs arrive after so many.
    pub jobs: Option<u64>,
    /// The classes of jobs.
    #[serde(rename = "task", default)]
    pub tasks: Vec<TaskClass>,
    /// The classes of workers.
    #[serde(rename = "worker", default)]
    pub workers: Vec<WorkerClass>,
    /// The limits.
    #[serde(rename = "limit", default)]
    pub limits: Vec<Limit>,
}

/// Jobs that are alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskClass {
    /// What the class is called.
    pub name: String,
    /// The task of its jobs; default: the name.
    pub task: Option<String>,
    /// The queue.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// When jobs arrive.
    pub arrivals: Arrivals,
    /// How long an attempt runs.
    pub runs: Runs,
    /// −10 to 10.
    #[serde(default)]
    pub priority: i8,
    /// The groups that jobs are of.
    pub group: Option<Keys>,
    /// The limit keys that jobs have.
    #[serde(default)]
    pub limit_keys: Vec<Keys>,
    /// How likely an attempt fails, 0 to 1.
    #[serde(default)]
    pub fails: f64,
    /// Dead at so many failures; default 20.
    pub max_attempts: Option<u32>,
    /// The longest an attempt may run.
    pub timeout: Option<Span>,
}

/// When jobs arrive.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// By chance, independently, so many in a time on average.
    Poisson(Frequency),
    /// Evenly, so many in a time.
    Constant(Frequency),
    /// Many at once.
    Burst(Burst),
    /// At these times after the beginning.
    Trace(Vec<Span>),
}

/// Jobs that arrive at once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// How many.
    pub jobs: u64,
    /// When, after the beginning; default: then.
    #[serde(default)]
    pub at: Span,
    /// Again and again after so long; default: once.
    pub every: Option<Span>,
}

/// How long attempts run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// All as long.
    Constant(Span),
    /// Evenly between two.
    Uniform(Span, Span),
    /// Without memory, with this mean.
    Exponential(Span),
    /// Many short ones and few very long ones.
    Lognormal(Lognormal),
    /// One of two.
    Bimodal(Bimodal),
}

/// A lognormal distribution by two of its quantiles.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lognormal {
    /// Half are no longer.
    pub median: Span,
    /// 99 of 100 are no longer.
    pub p99: Span,
}

/// One of two durations.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bimodal {
    /// The one.
    pub short: Span,
    /// The other.
    pub long: Span,
    /// How likely it is the other, 0 to 1.
    pub long_share: f64,
}

/// Keys of which each job has one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// What they begin with: of several, the first is `NAME-1`.
    pub name: String,
    /// How many there are.
    #[serde(default = "one_key")]
    pub of: u32,
    /// Zipf's exponent: the k-th is as frequent as 1 / k to this power; 0: all alike.
    #[serde(default)]
    pub skew: f64,
}

/// Workers that are alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerClass {
    /// What the class is called.
    pub name: String,
    /// How many.
    #[serde(default = "one_key")]
    pub count: u32,
    /// How many jobs each runs at once.
    #[serde(default = "one_key")]
    pub slots: u32,
    /// The queues it serves; default: all of the workload.
    pub queues: Option<Vec<String>>,
    /// The tasks it serves; default: all.
    pub tasks: Option<Vec<String>>,
    /// How much faster it runs what it runs.
    #[serde(default = "full_speed")]
    pub speed: f64,
    /// When they join.
    #[serde(default)]
    pub joins: Span,
    /// When they leave for good; default: never.
    pub leaves: Option<Span>,
    /// How long each lives on average, without memory; another takes its place.
    pub lifetime: Option<Span>,
    /// How long after the end of its life another takes its place.
    #[serde(default)]
    pub replaced_after: Span,
    /// Whether they leave by being lost, with what they run, rather than finishing it.
    #[serde(default)]
    pub lost: bool,
}

/// What may start of a queue, task, group or key. Without numbers, nothing is limited.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// This queue, or the queue of the group.
    pub queue: Option<String>,
    /// This task.
    pub task: Option<String>,
    /// This group of the queue; with `*` at the end, each that begins so.
    pub group: Option<String>,
    /// This limit key; with `*` at the end, each that begins so.
    pub key: Option<String>,
    /// At most so many at once.
    pub concurrency: Option<u32>,
    /// At most so many starts in a time.
    pub rate: Option<Frequency>,
    /// How many may start at once where none has for long; default 1.
    pub burst: Option<u32>,
    /// Of a queue: its groups take turns.
    #[serde(default)]
    pub fair: bool,
    /// Of a queue that is not fair: its most urgent job is always next.
    #[serde(default)]
    pub strict: bool,
    /// Of a group: its share of a fair queue.
    pub weight: Option<u32>,
}

/// A duration, written like `1.5s` or `10m`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Span).map_err(D::Error::custom)
    }
}

/// So many in a time, written like `20/s` or `100/1m`.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Frequency {
    /// How many.
    pub count: f64,
    /// In which time.
    pub period: Duration,
}

impl Frequency {
    /// How many in a second.
    pub fn per_second(self) -> f64 {
        self.count / self.period.as_secs_f64()
    }
}

impl<'de> Deserialize<'de> for Frequency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        frequency(&text).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not so many in a time; write 20/s or 100/1m"))
        })
    }
}

fn frequency(text: &str) -> Option<Frequency> {
    let (count, period) = text.split_once('/')?;
    let count: f64 = count.trim().parse().ok()?;
    let period = period.trim();
    let one = if period.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "1" };
    let period = parse_duration(&format!("{one}{period}")).ok()?;
    let makes_sense = count.is_finite() && count > 0.0 && !period.is_zero();
    makes_sense.then_some(Frequency { count, period })
}

fn one() -> u64 {
    1
}

fn one_key() -> u32 {
    1
}

fn full_speed() -> f64 {
    1.0
}

fn default_queue() -> String {
    "default".to_owned()
}

#[cfg(test)]
#[path = "tests/workload.rs"]
mod tests;
