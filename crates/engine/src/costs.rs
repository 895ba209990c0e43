//! The cost matrix T_ij: how long the jobs of task i waited for worker j, and ran on it.
//!
//! An engine counts what passes through it: a claim tells how long a job waited since it was due, a
//! report how long the attempt ran. What other processes hand out, and what was before the engine
//! was opened, it does not know.

pub(crate) mod book;
mod histogram;

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{Name, Timestamp, WorkerId};

/// The cost matrix of a namespace, as one engine has seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// The process that counted, for people.
    pub node: Arc<str>,
    /// From when on it counted.
    pub since: Timestamp,
    /// The time of the store when it was asked.
    pub now: Timestamp,
    /// The rows, by name; at most `COST_TASKS_MAX`, and the others as one.
    pub tasks: Vec<TaskCosts>,
    /// The columns, by id; at most `COST_WORKERS_MAX`, and the others as one.
    pub workers: Vec<WorkerCosts>,
    /// The cells that are not empty, row by row.
    pub cells: Vec<CostCell>,
    /// All attempts together.
    pub total: CostSums,
}

/// The sums of a row: of one task on all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskCosts {
    /// The task; `None`: all that have no row of their own.
    pub task: Option<Name>,
    /// What its attempts cost.
    pub sums: CostSums,
}

/// The sums of a column: of one worker, all tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCosts {
    /// The worker; `None`: all that have no column of their own.
    pub worker: Option<WorkerId>,
    /// What it calls itself; empty where it did not say.
    pub name: Arc<str>,
    /// What its attempts cost.
    pub sums: CostSums,
}

/// One cell: what the attempts of a task on a worker cost.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CostCell {
    /// The place of the task among the rows.
    pub task: usize,
    /// The place of the worker among the columns.
    pub worker: usize,
    /// Waiting and running time, summed.
    pub cost: Cost,
}

/// Waiting and running times, summed over attempts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Attempts that started.
    pub started: u64,
    /// From when they were due until they started.
    pub waiting: Duration,
    /// Attempts that completed or failed.
    pub ended: u64,
    /// From their start until they completed or failed.
    pub running: Duration,
}

/// What many attempts cost.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CostSums {
    /// From when an attempt was due until it started; of all that started.
    pub waiting: Times,
    /// From when an attempt was handed out until its report came; of those that completed or failed.
    pub running: Times,
    /// Attempts that completed.
    pub completed: u64,
    /// Attempts that failed or ran out of time.
    pub failed: u64,
    /// Attempts that were released, snoozed or cancelled.
    pub given_back: u64,
}

/// Durations in short. The percentiles are at most 12.5 % off, and never beyond the longest.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// All together.
    pub sum: Duration,
    /// Half of them are no longer.
    pub p50: Duration,
    /// Nine of ten are no longer.
    pub p90: Duration,
    /// 99 of 100 are no longer.
    pub p99: Duration,
    /// The longest, exactly.
    pub max: Duration,
}

impl Times {
    /// The mean; zero where there are none.
    pub fn mean(&self) -> Duration {
        match u32::try_from(self.count) {
            Ok(0) => Duration::ZERO,
            Ok(count) => self.sum / count,
            Err(_) => Duration::from_secs_f64(self.sum.as_secs_f64() / self.count as f64),
        }
    }
}

impl Costs {
    /// What the attempts of a task cost, where it has a row: `running` is an estimate of its next run.
    pub fn of_task(&self, task: &Name) -> Option<&CostSums> {
        let row = self.tasks.iter().find(|row| row.task.as_ref() == Some(task))?;
        Some(&row.sums)
    }
}
