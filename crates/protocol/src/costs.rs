//! The cost matrix.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use taskwright_core::{Name, WorkerId};
use taskwright_engine::{Cost, CostCell, CostSums, Costs, Result, TaskCosts, Times, WorkerCosts};

use crate::instant::Instant;
use crate::read::{Object, Parsed, Text, read};
use crate::write;

pub(crate) fn encode(costs: &Costs) -> Vec<u8> {
    let lines = costs.tasks.len() + costs.workers.len();
    write::object(512 * lines + 128 * costs.cells.len() + 1_024, |object| {
        object.text("node", &costs.node);
        object.instant("since", costs.since);
        object.instant("now", costs.now);
        object.list("tasks", &costs.tasks, |row, object| {
            if let Some(task) = &row.task {
                object.name("task", task);
            }
            write_sums(&row.sums, object);
        });
        object.list("workers", &costs.workers, |column, object| {
            if let Some(worker) = column.worker {
                object.worker("worker", worker);
                object.text("name", &column.name);
            }
            write_sums(&column.sums, object);
        });
        object.list("cells", &costs.cells, |cell, object| {
            object.number("task", cell.task as u64);
            object.number("worker", cell.worker as u64);
            object.number("started", cell.cost.started);
            object.fine_millis("waiting_ms", cell.cost.waiting);
            object.number("ended", cell.cost.ended);
            object.fine_millis("running_ms", cell.cost.running);
        });
        object.object("total", |object| write_sums(&costs.total, object));
    })
}

fn write_sums(sums: &CostSums, object: &mut write::Object<'_>) {
    object.number("completed", sums.completed);
    object.number("failed", sums.failed);
    object.number("given_back", sums.given_back);
    object.object("waiting", |object| write_times(&sums.waiting, object));
    object.object("running", |object| write_times(&sums.running, object));
}

fn write_times(times: &Times, object: &mut write::Object<'_>) {
    object.number("count", times.count);
    object.fine_millis("sum_ms", times.sum);
    object.fine_millis("mean_ms", times.mean());
    object.fine_millis("p50_ms", times.p50);
    object.fine_millis("p90_ms", times.p90);
    object.fine_millis("p99_ms", times.p99);
    object.fine_millis("max_ms", times.max);
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<Costs> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        node: Text<'a>,
        since: Parsed<Instant>,
        now: Parsed<Instant>,
        tasks: Vec<Object<Row>>,
        workers: Vec<Object<Column<'a>>>,
        cells: Vec<Object<Cell>>,
        total: Object<Sums>,
    }

    #[derive(Deserialize)]
    struct Row {
        task: Option<Parsed<Name>>,
        completed: u64,
        failed: u64,
        given_back: u64,
        waiting: Object<Fields>,
        running: Object<Fields>,
    }

    #[derive(Deserialize)]
    struct Column<'a> {
        worker: Option<Parsed<WorkerId>>,
        #[serde(borrow)]
        name: Option<Text<'a>>,
        completed: u64,
        failed: u64,
        given_back: u64,
        waiting: Object<Fields>,
        running: Object<Fields>,
    }

    #[derive(Deserialize)]
    struct Cell {
        task: usize,
        worker: usize,
        started: u64,
        waiting_ms: f64,
        ended: u64,
        running_ms: f64,
    }

    #[derive(Deserialize)]
    struct Sums {
        completed: u64,
        failed: u64,
        given_back: u64,
        waiting: Object<Fields>,
        running: Object<Fields>,
    }

    #[derive(Deserialize)]
    struct Fields {
        count: u64,
        sum_ms: f64,
        p50_ms: f64,
        p90_ms: f64,
        p99_ms: f64,
        max_ms: f64,
    }

    let times = |Object(fields): Object<Fields>| Times {
        count: fields.count,
        sum: duration(fields.sum_ms),
        p50: duration(fields.p50_ms),
        p90: duration(fields.p90_ms),
        p99: duration(fields.p99_ms),
        max: duration(fields.max_ms),
    };
    let sums = |sums: Sums| CostSums {
        waiting: times(sums.waiting),
        running: times(sums.running),
        completed: sums.completed,
        failed: sums.failed,
        given_back: sums.given_back,
    };

    let reply: Reply<'_> = read("costs reply", body)?;
    let tasks = reply.tasks.into_iter().map(|Object(row)| {
        let Row { task, completed, failed, given_back, waiting, running } = row;
        let sums = sums(Sums { completed, failed, given_back, waiting, running });
        TaskCosts { task: task.map(|task| task.0), sums }
    });
    let workers = reply.workers.into_iter().map(|Object(column)| {
        let Column { worker, name, completed, failed, given_back, waiting, running } = column;
        let sums = sums(Sums { completed, failed, given_back, waiting, running });
        let name = name.map_or_else(|| Arc::from(""), |name| Arc::from(&*name.0));
        WorkerCosts { worker: worker.map(|worker| worker.0), name, sums }
    });
    let cells = reply.cells.into_iter().map(|Object(cell)| CostCell {
        task: cell.task,
        worker: cell.worker,
        cost: Cost {
            started: cell.started,
            waiting: duration(cell.waiting_ms),
            ended: cell.ended,
            running: duration(cell.running_ms),
        },
    });
    Ok(Costs {
        node: Arc::from(&*reply.node.0),
        since: reply.since.0.0,
        now: reply.now.0.0,
        tasks: tasks.collect(),
        workers: workers.collect(),
        cells: cells.collect(),
        total: sums(reply.total.0),
    })
}

/// Milliseconds with their thousandths; what makes no sense is zero.
fn duration(millis: f64) -> Duration {
    let micros = (millis * 1e3).round();
    if micros > 0.0 { Duration::from_micros(micros as u64) } else { Duration::ZERO }
}
