//! What the command line asks for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::report::Who;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: taskwright-peers [--quick] [--json] [--rounds N] [--only TEXT]

Measures beanstalkd, NATS JetStream and Taskwright in turn and prints a table.

  --quick     short runs: for a first look, not for figures to quote
  --json      one JSON object a line
  --rounds N  how often each takes its turn, 1 to 99 [default: 3]
  --only TEXT only those whose name contains this: beanstalkd, nats, taskwright

TASKWRIGHT_BIN is the taskwright command [default: ./target/release/taskwright].
Servers keep their files below TMPDIR: let it be on the disk to be measured.";

const MOST_ROUNDS: usize = 99;

/// What to measure, and how to tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Short runs.
    pub quick: bool,
    /// One JSON object a line instead of a table.
    pub json: bool,
    /// How often each takes its turn.
    pub rounds: usize,
    /// Only those whose name contains this.
    pub only: String,
    /// The `taskwright` command.
    pub taskwright: PathBuf,
}

impl Settings {
    /// Reads the arguments after the program's name; `None` when they ask for help.
    ///
    /// # Errors
    /// When an argument is not known or has no good value.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let command = std::env::var_os("TASKWRIGHT_BIN");
        let mut settings = Settings {
            quick: false,
            json: false,
            rounds: 3,
            only: String::new(),
            taskwright: command.unwrap_or_else(|| "./target/release/taskwright".into()).into(),
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => settings.quick = true,
                "--json" => settings.json = true,
                "--rounds" => {
                    let given = arguments.next().unwrap_or_default();
                    let rounds = given.parse().ok().filter(|n| (1..=MOST_ROUNDS).contains(n));
                    settings.rounds = rounds.with_context(|| {
                        format!("--rounds wants a number from 1 to {MOST_ROUNDS}, not {given:?}")
                    })?;
                }
                "--only" => {
                    let given = arguments.next().unwrap_or_default();
                    if !Who::ALL.iter().any(|who| who.key().contains(&given)) || given.is_empty() {
                        bail!(
                            "--only wants (part of) beanstalkd, nats or taskwright, not {given:?}"
                        );
                    }
                    settings.only = given;
                }
                "--help" | "-h" => return Ok(None),
                unknown => bail!("there is no {unknown:?}; --help tells what there is"),
            }
        }
        Ok(Some(settings))
    }

    /// How many jobs a peer enqueues and drains in one measurement.
    pub const fn jobs(&self) -> u32 {
        if self.quick { 40_000 } else { 300_000 }
    }
}

#[cfg(test)]
#[path = "tests/settings.rs"]
mod tests;
