//! `taskwright limits`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;
use taskwright::{Limit, Subject};
use taskwright_core::{Ordered, Rate, format_duration};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{LimitLine, line};
use crate::{connect, show};

/// List the limits of queues, tasks, groups and keys
#[derive(Debug, Args)]
pub struct Arguments {}

/// Lists them.
pub async fn run(global: &Global, _: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let limits = app.limits().await?;
    app.close().await?;
    if global.json {
        for limit in &limits {
            show::print(line(&LimitLine::from(limit)))?;
        }
    } else if limits.is_empty() {
        eprintln!("There are no limits; set one with `taskwright limit`.");
    } else {
        show::print(show::rendered(&table(&limits)))?;
    }
    Ok(Exit::Done)
}

fn table(limits: &[Limit]) -> comfy_table::Table {
    let mut heads =
        vec!["OF", "NAME", "QUEUE", ">CONCURRENCY", ">RATE", ">BURST", "TURNS", "ORDER"];
    // Few have them, and lines are short.
    let has_bounds =
        limits.iter().any(|limit| limit.max_retries().is_some() || limit.max_waiting().is_some());
    if has_bounds {
        heads.extend([">RETRIES", ">WAITING"]);
    }
    let mut table = show::table(&std::io::stdout(), &heads);
    for limit in limits {
        let (what, name, queue) = match limit.subject() {
            Subject::Queue(queue) => ("queue", queue.as_str(), ""),
            Subject::Task(task) => ("task", task.as_str(), ""),
            Subject::Group { queue, group } => ("group", &**group, queue.as_str()),
            Subject::Key(key) => ("key", &**key, ""),
        };
        let concurrency = limit.max_concurrency().map(|most| show::count(most.into()));
        let rate = limit.max_rate();
        let starts = rate.map(|rate| per(&rate));
        let burst = rate.map(|rate| show::count(rate.burst.into()));
        let mut row = vec![
            Cell::new(what),
            Cell::new(show::short(name, 60)),
            Cell::new(queue),
            Cell::new(concurrency.unwrap_or_default()),
            Cell::new(starts.unwrap_or_default()),
            Cell::new(burst.unwrap_or_default()),
            Cell::new(turns(limit)),
            Cell::new(order(limit)),
        ];
        if has_bounds {
            let retries = limit.max_retries().map(|rate| retries(&rate));
            let waiting = limit.max_waiting().map(|most| show::count(most.into()));
            row.extend([retries, waiting].map(|cell| Cell::new(cell.unwrap_or_default())));
        }
        table.add_row(row);
    }
    table
}

fn turns(limit: &Limit) -> String {
    match limit.group_weight() {
        Some(weight) => format!("weight {}", show::count(weight.into())),
        None if limit.is_fair() => "fair".to_owned(),
        None => String::new(),
    }
}

fn retries(rate: &Rate) -> String {
    match rate.burst {
        1 => per(rate),
        burst => format!("{} (burst {})", per(rate), show::count(burst.into())),
    }
}

fn order(limit: &Limit) -> &'static str {
    match limit.order() {
        Some(Ordered::Block) => "dead block",
        Some(Ordered::Skip) => "past dead",
        None if limit.is_strict() => "strict",
        None => "",
    }
}

fn per(rate: &Rate) -> String {
    let period = format_duration(Duration::from_millis(rate.period_ms)).replace(".0s", "s");
    format!("{}/{period}", show::count(rate.count.into()))
}
