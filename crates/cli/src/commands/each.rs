//! `taskwright each`

use std::ffi::OsString;
use std::io::{IsTerminal, stdin};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use taskwright_core::parse_duration;

use super::worker::processors;
use crate::arguments::Global;
use crate::connect;
use crate::each::{self, Place, Settings, Source};
use crate::exit::Exit;
use crate::subprocess::{self, Template};

/// Run a command for each input: a durable, resumable `xargs -P`
#[derive(Debug, Args)]
#[command(after_help = "\
Each input becomes a durable job: whatever is killed, also by `kill -9`, no input is lost, and none
whose completion was recorded runs again.
  - The same command in the same directory resumes a run that was stopped, takes new inputs too, and
    prints the outputs of all of them. Equal inputs are separate; what was given before is known by
    its text and how often it occurred.
  - If inputs failed, the same command tries only those again.
  - Once all have completed the run is removed; the same command begins a new one.
Until then a run is kept in ~/.local/state/taskwright/each (XDG_STATE_HOME), or in --data DIR.
With --store postgres://… it is kept there: the same command with the same --run NAME on several
machines shares its inputs. Its outputs then stay for as long as that store keeps completed jobs.

An input fails if the command exits with anything but 0 (65: for good; 75: not now, try again in a
minute). An output may have 1 MiB, as JSON. What completed commands say on stderr is passed on;
their standard input is empty.

Exit codes: 0 all completed · 1 some failed · 2 wrong usage · 130 Ctrl-C

Examples:
  taskwright each --exec 'sha256sum {}' *.iso > sums
  find . -name '*.png' -print0 | taskwright each --null --jobs 4 --exec 'optipng -o7'
  taskwright each --shell 'gzip -dc \"$1\" | wc -l' *.gz")]
pub struct Arguments {
    /// The inputs; - reads them from standard input, a line each, as does giving none
    #[arg(value_name = "INPUT")]
    inputs: Vec<OsString>,
    /// The command, split as a shell splits words; no shell runs it. {} is replaced by the input,
    /// which stays one argument whatever it contains; without {} it is appended
    #[arg(
        long,
        short,
        value_name = "CMD",
        required_unless_present = "shell",
        conflicts_with = "shell",
        allow_hyphen_values = true
    )]
    exec: Option<OsString>,
    /// A command for `sh -c`, which finds the input in "$1"
    #[arg(long, value_name = "CMD", allow_hyphen_values = true)]
    shell: Option<OsString>,
    /// How many to run at once [default: the number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    jobs: Option<u16>,
    /// Inputs on standard input end with NUL, not with line ends
    #[arg(long, short = '0')]
    null: bool,
    /// Print outputs as they come, not in the order of the inputs
    #[arg(long, short)]
    unordered: bool,
    /// How often an input that failed is tried again, after up to 0.5s, 1s, 2s …
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..10_000))]
    retries: u32,
    /// The longest a command may run before it is killed, like 90s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Stop when an input has failed for good
    #[arg(long)]
    fail_fast: bool,
    /// The name of the run [default: made from the directory and the command]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// Begin a new run: forget one of the same name that was stopped or has failures
    #[arg(long)]
    new: bool,
    /// Show neither progress nor summary
    #[arg(long)]
    quiet: bool,
}

/// Runs them.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    if global.server.is_some() {
        bail!(
            "`each` keeps its run in a store and uses no server; leave out --server, or use --store"
        );
    }
    let template = match (&arguments.exec, &arguments.shell) {
        (Some(exec), _) => Template::split("--exec", exec)?,
        (None, Some(shell)) => Template::shell(shell)?,
        (None, None) => bail!("there is no command; give one with --exec or --shell"),
    };
    let program = String::from_utf8_lossy(&template.words()[0]).into_owned();
    if !program.contains("{}") {
        subprocess::check_program(&program)?;
    }
    let name = match arguments.run {
        Some(name) => name,
        None => {
            let here = std::env::current_dir().context("cannot tell the current directory")?;
            each::name_of(&here, &template)
        }
    };
    let place = match (connect::store(global), &global.data) {
        (Some(url), _) => Place::shared(&url, &name)?,
        (None, Some(directory)) => Place::of(directory, &name)?,
        (None, None) => Place::of(&each::runs_directory()?, &name)?,
    };
    if arguments.new {
        each::forget(&place, global.namespace.as_str()).await?;
    }
    let source = source(arguments.inputs, arguments.null, &place)?;
    let settings = Settings {
        place,
        namespace: global.namespace.clone(),
        template,
        source,
        jobs: arguments.jobs.map_or_else(processors, usize::from),
        retries: arguments.retries,
        timeout: arguments.timeout,
        fail_fast: arguments.fail_fast,
        in_order: !arguments.unordered,
        is_json: global.json,
        is_quiet: arguments.quiet,
    };
    each::run(settings).await
}

/// Where inputs come from; `None` where a run goes on with those it has.
fn source(mut given: Vec<OsString>, is_null: bool, place: &Place) -> Result<Option<Source>> {
    if given.is_empty() {
        if !stdin().is_terminal() {
            given.push("-".into());
        } else if place.exists() {
            return Ok(None);
        } else {
            bail!(
                "there are no inputs; give them after the command, or one a line on standard input"
            );
        }
    }
    let separator = if is_null { b'\0' } else { b'\n' };
    Ok(Some(Source { given, separator }))
}
