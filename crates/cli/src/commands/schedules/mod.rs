//! `taskwright schedules`

mod file;
mod preview;
mod set;
mod view;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use taskwright::{Backfilled, Timestamp};
use taskwright_core::Name;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Schedules: jobs made again and again, at the times that a rule says
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  taskwright schedules set nightly report --cron '30 2 * * mon-fri' --zone Europe/Berlin
  taskwright schedules set probe ping --every 90s --overlap allow
  taskwright schedules preview --cron '0 9 L * *' --zone America/New_York
  taskwright schedules
  taskwright schedules plan schedules.toml && taskwright schedules apply schedules.toml"
)]
pub struct Arguments {
    /// What to do with them [default: list them]
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all of a schedule
    Show(Named),
    /// Make a schedule, or change it
    Set(Box<set::Arguments>),
    /// Remove a schedule; the jobs it made stay
    Remove(Named),
    /// Make no more jobs until it is resumed
    Pause(Named),
    /// Let a paused schedule go on from now
    Resume(Named),
    /// Make a job of a schedule now
    Trigger(Named),
    /// Make the jobs of past instants; what was made is not made again
    Backfill(Backfill),
    /// Show the next instants of a schedule, or of one that is not set
    Preview(preview::Arguments),
    /// Show what applying a file would change
    Plan(file::Arguments),
    /// Make, change and remove schedules as a file says
    Apply(file::Arguments),
}

#[derive(Debug, Args)]
struct Named {
    /// The schedule
    name: Name,
}

#[derive(Debug, Args)]
struct Backfill {
    /// The schedule
    name: Name,
    /// After this instant
    #[arg(long, value_name = "INSTANT")]
    from: Timestamp,
    /// Up to this one, which is over
    #[arg(long, value_name = "INSTANT")]
    to: Timestamp,
}

/// Does it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    match arguments.action {
        None => view::list(global).await,
        Some(Action::Show(Named { name })) => view::one(global, &name).await,
        Some(Action::Set(arguments)) => set::run(global, *arguments).await,
        Some(Action::Remove(Named { name })) => remove(global, &name).await,
        Some(Action::Pause(Named { name })) => {
            let app = connect::connect(global).await?;
            let paused = app.pause_schedule(name.as_str()).await;
            app.close().await?;
            paused?;
            said(global, &name, "paused", "is paused")
        }
        Some(Action::Resume(Named { name })) => {
            let app = connect::connect(global).await?;
            let resumed = app.resume_schedule(name.as_str()).await;
            app.close().await?;
            resumed?;
            said(global, &name, "resumed", "goes on")
        }
        Some(Action::Trigger(Named { name })) => {
            let app = connect::connect(global).await?;
            let triggered = app.trigger(name.as_str()).await;
            app.close().await?;
            let id = triggered?;
            if global.json {
                show::print(json!({ "id": id.to_string() }))?;
            } else {
                show::print(id)?;
            }
            Ok(Exit::Done)
        }
        Some(Action::Backfill(arguments)) => backfill(global, &arguments).await,
        Some(Action::Preview(arguments)) => preview::run(global, arguments).await,
        Some(Action::Plan(arguments)) => file::plan(global, &arguments).await,
        Some(Action::Apply(arguments)) => file::apply(global, &arguments).await,
    }
}

fn said(global: &Global, name: &Name, word: &str, words: &str) -> Result<Exit> {
    if global.json {
        show::print(json!({ "name": name.as_str(), word: true }))?;
    } else {
        show::print(format!("The schedule {name} {words}."))?;
    }
    Ok(Exit::Done)
}

async fn remove(global: &Global, name: &Name) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let removed = app.remove_schedule(name.as_str()).await;
    app.close().await?;
    if removed? {
        return said(global, name, "removed", "is gone; the jobs it made stay");
    }
    eprintln!("There is no schedule {name}.");
    Ok(Exit::Nothing)
}

async fn backfill(global: &Global, arguments: &Backfill) -> Result<Exit> {
    let Backfill { name, from, to } = arguments;
    let app = connect::connect(global).await?;
    let (mut made, mut existing, mut after) = (0, 0, *from);
    let done = loop {
        match app.backfill(name.as_str(), after, *to).await {
            Ok(Backfilled { made: new, existing: known, until }) => {
                made += new as u64;
                existing += known as u64;
                match until {
                    Some(until) => after = until,
                    None => break Ok(()),
                }
            }
            Err(error) => break Err(error),
        }
    };
    app.close().await?;
    done?;
    if global.json {
        show::print(json!({ "name": name.as_str(), "made": made, "existing": existing }))?;
    } else {
        let known = match existing {
            0 => String::new(),
            _ => format!("; {} more were there", show::count(existing)),
        };
        show::print(format!("Made {}{known}.", show::counted(made, "job")))?;
    }
    Ok(Exit::Done)
}
