//! `taskwright calendars`

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use taskwright_core::Name;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Calendars: days on which schedules that exclude them make no job
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "A calendar is a text file: one date a line, like 2026-12-25, or iCalendar (.ics).

Examples:
  taskwright calendars load holidays holidays.ics
  taskwright schedules set nightly report --cron '0 3 * * *' --exclude holidays"
)]
pub struct Arguments {
    /// What to do with them [default: list them]
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Load a calendar, or load it anew; schedules that exclude it follow at once
    Load {
        /// Its name
        name: Name,
        /// The file
        file: PathBuf,
    },
    /// Remove a calendar that no schedule excludes
    Remove {
        /// Its name
        name: Name,
    },
}

/// Does it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    match arguments.action {
        None => list(global).await,
        Some(Action::Load { name, file }) => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let app = connect::connect_or_create(global).await?;
            let loaded = app.set_calendar(name.as_str(), &text).await;
            app.close().await?;
            loaded?;
            said(global, &name, "loaded")
        }
        Some(Action::Remove { name }) => {
            let app = connect::connect(global).await?;
            let removed = app.remove_calendar(name.as_str()).await;
            app.close().await?;
            removed?;
            said(global, &name, "removed")
        }
    }
}

fn said(global: &Global, name: &Name, word: &str) -> Result<Exit> {
    if global.json {
        show::print(json!({ "calendar": name.as_str(), word: true }))?;
    } else {
        show::print(format!("The calendar {name} is {word}."))?;
    }
    Ok(Exit::Done)
}

async fn list(global: &Global) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let listed = app.calendars().await;
    app.close().await?;
    let calendars = listed?;
    for name in &calendars {
        if global.json {
            show::print(json!({ "calendar": name.as_str() }))?;
        } else {
            show::print(name)?;
        }
    }
    if calendars.is_empty() {
        eprintln!("There are no calendars; load one with `taskwright calendars load`.");
    }
    Ok(Exit::Done)
}
