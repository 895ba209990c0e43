//! `taskwright schedules set`

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::json;
use taskwright::{CatchUp, Overlap, Recurrence, ScheduleChange, ScheduleSpec, Timestamp};
use taskwright_core::schedule::Policy;
use taskwright_core::{Name, parse_duration};
use taskwright_engine::JobRequest;

use crate::arguments::Global;
use crate::commands::kind::Kind;
use crate::exit::Exit;
use crate::{connect, show};

/// When a schedule is due.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("when").args(["cron", "every", "at"]))]
pub struct When {
    /// A cron expression of 5 fields, 6 with seconds first, or a word like @daily
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// An interval, like 90s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    every: Option<Duration>,
    /// An instant, like 2026-12-01T09:00:00Z; again for more
    #[arg(long, value_name = "INSTANT")]
    at: Vec<Timestamp>,
    /// The time zone whose wall clocks count, like Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// No instant before this one
    #[arg(long, value_name = "INSTANT")]
    start: Option<Timestamp>,
    /// No instant at this one or later
    #[arg(long, value_name = "INSTANT")]
    end: Option<Timestamp>,
    /// Only instants in this window, like 'mon-fri 09:00-17:00'; again for more
    #[arg(long = "window", value_name = "WINDOW")]
    windows: Vec<String>,
    /// No instant on the days of this calendar; again for more
    #[arg(long, value_name = "CALENDAR")]
    exclude: Vec<Name>,
}

impl When {
    /// Whether anything says when it is due.
    pub fn is_given(&self) -> bool {
        self.cron.is_some() || self.every.is_some() || !self.at.is_empty()
    }

    /// The schedule that is due then, everything else by default.
    pub fn spec(self, name: Name, job: JobRequest) -> Result<ScheduleSpec> {
        let when = match (self.cron, self.every) {
            (Some(cron), _) => Recurrence::Cron(cron),
            (None, Some(every)) => Recurrence::Every { every, anchor: None },
            (None, None) if !self.at.is_empty() => Recurrence::At(self.at),
            (None, None) => bail!("say when it is due: --cron, --every or --at"),
        };
        Ok(ScheduleSpec {
            zone: self.zone,
            start: self.start,
            end: self.end,
            windows: self.windows,
            exclude: self.exclude,
            ..ScheduleSpec::new(name, when, job)
        })
    }
}

/// Make a schedule, or change it
#[derive(Debug, Args)]
#[command(after_help = "What is left out is as by default, also where the schedule had it before.

Examples:
  taskwright schedules set nightly report --cron '30 2 * * mon-fri' --zone Europe/Berlin
  taskwright schedules set probe ping --every 90s --args '{\"host\": \"db1\"}' --overlap allow
  taskwright schedules set bill invoices --cron '0 6 L * *' --catch-up all --pause-after 3")]
pub struct Arguments {
    /// Its name
    name: Name,
    /// The job that it makes.
    #[command(flatten)]
    kind: Kind,
    /// When it is due.
    #[command(flatten)]
    when: When,
    /// Start jobs up to so much later than their instant
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    jitter: Option<Duration>,
    /// What happens to an instant while a job of the schedule is live
    #[arg(long, value_enum, default_value_t = OverlapWord::Skip)]
    overlap: OverlapWord,
    /// What happens to missed instants: once (one job for all), skip, all, or the newest N
    #[arg(long, value_name = "WHAT", value_parser = parse_catch_up, default_value = "once")]
    catch_up: CatchUp,
    /// Skip instants that are late by more than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    catch_up_window: Option<Duration>,
    /// Pause after so many jobs that failed one after another
    #[arg(long, value_name = "N")]
    pause_after: Option<u32>,
}

/// What happens to an instant while a job of the schedule is live.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum OverlapWord {
    /// It is skipped
    Skip,
    /// It makes a job as always
    Allow,
    /// It waits for the live job to end; further ones are skipped
    QueueOne,
    /// The live job is cancelled
    CancelRunning,
}

fn parse_catch_up(text: &str) -> Result<CatchUp, String> {
    match text {
        "once" => Ok(CatchUp::Once),
        "skip" => Ok(CatchUp::Skip),
        "all" => Ok(CatchUp::All { max: 1_000 }),
        number => number
            .parse()
            .map(|max| CatchUp::All { max })
            .map_err(|_| "it is none of once, skip, all and a number".to_owned()),
    }
}

impl Arguments {
    fn spec(self) -> Result<ScheduleSpec> {
        let job = self.kind.request()?;
        let policy = Policy {
            overlap: match self.overlap {
                OverlapWord::Skip => Overlap::Skip,
                OverlapWord::Allow => Overlap::Allow,
                OverlapWord::QueueOne => Overlap::QueueOne,
                OverlapWord::CancelRunning => Overlap::CancelRunning,
            },
            catch_up: self.catch_up,
            catch_up_window: self.catch_up_window,
            pause_after: self.pause_after,
        };
        let jitter = self.jitter.unwrap_or_default();
        Ok(ScheduleSpec { policy, jitter, ..self.when.spec(self.name, job)? })
    }
}

/// Sets it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let spec = arguments.spec()?;
    let name = spec.name.clone();
    let app = connect::connect_or_create(global).await?;
    let set = app.set_schedule(spec).await;
    let view = app.schedule(name.as_str()).await;
    app.close().await?;
    let change = set?;
    let next = view?.and_then(|view| view.next_at);
    if global.json {
        let word = match change {
            ScheduleChange::Created => "created",
            ScheduleChange::Changed => "changed",
            ScheduleChange::Unchanged => "unchanged",
        };
        let next = next.map(|at| at.to_string());
        show::print(json!({ "name": name.as_str(), "change": word, "next_at": next }))?;
    } else {
        let word = match change {
            ScheduleChange::Created => "is set",
            ScheduleChange::Changed => "is changed",
            ScheduleChange::Unchanged => "was just so",
        };
        let next = match next {
            Some(at) => format!("next {}", show::instant(at)),
            None => "nothing is due".to_owned(),
        };
        show::print(format!("The schedule {name} {word}; {next}."))?;
    }
    Ok(Exit::Done)
}
