//! What became of a workload.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// What became of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Where all chance came from.
    pub seed: u64,
    /// From the beginning to the end of the last job.
    #[serde(rename = "makespan_ms", serialize_with = "millis")]
    pub makespan: Duration,
    /// Jobs that arrived.
    pub jobs: u64,
    /// Attempts that started.
    pub attempts: u64,
    /// Jobs that completed.
    pub completed: u64,
    /// Jobs that failed for good.
    pub dead: u64,
    /// Jobs that nobody could end, because no worker serves them any more.
    pub left: u64,
    /// How long attempts waited, from when they were due until they started.
    pub waiting: Waits,
    /// How alike waiting was.
    pub fairness: Fairness,
    /// Each class of jobs.
    pub tasks: Vec<ClassOutcome>,
    /// The groups that waited longest on average.
    pub groups: Vec<GroupOutcome>,
    /// Each class of workers.
    pub workers: Vec<WorkerOutcome>,
    /// Each limit.
    pub limits: Vec<LimitOutcome>,
    /// The most jobs that waited at one time, for whatever.
    pub backlog_max: u64,
    /// How many waited and ran, over time.
    pub backlog: Vec<BacklogSample>,
}

/// Durations in short, exactly.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waits {
    /// How many there are.
    pub count: u64,
    /// The mean.
    #[serde(rename = "mean_ms", serialize_with = "millis")]
    pub mean: Duration,
    /// Half of them are no longer.
    #[serde(rename = "p50_ms", serialize_with = "millis")]
    pub p50: Duration,
    /// Nine of ten are no longer.
    #[serde(rename = "p90_ms", serialize_with = "millis")]
    pub p90: Duration,
    /// 99 of 100 are no longer.
    #[serde(rename = "p99_ms", serialize_with = "millis")]
    pub p99: Duration,
    /// The longest.
    #[serde(rename = "max_ms", serialize_with = "millis")]
    pub max: Duration,
}

/// Jain's index of the mean waiting times: 1 where all waited alike, 1/n where one did all the waiting.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub struct Fairness {
    /// Over the classes of jobs; `None` of fewer than two.
    pub tasks: Option<f64>,
    /// Over the groups; `None` of fewer than two.
    pub groups: Option<f64>,
}

/// A class of jobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassOutcome {
    /// What it is called.
    pub name: String,
    /// Jobs that arrived.
    pub jobs: u64,
    /// Jobs that completed.
    pub completed: u64,
    /// Jobs that failed for good.
    pub dead: u64,
    /// Jobs that did not end.
    pub left: u64,
    /// Attempts that failed or ran out of time.
    pub failed: u64,
    /// Attempts that were lost with their worker.
    pub lost: u64,
    /// How long attempts waited.
    pub waiting: Waits,
    /// How long attempts ran that were not lost.
    pub running: Waits,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupOutcome {
    /// Its queue.
    pub queue: String,
    /// Its name.
    pub group: String,
    /// Attempts that started.
    pub attempts: u64,
    /// How long they waited on average.
    #[serde(rename = "mean_wait_ms", serialize_with = "millis")]
    pub mean_wait: Duration,
}

/// A class of workers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerOutcome {
    /// What it is called.
    pub name: String,
    /// How many at a time.
    pub count: u32,
    /// Slots of each.
    pub slots: u32,
    /// How many joined, one after another.
    pub joined: u64,
    /// How many of them were lost.
    pub lost: u64,
    /// The share of the time of its slots in which they ran something, 0 to 1.
    pub utilisation: f64,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LimitOutcome {
    /// What it limits.
    pub of: String,
    /// How many may run at once, where that is limited.
    pub concurrency: Option<u32>,
    /// The most that ran at once: of one group or key, where it stands for several.
    pub most_running: u32,
    /// Attempts that it counted.
    pub attempts: u64,
}

/// The backlog at one time.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BacklogSample {
    /// After the beginning.
    #[serde(rename = "at_ms", serialize_with = "millis")]
    pub at: Duration,
    /// Jobs that waited, for a worker, in a line or for a retry.
    pub waiting: u64,
    /// Jobs that ran.
    pub running: u64,
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1e3)
}
