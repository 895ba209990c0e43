//! Where an engine notes what attempts cost, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{
    COST_ATTEMPTS_MAX, COST_NAMESPACES_MAX, COST_TASKS_MAX, COST_WORKERS_MAX,
};
use taskwright_core::{Name, Token, Verdict, WorkerId};
use taskwright_store::ClaimedJob;

use super::histogram::Histogram;
use super::{Cost, CostCell, CostSums, Costs, TaskCosts, WorkerCosts};

/// What attempts cost, by namespace. It reads no clock: instants are told as the time since the
/// engine was started.
#[derive(Debug, Default)]
pub struct Book {
    matrices: HashMap<Name, Matrix>,
    begun: HashMap<Token, Begun>,
    /// Attempts in the order in which they began; some have ended.
    order: VecDeque<Token>,
    /// Before this, a namespace without a matrix may have had one.
    forgot_at: Duration,
    uses: u64,
}

/// An attempt that was handed out.
#[derive(Debug)]
struct Begun {
    namespace: Name,
    task: Name,
    worker: WorkerId,
    at: Duration,
}

/// The costs of one namespace.
#[derive(Debug)]
struct Matrix {
    since: Duration,
    used: u64,
    tasks: Axis<Name>,
    workers: Axis<WorkerId>,
    names: HashMap<WorkerId, Arc<str>>,
    /// By the places of task and worker.
    cells: HashMap<(usize, usize), Cost>,
    total: Sums,
}

/// The rows or the columns. Whoever was quiet longest makes room for a new one.
#[derive(Debug)]
struct Axis<K> {
    places: HashMap<K, usize>,
    /// The first one stands for all others.
    lines: Vec<Line<K>>,
    max: usize,
    uses: u64,
}

#[derive(Debug)]
struct Line<K> {
    key: Option<K>,
    used: u64,
    sums: Sums,
}

#[derive(Debug, Default)]
struct Sums {
    waiting: Histogram,
    running: Histogram,
    completed: u64,
    failed: u64,
    given_back: u64,
}

/// The place of all that have none of their own.
const OTHERS: usize = 0;

impl Book {
    /// Jobs were handed to a worker at `at`. Those that were handed out before, by a claim that is
    /// repeated, count once.
    pub fn started(
        &mut self,
        namespace: &Name,
        worker: WorkerId,
        jobs: &[ClaimedJob],
        at: Duration,
    ) {
        for job in jobs {
            if self.begun.contains_key(&job.token) {
                continue;
            }
            let waiting = job.started_at.since(job.run_at);
            self.uses += 1;
            self.matrix(namespace, at).started(&job.task, worker, waiting);
            let (namespace, task) = (namespace.clone(), job.task.clone());
            self.begun.insert(job.token, Begun { namespace, task, worker, at });
            self.order.push_back(job.token);
        }
        self.forget_oldest();
    }

    /// An attempt was reported at `at`, and the report counted. Nothing of an attempt that nobody
    /// here handed out.
    pub fn ended(&mut self, token: Token, verdict: Verdict, at: Duration) {
        let Some(begun) = self.begun.remove(&token) else { return };
        if let Some(matrix) = self.matrices.get_mut(&begun.namespace) {
            let ran = at.saturating_sub(begun.at);
            matrix.ended(&begun.task, begun.worker, verdict, ran);
        }
    }

    /// What a worker calls itself.
    pub fn named(&mut self, namespace: &Name, worker: WorkerId, name: &Arc<str>) {
        let Some(matrix) = self.matrices.get_mut(namespace) else { return };
        if matrix.workers.places.contains_key(&worker) && matrix.names.get(&worker) != Some(name) {
            matrix.names.insert(worker, Arc::clone(name));
        }
    }

    /// The matrix of a namespace, without `node` and `now`; and from when on it counted.
    pub fn costs(&self, namespace: &Name) -> (Costs, Duration) {
        match self.matrices.get(namespace) {
            Some(matrix) => (matrix.costs(), matrix.since),
            None => (Costs::default(), self.forgot_at),
        }
    }

    /// The matrix of a namespace; the quietest one makes room where there are too many.
    fn matrix(&mut self, namespace: &Name, at: Duration) -> &mut Matrix {
        if !self.matrices.contains_key(namespace) && self.matrices.len() >= COST_NAMESPACES_MAX {
            let quietest = self.matrices.iter().min_by_key(|(_, matrix)| matrix.used);
            if let Some(namespace) = quietest.map(|(namespace, _)| namespace.clone()) {
                self.matrices.remove(&namespace);
                self.forgot_at = at;
            }
        }
        // Whether it is new, or had a matrix before, is not known any more once one was forgotten.
        let since = self.forgot_at;
        let matrix = self.matrices.entry(namespace.clone()).or_insert_with(|| Matrix::new(since));
        matrix.used = self.uses;
        matrix
    }

    /// Attempts of lost workers never end: the oldest ones are forgotten.
    fn forget_oldest(&mut self) {
        while self.begun.len() > COST_ATTEMPTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.begun.remove(&oldest);
        }
        if self.order.len() > 2 * self.begun.len() + 1_024 {
            self.order.retain(|token| self.begun.contains_key(token));
        }
    }
}

impl Matrix {
    fn new(since: Duration) -> Matrix {
        Matrix {
            since,
            used: 0,
            tasks: Axis::new(COST_TASKS_MAX),
            workers: Axis::new(COST_WORKERS_MAX),
            names: HashMap::new(),
            cells: HashMap::new(),
            total: Sums::default(),
        }
    }

    fn started(&mut self, task: &Name, worker: WorkerId, waiting: Duration) {
        let row = self.row(task);
        let column = self.column(worker);
        let sums = [&mut self.tasks.lines[row].sums, &mut self.workers.lines[column].sums];
        sums.into_iter().chain([&mut self.total]).for_each(|sums| sums.waiting.add(waiting));
        let cell = self.cells.entry((row, column)).or_default();
        cell.started += 1;
        cell.waiting += waiting;
    }

    fn ended(&mut self, task: &Name, worker: WorkerId, verdict: Verdict, ran: Duration) {
        let row = self.tasks.places.get(task).copied().unwrap_or(OTHERS);
        let column = self.workers.places.get(&worker).copied().unwrap_or(OTHERS);
        let sums = [&mut self.tasks.lines[row].sums, &mut self.workers.lines[column].sums];
        let all = sums.into_iter().chain([&mut self.total]);
        match verdict {
            Verdict::Completed => all.for_each(|sums| sums.completed += 1),
            Verdict::Failed | Verdict::TimedOut => all.for_each(|sums| sums.failed += 1),
            _ => return all.for_each(|sums| sums.given_back += 1),
        }
        let sums = [&mut self.tasks.lines[row].sums, &mut self.workers.lines[column].sums];
        sums.into_iter().chain([&mut self.total]).for_each(|sums| sums.running.add(ran));
        let cell = self.cells.entry((row, column)).or_default();
        cell.ended += 1;
        cell.running += ran;
    }

    fn row(&mut self, task: &Name) -> usize {
        let (row, has_moved) = self.tasks.place(task);
        if has_moved {
            self.join_cells(|(of, column)| (of == row).then_some((OTHERS, column)));
        }
        row
    }

    fn column(&mut self, worker: WorkerId) -> usize {
        let (column, has_moved) = self.workers.place(&worker);
        if has_moved {
            self.join_cells(|(row, of)| (of == column).then_some((row, OTHERS)));
            self.names.retain(|worker, _| self.workers.places.contains_key(worker));
        }
        column
    }

    /// Adds cells to others, where `to` says so.
    fn join_cells(&mut self, to: impl Fn((usize, usize)) -> Option<(usize, usize)>) {
        let moving: Vec<_> = self.cells.keys().filter_map(|&of| Some((of, to(of)?))).collect();
        for (from, to) in moving {
            if let Some(cost) = self.cells.remove(&from) {
                self.cells.entry(to).or_default().add(cost);
            }
        }
    }

    fn costs(&self) -> Costs {
        let (tasks, rows) = self.tasks.in_order();
        let (workers, columns) = self.workers.in_order();
        let cell = |(&(row, column), &cost): (&(usize, usize), &Cost)| CostCell {
            task: rows[row],
            worker: columns[column],
            cost,
        };
        let mut cells: Vec<CostCell> = self.cells.iter().map(cell).collect();
        cells.sort_by_key(|cell| (cell.task, cell.worker));
        let task =
            |line: &Line<Name>| TaskCosts { task: line.key.clone(), sums: line.sums.shown() };
        let worker = |line: &Line<WorkerId>| {
            let name = line.key.and_then(|worker| self.names.get(&worker));
            let name = name.map_or_else(|| Arc::from(""), Arc::clone);
            WorkerCosts { worker: line.key, name, sums: line.sums.shown() }
        };
        Costs {
            tasks: tasks.into_iter().map(task).collect(),
            workers: workers.into_iter().map(worker).collect(),
            cells,
            total: self.total.shown(),
            ..Costs::default()
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Axis<K> {
    fn new(max: usize) -> Axis<K> {
        let others = Line { key: None, used: 0, sums: Sums::default() };
        Axis { places: HashMap::new(), lines: vec![others], max, uses: 0 }
    }

    /// The place of a key, which may have been another's: then what that one had is with the others,
    /// and so its cells must be.
    fn place(&mut self, key: &K) -> (usize, bool) {
        self.uses += 1;
        let used = self.uses;
        if let Some(&place) = self.places.get(key) {
            self.lines[place].used = used;
            return (place, false);
        }
        let new = Line { key: Some(key.clone()), used, sums: Sums::default() };
        let is_full = self.lines.len() > self.max;
        let place = match is_full {
            false => {
                self.lines.push(new);
                self.lines.len() - 1
            }
            true => {
                let quietest = (1..self.lines.len()).min_by_key(|&place| self.lines[place].used);
                let place = quietest.unwrap_or(OTHERS);
                let old = std::mem::replace(&mut self.lines[place], new);
                self.lines[OTHERS].sums.merge(&old.sums);
                old.key.and_then(|key| self.places.remove(&key));
                place
            }
        };
        self.places.insert(key.clone(), place);
        (place, is_full)
    }

    /// The lines by key, the others last and only where there are any; and where each place is now.
    fn in_order(&self) -> (Vec<&Line<K>>, Vec<usize>) {
        let mut places: Vec<usize> = (1..self.lines.len()).collect();
        places.sort_by_key(|&place| self.lines[place].key.clone());
        if self.lines[OTHERS].sums.has_any() {
            places.push(OTHERS);
        }
        let mut now = vec![0; self.lines.len()];
        places.iter().enumerate().for_each(|(index, &place)| now[place] = index);
        (places.into_iter().map(|place| &self.lines[place]).collect(), now)
    }
}

impl Sums {
    fn merge(&mut self, other: &Sums) {
        self.waiting.merge(&other.waiting);
        self.running.merge(&other.running);
        self.completed += other.completed;
        self.failed += other.failed;
        self.given_back += other.given_back;
    }

    fn has_any(&self) -> bool {
        self.waiting.times().count + self.completed + self.failed + self.given_back > 0
    }

    fn shown(&self) -> CostSums {
        CostSums {
            waiting: self.waiting.times(),
            running: self.running.times(),
            completed: self.completed,
            failed: self.failed,
            given_back: self.given_back,
        }
    }
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.started += other.started;
        self.waiting += other.waiting;
        self.ended += other.ended;
        self.running += other.running;
    }
}

#[cfg(test)]
#[path = "../tests/costs.rs"]
mod tests;
