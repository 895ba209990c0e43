//! Figures, and the latencies behind them.

use std::time::{Duration, Instant};

/// The unit of a figure.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Jobs a second.
    JobsPerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Mebibytes.
    Mebibytes,
    /// Seconds.
    Seconds,
    /// Per cent of one core.
    PercentOfCore,
    /// One figure over another.
    Ratio,
}

impl Unit {
    /// How it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::JobsPerSecond => "jobs/s",
            Unit::Milliseconds => "ms",
            Unit::Mebibytes => "MiB",
            Unit::Seconds => "s",
            Unit::PercentOfCore => "% of a core",
            Unit::Ratio => "x",
        }
    }
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// `store.way.shape.what`, for example `file.inprocess.batch100.life`.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// The floor measured in the same run.
    pub floor: Option<f64>,
    /// Value over floor: for rates, how much of what the machine can do is left to the user.
    pub ratio: Option<f64>,
    /// What a log with order and leases reached in the same run.
    pub floor_with_order: Option<f64>,
    /// Value over that.
    pub ratio_with_order: Option<f64>,
    /// Median latency of a call.
    pub p50_ms: Option<f64>,
    /// Latency that one call in a hundred exceeds.
    pub p99_ms: Option<f64>,
}

impl Figure {
    /// A figure without floor or latency.
    pub fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Figure {
            name: name.into(),
            value,
            unit,
            floor: None,
            ratio: None,
            floor_with_order: None,
            ratio_with_order: None,
            p50_ms: None,
            p99_ms: None,
        }
    }

    /// The rate of a run, with its latencies.
    pub fn rate(name: impl Into<String>, tally: &Tally) -> Self {
        Figure {
            p50_ms: tally.latencies.percentile_ms(50.0),
            p99_ms: tally.latencies.percentile_ms(99.0),
            ..Figure::new(name, tally.rate(), Unit::JobsPerSecond)
        }
    }

    /// The same figure beside its floor.
    pub fn over(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = (floor > 0.0).then(|| self.value / floor);
        self
    }

    /// The same figure beside what a log with order and leases reached.
    pub fn over_with_order(mut self, floor: f64) -> Self {
        self.floor_with_order = Some(floor);
        self.ratio_with_order = (floor > 0.0).then(|| self.value / floor);
        self
    }
}

/// What a run did, in which time.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Jobs.
    pub jobs: u64,
    /// The time they took.
    pub elapsed: Duration,
    /// How long calls took.
    pub latencies: Latencies,
}

impl Tally {
    /// Jobs a second.
    pub fn rate(&self) -> f64 {
        self.jobs as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Adds what another caller did at the same time.
    pub fn join(&mut self, other: Tally) {
        self.jobs += other.jobs;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latencies.0.extend(other.latencies.0);
    }
}

/// Latencies of calls, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Notes a call that began at `began`.
    pub fn note(&mut self, began: Instant) {
        self.note_duration(began.elapsed());
    }

    /// Notes a latency.
    pub fn note_duration(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// The latency that (100 − `percent`) per cent of the calls exceed, in milliseconds.
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        if self.0.is_empty() {
            return None;
        }
        let mut sorted = self.0.clone();
        let index = ((sorted.len() - 1) as f64 * percent / 100.0).round() as usize;
        let (_, value, _) = sorted.select_nth_unstable(index);
        Some(f64::from(*value) / 1_000.0)
    }
}

/// How long a measurement runs.
#[derive(Copy, Clone, Debug)]
pub struct Window {
    /// When it began.
    pub began: Instant,
    /// How long it lasts.
    pub length: Duration,
}

impl Window {
    /// A window that begins now.
    pub fn new(length: Duration) -> Self {
        Window { began: Instant::now(), length }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.began.elapsed() >= self.length
    }
}
