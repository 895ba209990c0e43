//! The cost matrix T_ij: how long task i (an input) waited for and ran on worker j (a slot).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use taskwright_core::JobId;

use crate::json::millis;
use crate::matrix::{Cost, Layout};
use crate::show;

/// The costliest tasks are shown one by one.
const ROWS_SHOWN: usize = 10;
/// So many rows are kept between two selections.
const ROWS_KEPT: usize = 1_000;

/// The cost matrix of a run: sums of all, single rows of the costliest. Clones mean the same one.
#[derive(Clone, Debug, Default)]
pub struct Costs(Arc<Mutex<Matrix>>);

#[derive(Debug, Default)]
struct Matrix {
    workers: Vec<Cost>,
    rows: HashMap<JobId, Row>,
    retried: u64,
}

#[derive(Clone, Debug)]
struct Row {
    task: Arc<str>,
    cells: Vec<(usize, Cost)>,
}

impl Row {
    fn of(&self, worker: usize) -> Cost {
        self.cells.iter().filter(|(of, _)| *of == worker).map(|(_, cost)| *cost).sum()
    }

    fn sum(&self) -> Cost {
        self.cells.iter().map(|(_, cost)| *cost).sum()
    }
}

impl Costs {
    fn matrix(&self) -> MutexGuard<'_, Matrix> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an attempt of a task on a worker (from 0).
    pub fn add(&self, id: JobId, task: &Arc<str>, worker: usize, cost: Cost) {
        let mut matrix = self.matrix();
        if matrix.workers.len() <= worker {
            matrix.workers.resize(worker + 1, Cost::default());
        }
        matrix.workers[worker].add(cost);
        let row = Row { task: Arc::clone(task), cells: Vec::new() };
        matrix.rows.entry(id).or_insert(row).cells.push((worker, cost));
        if matrix.rows.len() > ROWS_KEPT {
            matrix.keep_costliest();
        }
    }

    /// Counts an attempt that failed and is followed by another.
    pub fn count_retry(&self) {
        self.matrix().retried += 1;
    }

    /// How many attempts failed and were followed by others.
    pub fn retried(&self) -> u64 {
        self.matrix().retried
    }

    /// The sums, for JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let matrix = self.matrix();
        let shown = |cost: Cost| json!({"attempts": cost.attempts, "waiting_ms": millis(cost.waiting), "running_ms": millis(cost.running)});
        let workers: Vec<_> = matrix
            .workers
            .iter()
            .enumerate()
            .map(|(worker, cost)| {
                let mut shown = shown(*cost);
                shown["worker"] = json!(worker + 1);
                shown
            })
            .collect();
        let mut sums = shown(matrix.workers.iter().copied().sum());
        sums["workers"] = json!(workers);
        sums
    }

    /// The matrix as a table for stderr: the costliest tasks, the others together, and the sums.
    pub fn table(&self, tasks: u64) -> String {
        let mut matrix = self.matrix();
        matrix.keep_costliest();
        matrix.table(tasks)
    }
}

impl Matrix {
    fn keep_costliest(&mut self) {
        let mut totals: Vec<(Duration, JobId)> =
            self.rows.iter().map(|(&id, row)| (row.sum().total(), id)).collect();
        totals.sort_by(|one, other| other.cmp(one));
        for (_, id) in totals.drain(ROWS_SHOWN.min(totals.len())..) {
            self.rows.remove(&id);
        }
    }

    fn table(&self, tasks: u64) -> String {
        let worker = |j: usize| format!("WORKER {}", j + 1);
        let mut layout = Layout::new(&io::stderr(), self.workers.len(), worker);
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.sum().total()));
        for row in &rows {
            layout.row(show::short(&row.task, 40), |j| row.of(j));
        }
        let others = tasks.saturating_sub(rows.len() as u64);
        if others > 0 {
            let shown = |j: usize| rows.iter().map(|row| row.of(j)).sum::<Cost>();
            let name = format!("{} more", show::count(others));
            layout.row(name, |j| self.workers[j].minus(shown(j)));
        }
        layout.row("sum".to_owned(), |j| self.workers[j]);
        layout.rendered()
    }
}

#[cfg(test)]
#[path = "tests/cost.rs"]
mod tests;
