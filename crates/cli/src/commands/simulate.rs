//! `taskwright simulate`

use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use comfy_table::Cell;
use serde_json::json;
use taskwright_core::format_duration;
use taskwright_simulate::{Outcome, Sizing, Target, Waits, Workload};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::show;

/// Play a workload against the scheduling code, with a virtual clock
#[derive(Debug, Args)]
#[command(after_help = "\
The file says what arrives, how long it runs and who serves it: see docs/simulate.md and
examples/workloads. The same file and seed give the same outcome, on any machine.

Examples:
  taskwright simulate mail.toml
  taskwright simulate mail.toml --target 'p99 wait <= 5s'
  taskwright simulate mail.toml --target 'mean wait of urgent <= 1s' --workers big

It ends with exit code 1 where no number of workers meets the target.")]
pub struct Arguments {
    /// The workload, TOML; - for standard input
    file: PathBuf,
    /// Find the smallest number of workers with which this holds, like 'p99 wait <= 5s'
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    /// With --target: the class of workers whose number is sought [default: the first]
    #[arg(long, value_name = "CLASS", requires = "target")]
    workers: Option<String>,
    /// Another seed than that of the file
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Plays it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let is_json = global.json;
    let played = tokio::task::spawn_blocking(move || play(&arguments, is_json)).await?;
    let Played { texts, exit } = played?;
    for text in texts {
        show::print(text)?;
    }
    Ok(exit)
}

/// What is to be printed, and how the command ends.
struct Played {
    texts: Vec<String>,
    exit: Exit,
}

fn play(arguments: &Arguments, is_json: bool) -> Result<Played> {
    let text = read(arguments)?;
    let mut variants = taskwright_simulate::read(&text)
        .with_context(|| format!("cannot simulate {}", arguments.file.display()))?;
    if let Some(seed) = arguments.seed {
        variants.iter_mut().for_each(|(_, workload)| workload.seed = seed);
    }
    match &arguments.target {
        Some(target) => size(&variants, target, arguments, is_json),
        None => Ok(Played { texts: compare(&variants, is_json)?, exit: Exit::Done }),
    }
}

fn read(arguments: &Arguments) -> Result<String> {
    if arguments.file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(&arguments.file)
        .with_context(|| format!("cannot read the workload {}", arguments.file.display()))
}

fn compare(variants: &[(Option<String>, Workload)], is_json: bool) -> Result<Vec<String>> {
    let mut outcomes = Vec::new();
    for (name, workload) in variants {
        outcomes.push((name.as_deref(), taskwright_simulate::simulate(workload)?));
    }
    if is_json {
        let line = |(name, outcome): &(Option<&str>, Outcome)| {
            let mut line = serde_json::to_value(outcome)?;
            if let Some(name) = name {
                line["variant"] = json!(name);
            }
            Ok(line.to_string())
        };
        return outcomes.iter().map(line).collect();
    }
    Ok(match outcomes.as_slice() {
        [(None, outcome)] => told(outcome),
        _ => vec![side_by_side(&outcomes)],
    })
}

fn size(
    variants: &[(Option<String>, Workload)],
    target: &Target,
    arguments: &Arguments,
    is_json: bool,
) -> Result<Played> {
    let mut texts = Vec::new();
    let mut is_met = true;
    for (name, workload) in variants {
        let sizing = taskwright_simulate::size(workload, target, arguments.workers.as_deref())?;
        is_met &= sizing.count.is_some();
        if is_json {
            texts.push(sizing_line(name.as_deref(), target, &sizing).to_string());
            continue;
        }
        let name = name.as_ref().map(|name| format!("{}: ", show::short(name, 60)));
        let workers = format!("worker {:?}", sizing.class);
        let found = match sizing.count {
            Some(count) => format!("{target} takes {} of {workers}.", show::count(count.into())),
            None => format!("No number of {workers} gives {target}: something else holds jobs up."),
        };
        texts.push(format!("{}{found}", name.unwrap_or_default()));
        texts.push(format!("{}\n", tried(&sizing)));
        if variants.len() == 1 {
            texts.extend(told(&sizing.outcome));
        }
    }
    Ok(Played { texts, exit: if is_met { Exit::Done } else { Exit::Failed } })
}

fn sizing_line(name: Option<&str>, target: &Target, sizing: &Sizing) -> serde_json::Value {
    let tried = sizing.tried.iter().map(|tried| {
        let figure = crate::json::millis(tried.figure);
        json!({"count": tried.count, "figure_ms": figure, "met": tried.is_met})
    });
    let mut line = json!({
        "target": target.to_string(),
        "worker": sizing.class,
        "count": sizing.count,
        "tried": tried.collect::<Vec<_>>(),
        "outcome": sizing.outcome,
    });
    if let Some(name) = name {
        line["variant"] = json!(name);
    }
    line
}

fn tried(sizing: &Sizing) -> String {
    let mut table = show::table(&io::stdout(), &[">TRIED", ">WAIT", ""]);
    let mut all = sizing.tried.clone();
    all.sort_by_key(|tried| tried.count);
    for tried in all {
        let count = show::count(tried.count.into());
        let met = if tried.is_met { "enough" } else { "" };
        table.add_row([count, format_duration(tried.figure), met.to_owned()]);
    }
    show::rendered(&table)
}

/// One outcome, in several tables.
fn told(outcome: &Outcome) -> Vec<String> {
    let mut texts = vec![format!("{}\n", headline(outcome)), format!("{}\n", tasks(outcome))];
    texts.push(workers(outcome));
    if !outcome.limits.is_empty() {
        texts.push(format!("\n{}", limits(outcome)));
    }
    if !outcome.groups.is_empty() {
        texts.push(format!("\n{}", groups(outcome)));
    }
    texts
}

fn headline(outcome: &Outcome) -> String {
    let mut parts = vec![format!("{} completed", show::count(outcome.completed))];
    for (count, word) in [(outcome.dead, "dead"), (outcome.left, "left that nobody ends")] {
        if count > 0 {
            parts.push(format!("{} {word}", show::count(count)));
        }
    }
    let fairness = [("tasks", outcome.fairness.tasks), ("groups", outcome.fairness.groups)];
    let fairness = fairness.into_iter().filter_map(|(of, index)| Some((of, index?)));
    let fairness: String =
        fairness.map(|(of, index)| format!("; fairness over {of} {index:.2}")).collect();
    format!(
        "{} in {}: {}; at most {} waited{fairness}.",
        show::counted(outcome.jobs, "job"),
        format_duration(outcome.makespan),
        parts.join(", "),
        show::count(outcome.backlog_max),
    )
}

fn tasks(outcome: &Outcome) -> String {
    let heads = [
        "TASK",
        ">JOBS",
        ">DEAD",
        ">FAILED",
        ">LOST",
        ">WAITING MEAN",
        ">P50",
        ">P90",
        ">P99",
        ">MAX",
        ">RUNNING MEAN",
    ];
    let mut table = show::table(&io::stdout(), &heads);
    for class in &outcome.tasks {
        let mut row = vec![Cell::new(show::short(&class.name, 40))];
        let counts = [class.jobs, class.dead, class.failed, class.lost];
        row.extend(counts.map(|count| Cell::new(show::count(count))));
        row.extend(spread(&class.waiting).map(Cell::new));
        row.push(Cell::new(format_duration(class.running.mean)));
        table.add_row(row);
    }
    show::rendered(&table)
}

fn spread(waits: &Waits) -> [String; 5] {
    [waits.mean, waits.p50, waits.p90, waits.p99, waits.max].map(format_duration)
}

fn workers(outcome: &Outcome) -> String {
    let heads = ["WORKER", ">COUNT", ">SLOTS", ">JOINED", ">LOST", ">UTILISATION"];
    let mut table = show::table(&io::stdout(), &heads);
    for class in &outcome.workers {
        table.add_row([
            show::short(&class.name, 40),
            show::count(class.count.into()),
            show::count(class.slots.into()),
            show::count(class.joined),
            show::count(class.lost),
            percent(class.utilisation),
        ]);
    }
    show::rendered(&table)
}

fn limits(outcome: &Outcome) -> String {
    let heads = ["LIMIT", ">CONCURRENCY", ">MOST AT ONCE", ">ATTEMPTS"];
    let mut table = show::table(&io::stdout(), &heads);
    for limit in &outcome.limits {
        let concurrency = limit.concurrency.map(|most| show::count(most.into()));
        table.add_row([
            show::short(&limit.of, 60),
            concurrency.unwrap_or_default(),
            show::count(limit.most_running.into()),
            show::count(limit.attempts),
        ]);
    }
    show::rendered(&table)
}

fn groups(outcome: &Outcome) -> String {
    let heads = ["GROUPS THAT WAITED LONGEST", "QUEUE", ">ATTEMPTS", ">WAITING MEAN"];
    let mut table = show::table(&io::stdout(), &heads);
    for group in &outcome.groups {
        table.add_row([
            show::short(&group.group, 40),
            group.queue.clone(),
            show::count(group.attempts),
            format_duration(group.mean_wait),
        ]);
    }
    show::rendered(&table)
}

/// A column for each variant.
fn side_by_side(outcomes: &[(Option<&str>, Outcome)]) -> String {
    let names =
        outcomes.iter().map(|(name, _)| format!(">{}", show::short(name.unwrap_or(""), 24)));
    let heads: Vec<String> = [String::new()].into_iter().chain(names).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = show::table(&io::stdout(), &heads);
    let mut row = |name: String, cell: &dyn Fn(&Outcome) -> String| {
        let cells: Vec<String> = outcomes.iter().map(|(_, outcome)| cell(outcome)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.add_row([name].into_iter().chain(cells));
        }
    };
    row("jobs".into(), &|outcome| show::count(outcome.jobs));
    row("completed".into(), &|outcome| show::count(outcome.completed));
    row("dead".into(), &|outcome| show::count(outcome.dead));
    row("left".into(), &|outcome| show::count(outcome.left));
    row("makespan".into(), &|outcome| format_duration(outcome.makespan));
    row("most that waited".into(), &|outcome| show::count(outcome.backlog_max));
    waiting_rows("", &mut row, &|outcome| Some(&outcome.waiting));
    for name in all_of(outcomes, |outcome| outcome.tasks.iter().map(|class| &class.name).collect())
    {
        waiting_rows(&name, &mut row, &|outcome| {
            let class = outcome.tasks.iter().find(|class| class.name == name)?;
            Some(&class.waiting)
        });
    }
    for name in all_of(outcomes, |outcome| outcome.workers.iter().map(|w| &w.name).collect()) {
        row(format!("utilisation of {}", show::short(&name, 24)), &|outcome| {
            let class = outcome.workers.iter().find(|class| class.name == name);
            class.map(|class| percent(class.utilisation)).unwrap_or_default()
        });
    }
    let index = |index: Option<f64>| index.map(|index| format!("{index:.2}")).unwrap_or_default();
    row("fairness over tasks".into(), &|outcome| index(outcome.fairness.tasks));
    row("fairness over groups".into(), &|outcome| index(outcome.fairness.groups));
    show::rendered(&table)
}

fn waiting_rows(
    of: &str,
    row: &mut impl FnMut(String, &dyn Fn(&Outcome) -> String),
    waits: &dyn Fn(&Outcome) -> Option<&Waits>,
) {
    let of = if of.is_empty() { String::new() } else { format!(" of {}", show::short(of, 24)) };
    for (at, word) in [(0, "mean"), (3, "p99"), (4, "max")] {
        row(format!("{word} wait{of}"), &|outcome| {
            waits(outcome).map(|waits| spread(waits)[at].clone()).unwrap_or_default()
        });
    }
}

/// The names in any outcome, in the order in which they are met.
fn all_of(
    outcomes: &[(Option<&str>, Outcome)],
    names: impl Fn(&Outcome) -> Vec<&String>,
) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (_, outcome) in outcomes {
        for name in names(outcome) {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
    }
    all
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
