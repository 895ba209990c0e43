//! Taskwright over HTTP beside beanstalkd and NATS JetStream: bulk enqueue and drain of jobs with
//! 200 bytes of JSON, on this machine, in one run.
//!
//! The three take turns, round after round, so that what else the machine does hits all of them.
//! Each peer has a private server on loopback and the best pipelined client we can write, with
//! several numbers of connections; what stands in the table is the best of these, each the median
//! of the rounds. Taskwright's figures come from `taskwright bench`.

mod beanstalkd;
mod job;
mod nats;
mod report;
mod server;
mod settings;
mod sharing;
mod taskwright;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};

use report::{Report, Who};
use settings::{Settings, USAGE};

fn main() -> ExitCode {
    let settings = match Settings::parse(std::env::args().skip(1)) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<()> {
    let load_before = load();
    let mut rates = Vec::new();
    for round in 1..=settings.rounds {
        for who in Who::ALL.into_iter().filter(|who| who.key().contains(&settings.only)) {
            eprintln!("round {round} of {}: {}", settings.rounds, who.name());
            let measured = match who {
                Who::Beanstalkd => beanstalkd::measure(settings),
                Who::Nats => nats::measure(settings),
                Who::Taskwright => taskwright::measure(settings),
            };
            rates.extend(measured.with_context(|| format!("measuring {}", who.name()))?);
        }
    }
    let report = Report { rates, load_before, load_after: load() };
    let text = if settings.json { report.json_lines() } else { report.table() };
    std::io::stdout().write_all(text.as_bytes()).context("writing the report")
}

/// The load averages of 1, 5 and 15 minutes, or that they are not known.
fn load() -> String {
    let known = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<_> = known.split_whitespace().take(3).collect();
    if averages.is_empty() { "unknown".to_owned() } else { averages.join(" ") }
}
