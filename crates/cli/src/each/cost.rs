//! The cost matrix T_ij: how long task i (an input) waited for and ran on worker j (a slot).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use comfy_table::Cell;
use serde_json::json;
use taskwright_core::{JobId, format_duration};

use crate::show;

/// The costliest tasks are shown one by one.
const ROWS_SHOWN: usize = 10;
/// So many rows are kept between two selections.
const ROWS_KEPT: usize = 1_000;
/// The most columns of workers.
const COLUMNS_MAX: usize = 8;

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

/// Waiting and running times, summed over attempts.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// From when an attempt was due until it started.
    pub waiting: Duration,
    /// From its start to its end.
    pub running: Duration,
    /// How many attempts.
    pub attempts: u64,
}

impl Cost {
    /// The cost of one attempt.
    pub fn of(waiting: Duration, running: Duration) -> Cost {
        Cost { waiting, running, attempts: 1 }
    }

    fn add(&mut self, other: Cost) {
        self.waiting += other.waiting;
        self.running += other.running;
        self.attempts += other.attempts;
    }

    fn minus(self, other: Cost) -> Cost {
        Cost {
            waiting: self.waiting.saturating_sub(other.waiting),
            running: self.running.saturating_sub(other.running),
            attempts: self.attempts.saturating_sub(other.attempts),
        }
    }

    fn total(self) -> Duration {
        self.waiting + self.running
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |mut sum, cost| {
            sum.add(cost);
            sum
        })
    }
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
        let millis = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
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
        let columns = self.columns();
        let mut heads = vec!["TASK (WAITING + RUNNING)".to_owned()];
        heads.extend(columns.iter().map(|column| column.head()));
        heads.push(">SUM".to_owned());
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        let mut table = show::table(&io::stderr(), &heads);

        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.sum().total()));
        for row in &rows {
            let costs: Vec<Cost> = columns.iter().map(|column| column.sum(|j| row.of(j))).collect();
            table.add_row(cells(show::short(&row.task, 40), &costs));
        }
        let of_worker = |j: usize| self.workers.get(j).copied().unwrap_or_default();
        let sums: Vec<Cost> = columns.iter().map(|column| column.sum(of_worker)).collect();
        let others = tasks.saturating_sub(rows.len() as u64);
        if others > 0 {
            let shown = |j: usize| rows.iter().map(|row| row.of(j)).sum::<Cost>();
            let rest: Vec<Cost> =
                columns.iter().map(|column| column.sum(|j| of_worker(j).minus(shown(j)))).collect();
            table.add_row(cells(format!("{} more", show::count(others)), &rest));
        }
        table.add_row(cells("sum".to_owned(), &sums));
        show::rendered(&table)
    }

    /// A column for each worker; the last ones share one where there are many.
    fn columns(&self) -> Vec<Column> {
        let workers = self.workers.len();
        if workers <= COLUMNS_MAX {
            return (0..workers).map(|worker| Column { from: worker, to: worker + 1 }).collect();
        }
        let single = (0..COLUMNS_MAX - 1).map(|worker| Column { from: worker, to: worker + 1 });
        single.chain([Column { from: COLUMNS_MAX - 1, to: workers }]).collect()
    }
}

/// A column of workers `from..to`.
struct Column {
    from: usize,
    to: usize,
}

impl Column {
    fn head(&self) -> String {
        let (first, last) = (self.from + 1, self.to);
        if first == last { format!(">WORKER {first}") } else { format!(">WORKERS {first}-{last}") }
    }

    fn sum(&self, cost: impl Fn(usize) -> Cost) -> Cost {
        (self.from..self.to).map(cost).sum()
    }
}

fn cells(name: String, costs: &[Cost]) -> Vec<Cell> {
    let shown = |cost: Cost| {
        if cost.attempts == 0 {
            return String::new();
        }
        format!("{} + {}", format_duration(cost.waiting), format_duration(cost.running))
    };
    let mut cells = vec![Cell::new(name)];
    cells.extend(costs.iter().map(|&cost| Cell::new(shown(cost))));
    cells.push(Cell::new(shown(costs.iter().copied().sum())));
    cells
}

#[cfg(test)]
#[path = "tests/cost.rs"]
mod tests;
