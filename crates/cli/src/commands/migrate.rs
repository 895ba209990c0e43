//! `taskwright migrate`

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use taskwright::migrate::{Migrator, Plan, Planned, Progress};
use taskwright_core::parse_duration;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Bring the schema of a store in PostgreSQL to the version of this program
#[derive(Debug, Args)]
#[command(after_help = "\
Servers and workers may go on meanwhile, those of the version before too. They do this by themselves
when they start, where their role owns the schema. Interrupted? Run it again: it goes on where it was.")]
pub struct Arguments {
    /// Print the SQL of all steps and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The version to bring it to [default: the newest]
    #[arg(long, value_name = "VERSION")]
    to: Option<i32>,
    /// How long to wait for locks of others, or for another one that migrates
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10m")]
    wait: Duration,
}

/// Migrates it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let Some(url) = connect::store(global) else {
        bail!(
            "no store is named whose schema is to be migrated; use --store postgres://USER@HOST/DATABASE"
        );
    };
    if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
        bail!(
            "only stores in PostgreSQL have a schema to migrate, and {} is none",
            taskwright::shown(&url)
        );
    }
    let migrator = Migrator::new(&url)?.patience(arguments.wait);
    let plan = migrator.plan(arguments.to).await?;
    if arguments.dry_run {
        show_plan(global, &migrator, &plan)?;
        return Ok(Exit::Done);
    }
    if !global.json {
        show::print(announced(&migrator, &plan))?;
    }
    let mut shown = Shown { json: global.json, last: String::new() };
    let done = migrator.run(arguments.to, &mut |progress| shown.show(&progress)).await?;
    if global.json {
        show::print(json!({ "from": done.from, "to": done.to, "steps": done.steps.len() }))?;
    } else if !done.steps.is_empty() {
        show::print(format_args!("The schema has version {}.", done.to))?;
    }
    Ok(Exit::Done)
}

fn announced(migrator: &Migrator, plan: &Plan) -> String {
    let place = migrator.place();
    let steps = show::counted(plan.steps.len() as u64, "step");
    match plan {
        Plan { steps, to, .. } if steps.is_empty() => {
            format!("The schema in {place} has version {to}: there is nothing to do.")
        }
        Plan { from: 0, to, .. } => {
            format!("There is no schema in {place}: {steps} to version {to}.")
        }
        Plan { from, to, .. } => {
            format!("The schema in {place} has version {from}: {steps} to version {to}.")
        }
    }
}

fn show_plan(global: &Global, migrator: &Migrator, plan: &Plan) -> Result<()> {
    if !global.json {
        show::print(format_args!("-- {}", announced(migrator, plan)))?;
    }
    for step in &plan.steps {
        if global.json {
            let mut line = named(step);
            line["transaction"] = step.is_transaction.into();
            line["sql"] = step.sql.as_str().into();
            line["record"] = step.record.as_str().into();
            show::print(line)?;
            continue;
        }
        let (sql, record) = (step.sql.trim_end(), step.record.trim_end());
        show::print(format_args!("\n-- {}", title(step)))?;
        match step.is_transaction {
            true => show::print(format_args!("begin;\n{sql}\n{record}\ncommit;"))?,
            false => show::print(format_args!("{sql};\n{record}"))?,
        }
    }
    Ok(())
}

fn title(step: &Planned) -> String {
    format!("version {}, step {}: {}", step.version, step.number, step.name)
}

fn named(step: &Planned) -> serde_json::Value {
    json!({ "version": step.version, "step": step.number, "name": step.name })
}

/// What was told last, so that nothing is told again and again.
struct Shown {
    json: bool,
    last: String,
}

impl Shown {
    fn show(&mut self, progress: &Progress<'_>) {
        // Nobody may be reading: the migration goes on all the same.
        let _ = match progress {
            Progress::Done(step, took) if self.json => {
                let mut line = named(step);
                line["took_ms"] = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into();
                show::print(line)
            }
            Progress::Done(step, took) => {
                show::print(format_args!("{} ({} ms)", title(step), took.as_millis()))
            }
            Progress::Waiting { holder } => {
                self.tell(format!("waiting for {holder}, who is migrating this schema"))
            }
            Progress::Again(step, why) => self.tell(format!("{} has to wait: {why}", title(step))),
            _ => Ok(()),
        };
    }

    fn tell(&mut self, message: String) -> std::io::Result<()> {
        if message != self.last {
            eprintln!("taskwright: {message}");
            self.last = message;
        }
        Ok(())
    }
}
