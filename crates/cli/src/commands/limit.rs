//! `taskwright limit`

use anyhow::Result;
use clap::{ArgGroup, Args, ValueEnum};
use taskwright::Limit;
use taskwright_core::{Name, Rate, parse_duration};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{LimitLine, line};
use crate::{connect, show};

/// Limit what may start of a queue, task, group or key, over all workers and machines
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("allowed").required(true).multiple(true).args(["concurrency", "rate", "fair", "strict", "weight", "retries", "waiting", "ordered", "remove"]),
    after_help = "It takes the place of the limit that was set for the same before. What runs already goes on, and counts.
A group or key that ends in * stands for each that begins so, each for itself.

Examples:
  taskwright limit queue mail --concurrency 20
  taskwright limit task resize --rate 100/1m --burst 10
  taskwright limit group 'tenant-*' --queue mail --concurrency 2
  taskwright limit key api:stripe --rate 25/1s --concurrency 5
  taskwright limit queue reports --fair
  taskwright limit group 'gold-*' --queue reports --weight 3
  taskwright limit queue alarms --strict
  taskwright limit queue sync --retries 100/1m --waiting 10000
  taskwright limit group 'account-*' --queue billing --ordered
  taskwright limit key api:stripe --remove"
)]
pub struct Arguments {
    /// What is limited
    #[arg(value_enum)]
    what: What,
    /// Its name
    name: String,
    /// The queue of a group [default: default]
    #[arg(long, short, value_name = "NAME")]
    queue: Option<Name>,
    /// At most so many attempts at once; 0 lets nothing start
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// At most N starts in each TIME, evenly, like 100/1m
    #[arg(long, value_name = "N/TIME", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// With --rate: so many may start at once where none has for long [default: 1]
    #[arg(long, value_name = "N", requires = "rate")]
    burst: Option<u32>,
    /// Of a queue: its groups take turns, so that none waits for the backlog of another
    #[arg(long)]
    fair: bool,
    /// Of a queue: its most urgent job is always next, however long others have waited
    #[arg(long)]
    strict: bool,
    /// Of a group: so many of its jobs start in a fair queue while one does of another, 1 to 1000
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// Of a group or key: its jobs run one at a time, in the order in which they were enqueued
    #[arg(long)]
    ordered: bool,
    /// With --ordered: what a dead job does to those behind it [default: block]
    #[arg(long, value_enum, requires = "ordered")]
    dead: Option<Dead>,
    /// Of a queue: at most N failed attempts come back in each TIME, evenly, like 100/1m
    #[arg(long, value_name = "N/TIME", value_parser = parse_rate)]
    retries: Option<Rate>,
    /// With --retries: so many may come back at once where none has for long [default: 1]
    #[arg(long, value_name = "N", requires = "retries")]
    retries_burst: Option<u32>,
    /// Of a queue: at most so many jobs wait in it; what would be one more is refused
    #[arg(long, value_name = "N")]
    waiting: Option<u32>,
    /// Take the limit away
    #[arg(long, conflicts_with_all = ["concurrency", "rate", "fair", "strict", "weight", "retries", "waiting", "ordered"])]
    remove: bool,
}

/// What can be limited.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// All jobs of a queue together
    Queue,
    /// All jobs of a task together
    Task,
    /// The jobs of a group of a queue
    Group,
    /// The jobs with a limit key
    Key,
}

/// What a dead job does to those behind it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Dead {
    /// It keeps them back until it is redriven or deleted
    Block,
    /// It gives way
    Skip,
}

/// Sets it, or takes it away.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let limit = arguments.limit()?;
    let app = connect::connect_or_create(global).await?;
    let shown = limit.clone();
    let done =
        if arguments.remove { app.remove_limit(limit).await } else { app.set_limit(limit).await };
    app.close().await?;
    done?;
    if global.json {
        show::print(line(&LimitLine::from(&shown)))?;
    } else {
        show::print(show::harmless(&shown.to_string()))?;
    }
    Ok(Exit::Done)
}

impl Arguments {
    fn limit(&self) -> Result<Limit> {
        let default_queue = Name::default_name();
        let mut limit = match (self.what, &self.queue) {
            (What::Group, queue) => {
                Limit::group(queue.as_ref().unwrap_or(&default_queue).as_str(), &self.name)
            }
            (_, Some(_)) => {
                anyhow::bail!("--queue goes with a group only: limit group NAME --queue NAME")
            }
            (What::Queue, None) => Limit::queue(&self.name),
            (What::Task, None) => Limit::task(&self.name),
            (What::Key, None) => Limit::key(&self.name),
        };
        if let Some(most) = self.concurrency {
            limit = limit.concurrency(most);
        }
        if let Some(Rate { count, period_ms, .. }) = self.rate {
            limit = limit.rate(count, std::time::Duration::from_millis(period_ms));
        }
        if let Some(burst) = self.burst {
            limit = limit.burst(burst);
        }
        if self.fair {
            limit = limit.fair();
        }
        if self.strict {
            limit = limit.strict();
        }
        if let Some(weight) = self.weight {
            limit = limit.weight(weight);
        }
        if let Some(Rate { count, period_ms, .. }) = self.retries {
            limit = limit.retries(count, std::time::Duration::from_millis(period_ms));
        }
        if let Some(burst) = self.retries_burst {
            limit = limit.retries_burst(burst);
        }
        if let Some(most) = self.waiting {
            limit = limit.waiting(most);
        }
        if self.ordered {
            limit = match self.dead {
                Some(Dead::Skip) => limit.ordered_past_dead(),
                Some(Dead::Block) | None => limit.ordered(),
            };
        }
        Ok(limit)
    }
}

/// `100/1m`; `100/m` is the same.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let example = "write a number and a time, like 100/1m";
    let (count, period) = text.split_once('/').ok_or(example)?;
    let count = count.trim().parse().map_err(|error| format!("{error}; {example}"))?;
    let period = period.trim();
    let one = if period.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "1" };
    let period = parse_duration(&format!("{one}{period}")).map_err(|error| error.to_string())?;
    Ok(Rate::new(count, period))
}

#[cfg(test)]
#[path = "../tests/limit.rs"]
mod tests;
