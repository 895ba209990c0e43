//! How a cost matrix T_ij looks: a row for each task i, a column for each worker j, in each cell how
//! long the one waited for and ran on the other.

use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::{Cell, Table};
use taskwright_core::format_duration;

use crate::show;

/// The most columns of workers.
const COLUMNS_MAX: usize = 8;

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

    /// Adds another cost.
    pub fn add(&mut self, other: Cost) {
        self.waiting += other.waiting;
        self.running += other.running;
        self.attempts += other.attempts;
    }

    /// What is left without a part of it.
    pub fn minus(self, part: Cost) -> Cost {
        Cost {
            waiting: self.waiting.saturating_sub(part.waiting),
            running: self.running.saturating_sub(part.running),
            attempts: self.attempts.saturating_sub(part.attempts),
        }
    }

    /// Waiting and running time together.
    pub fn total(self) -> Duration {
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

/// A matrix that is being laid out. Where there are many workers the last ones share a column.
pub struct Layout {
    table: Table,
    workers: usize,
}

impl Layout {
    /// A matrix of so many workers, for a stream; `name` is what a worker from 0 is called.
    pub fn new(stream: &impl IsTerminal, workers: usize, name: impl Fn(usize) -> String) -> Layout {
        let head = |(from, to): (usize, usize)| match to - from {
            1 => format!(">{}", name(from)),
            _ => format!(">WORKERS {}-{to}", from + 1),
        };
        let mut heads = vec!["TASK (WAITING + RUNNING)".to_owned()];
        heads.extend(columns(workers).map(head));
        heads.push(">SUM".to_owned());
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        Layout { table: show::table(stream, &heads), workers }
    }

    /// Adds a row; `cost` is that of a worker from 0.
    pub fn row(&mut self, name: String, cost: impl Fn(usize) -> Cost) {
        let column = |(from, to): (usize, usize)| (from..to).map(&cost).sum::<Cost>();
        let costs: Vec<Cost> = columns(self.workers).map(column).collect();
        let mut cells = vec![Cell::new(name)];
        cells.extend(costs.iter().map(|&cost| Cell::new(shown(cost))));
        cells.push(Cell::new(shown(costs.iter().copied().sum())));
        self.table.add_row(cells);
    }

    /// The text of it.
    pub fn rendered(&self) -> String {
        show::rendered(&self.table)
    }
}

/// The workers `from..to` of each column.
fn columns(workers: usize) -> impl Iterator<Item = (usize, usize)> {
    let single = if workers <= COLUMNS_MAX { workers } else { COLUMNS_MAX - 1 };
    let shared = (single < workers).then_some((single, workers));
    (0..single).map(|worker| (worker, worker + 1)).chain(shared)
}

fn shown(cost: Cost) -> String {
    if cost.attempts == 0 {
        return String::new();
    }
    format!("{} + {}", format_duration(cost.waiting), format_duration(cost.running))
}
