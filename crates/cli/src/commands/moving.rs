//! `taskwright move`

use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use comfy_table::Cell;
use serde_json::json;
use taskwright::moving::{Move, Moved, Step};

use crate::arguments::Global;
use crate::each::{Console, Progress, Seen};
use crate::exit::Exit;
use crate::{connect, show};

/// Move all jobs and settings from one store into another
#[derive(Debug, Args)]
#[command(after_help = "\
Jobs that wait, that are scheduled and that have ended come along, with args, results, attempts and
times. All queues of FROM are paused first and stay so: its jobs never run in two places. In the end
every job is looked up in TO and compared. Interrupted? Run it again.

A place is the directory of a store that nobody has open, file:PATH, or postgres://USER@HOST/DATABASE.
Exit code 0: every job of FROM is in TO, compared one by one. 1: not, or not all")]
pub struct Arguments {
    /// The store to move
    from: String,
    /// Where to: made where it is not there
    to: String,
    /// Copy only: FROM goes on as it is, and its jobs run in both
    #[arg(long)]
    copy: bool,
    /// What to do with jobs that run in FROM
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    running: Running,
}

/// What to do with jobs that run.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Running {
    /// Move nothing
    Refuse,
    /// Give their attempts back unspent; reports of their workers come too late
    Release,
}

/// Moves everything.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let Arguments { from, to, copy, running } = arguments;
    let console = Console::new(global.json);
    let moving = Move::new(&url(&from), &url(&to))
        .copy(copy)
        .release_running(running == Running::Release)
        .actor(&connect::actor());
    // From here on they are only told of.
    let (from, to) = (taskwright::shown(&from), taskwright::shown(&to));
    let mut shown = Shown::new(&console);
    let moved = moving.run(|step| shown.step(step)).await;
    console.clear();
    let moved = moved.with_context(|| {
        let word = if copy { "copy" } else { "move" };
        format!("could not {word} {from} to {to}")
    })?;
    if global.json {
        print_json(&moved)?;
    } else {
        print(&moved, &from, &to, copy)?;
    }
    Ok(if moved.is_verified() { Exit::Done } else { Exit::Failed })
}

/// A place without a kind is a directory.
fn url(place: &str) -> String {
    let kind = place.split_once(':').map(|(kind, _)| kind);
    let is_kind = |kind: &str| kind.len() > 1 && kind.bytes().all(|c| c.is_ascii_lowercase());
    if kind.is_some_and(is_kind) { place.to_owned() } else { format!("file:{place}") }
}

/// How far the move is, on the screen.
struct Shown<'a> {
    console: &'a Console,
    copying: Progress,
    comparing: Option<Progress>,
}

impl<'a> Shown<'a> {
    fn new(console: &'a Console) -> Self {
        Shown { console, copying: Progress::new(console.clone()), comparing: None }
    }

    fn step(&mut self, step: Step) {
        let seen = |ended, total| Seen { ended, total, is_all: true, failed: 0 };
        match step {
            Step::Found { jobs } => self.console.tell(format_args!(
                "The destination is not empty: {} there before.",
                if jobs == 1 {
                    "1 job was".to_owned()
                } else {
                    format!("{} jobs were", show::count(jobs))
                }
            )),
            Step::Released { jobs } => self.console.tell(format_args!(
                "Gave back {} that ran in the source.",
                show::counted(jobs, "attempt")
            )),
            Step::Copied { jobs, of } => self.copying.show(Instant::now(), seen(jobs, of)),
            Step::Compared { jobs, of } => {
                let comparing = self.comparing.get_or_insert_with(|| {
                    self.console.tell("All are written. Comparing each of them.");
                    Progress::new(self.console.clone())
                });
                comparing.show(Instant::now(), seen(jobs, of));
            }
            _ => {}
        }
    }
}

fn print(moved: &Moved, from: &str, to: &str, copy: bool) -> Result<()> {
    if moved.counts.is_empty() {
        show::print("There are no jobs to move.")?;
    } else {
        show::print(show::rendered(&table(moved)))?;
    }
    for fault in &moved.faults {
        let namespace = match fault.namespace.as_str() {
            "default" => String::new(),
            other => format!(" of {other}"),
        };
        eprintln!("taskwright: job {}{namespace} {}", fault.id, fault.what);
    }
    if moved.went_on > 0 {
        show::print(format_args!(
            "{} went on in {to} since they arrived.",
            show::counted(moved.went_on, "job")
        ))?;
    }
    if moved.paused > 0 {
        show::print(format_args!(
            "{} paused in {to} as in {from}.",
            match moved.paused {
                1 => "1 queue is".to_owned(),
                more => format!("{} queues are", show::count(more)),
            }
        ))?;
    }
    if moved.schedules > 0 {
        let many = show::count(moved.schedules);
        show::print(format_args!("Schedules and calendars in {to} as in {from}: {many}."))?;
    }
    let (jobs, word) = (moved.jobs(), if copy { "copied" } else { "moved" });
    if !moved.is_verified() {
        show::print(format_args!(
            "Not verified: {} missing and {} different in {to}. Nothing is lost: {from} has all of \
             them{}. Mend what is named above and run this again.",
            show::count(moved.missing),
            show::count(moved.different),
            if copy { "" } else { ", its queues are paused" },
        ))?;
        return Ok(());
    }
    show::print(format_args!(
        "Verified: {} {word} ({} by this run), checksum {:032x} on both sides.",
        show::counted(jobs, "job"),
        show::count(moved.written),
        moved.sum_to
    ))?;
    if !copy {
        let path = from.strip_prefix("file:").unwrap_or(from);
        let how = match (url(from).starts_with("file:"), shlex::try_quote(path)) {
            (true, Ok(path)) => format!("delete it: rm -r {path}"),
            _ => "delete it".to_owned(),
        };
        show::print(format_args!(
            "All queues of {from} are paused, so that its jobs run only in {to}. When nothing uses \
             it any more, {how}"
        ))?;
    }
    Ok(())
}

fn table(moved: &Moved) -> comfy_table::Table {
    let heads = ["NAMESPACE", "QUEUE", "STATE", ">FROM", ">TO", ""];
    let mut table = show::table(&std::io::stdout(), &heads);
    for count in &moved.counts {
        let differs = if count.from == count.to { "" } else { "differs" };
        table.add_row([
            Cell::new(&count.namespace),
            Cell::new(&count.queue),
            Cell::new(count.state),
            Cell::new(show::count(count.from)),
            Cell::new(show::count(count.to)),
            Cell::new(differs),
        ]);
    }
    table
}

fn print_json(moved: &Moved) -> Result<()> {
    let counts = moved.counts.iter().map(|count| {
        json!({
            "namespace": count.namespace.as_str(),
            "queue": count.queue.as_str(),
            "state": count.state.as_str(),
            "from": count.from,
            "to": count.to,
        })
    });
    let faults = moved.faults.iter().map(|fault| {
        json!({
            "namespace": fault.namespace.as_str(),
            "id": fault.id.to_string(),
            "what": fault.what,
        })
    });
    show::print(json!({
        "verified": moved.is_verified(),
        "jobs": moved.jobs(),
        "written": moved.written,
        "known": moved.known,
        "paused": moved.paused,
        "schedules": moved.schedules,
        "went_on": moved.went_on,
        "missing": moved.missing,
        "different": moved.different,
        "checksum_from": format!("{:032x}", moved.sum_from),
        "checksum_to": format!("{:032x}", moved.sum_to),
        "counts": counts.collect::<Vec<_>>(),
        "faults": faults.collect::<Vec<_>>(),
    }))?;
    Ok(())
}

#[cfg(test)]
#[path = "../tests/moving.rs"]
mod tests;
