//! `taskwright costs`

use std::io;

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;
use taskwright::{CostSums, Costs, Times, WorkerCosts};
use taskwright_core::format_duration;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{CostsLine, line};
use crate::matrix::{Cost, Layout};
use crate::{connect, show};

/// Show how long which tasks waited for and ran on which workers
#[derive(Debug, Args)]
#[command(after_help = "\
The matrix tells of the attempts that passed through one process since it opened the store: the one
that answers, such as the server or the application that has the store open. Waiting is from when an
attempt was due until it was handed out, running from then until its report came. Percentiles are at
most 12.5 % off.")]
pub struct Arguments {}

/// Shows them.
pub async fn run(global: &Global, _: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let costs = app.costs().await?;
    app.close().await?;
    if global.json {
        show::print(line(&CostsLine::from(&costs)))?;
        return Ok(Exit::Done);
    }
    if costs.cells.is_empty() {
        eprintln!(
            "No attempt has passed through {} since {}.",
            show::harmless(&costs.node),
            show::instant(costs.since)
        );
        return Ok(Exit::Done);
    }
    show::print(format_args!("{}\n", headline(&costs)))?;
    show::print(format_args!("{}\n", matrix(&costs)))?;
    show::print(distribution(&costs))?;
    Ok(Exit::Done)
}

fn headline(costs: &Costs) -> String {
    let CostSums { waiting, completed, failed, given_back, .. } = costs.total;
    let mut parts = vec![format!("{} started", show::counted(waiting.count, "attempt"))];
    for (count, word) in [(completed, "completed"), (failed, "failed"), (given_back, "given back")]
    {
        if count > 0 {
            parts.push(format!("{} {word}", show::count(count)));
        }
    }
    let (node, since) = (show::harmless(&costs.node), show::instant(costs.since));
    format!("Through {node}, since {since}: {}.", parts.join(", "))
}

/// T_ij, with its sums.
fn matrix(costs: &Costs) -> String {
    let (tasks, workers) = (costs.tasks.len(), costs.workers.len());
    let mut cells = vec![Cost::default(); tasks * workers];
    for cell in &costs.cells {
        if cell.task < tasks && cell.worker < workers {
            cells[cell.task * workers + cell.worker] = Cost {
                waiting: cell.cost.waiting,
                running: cell.cost.running,
                attempts: cell.cost.started.max(cell.cost.ended),
            };
        }
    }
    let of = |i: usize, j: usize| cells[i * workers + j];
    let name = |j: usize| worker_name(&costs.workers[j]);
    let mut layout = Layout::new(&io::stdout(), workers, name);
    for (i, row) in costs.tasks.iter().enumerate() {
        layout.row(task_name(row.task.as_ref()), |j| of(i, j));
    }
    layout.row("sum".to_owned(), |j| (0..tasks).map(|i| of(i, j)).sum());
    layout.rendered()
}

/// How the times of each task and worker are spread.
fn distribution(costs: &Costs) -> String {
    let heads = [
        "",
        ">STARTED",
        ">FAILED",
        ">WAITING MEAN",
        ">P50",
        ">P90",
        ">P99",
        ">MAX",
        ">RUNNING MEAN",
        ">P50",
        ">P90",
        ">P99",
        ">MAX",
    ];
    let mut table = show::table(&io::stdout(), &heads);
    let mut add = |name: String, sums: &CostSums| {
        let counts = [sums.waiting.count, sums.failed].map(|count| Cell::new(show::count(count)));
        let times = [sums.waiting, sums.running].into_iter().flat_map(spread).map(Cell::new);
        table.add_row([Cell::new(name)].into_iter().chain(counts).chain(times));
    };
    for row in &costs.tasks {
        add(task_name(row.task.as_ref()), &row.sums);
    }
    for column in &costs.workers {
        add(worker_name(column), &column.sums);
    }
    add("all".to_owned(), &costs.total);
    show::rendered(&table)
}

fn spread(times: Times) -> [String; 5] {
    let all = [times.mean(), times.p50, times.p90, times.p99, times.max];
    all.map(|time| if times.count == 0 { String::new() } else { format_duration(time) })
}

fn task_name(task: Option<&taskwright_core::Name>) -> String {
    task.map_or_else(|| "other tasks".to_owned(), |task| show::short(task.as_str(), 40))
}

fn worker_name(column: &WorkerCosts) -> String {
    match (column.worker, &*column.name) {
        (None, _) => "OTHER WORKERS".to_owned(),
        (Some(worker), "") => {
            let id = worker.to_string();
            format!("WORKER …{}", &id[id.len() - 12..])
        }
        (Some(_), name) => format!("WORKER {}", show::short(name, 24)),
    }
}
