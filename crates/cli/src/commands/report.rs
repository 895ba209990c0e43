//! `taskwright report`

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use taskwright_core::{JobError, JobId, Token, parse_duration};
use taskwright_store::{Outcome, Report, Reported, Retry};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, payload, show};

/// Say how a job that was claimed by hand went
#[derive(Debug, Args)]
pub struct Arguments {
    /// The job
    id: JobId,
    /// Its token, as `taskwright claim` printed it
    token: Token,
    /// How it went
    #[arg(value_enum)]
    outcome: Word,
    /// completed: the result, JSON: as it is, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    result: Option<String>,
    /// failed: what went wrong
    #[arg(long, value_name = "TEXT", default_value = "failed, said an operator")]
    error: String,
    /// failed: no other attempt could succeed
    #[arg(long = "final")]
    is_final: bool,
    /// failed, snoozed: when to run it again
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Word {
    /// It is done
    Completed,
    /// It failed; it runs again, unless that was its last attempt
    Failed,
    /// It should run again later, unspent
    Snoozed,
    /// Somebody else should run it, unspent
    Released,
}

/// Reports it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let (id, token) = (arguments.id, arguments.token);
    let outcome = outcome(&arguments)?;
    let app = connect::connect(global).await?;
    let report = Report { namespace: global.namespace.clone(), id, token, outcome };
    let answers = app.api().report(vec![report]).await?;
    app.close().await?;
    match answers.first() {
        Some(Reported::Applied { state }) if global.json => {
            show::print(json!({"id": id.to_string(), "applied": true, "state": state.as_str()}))?;
        }
        Some(Reported::Applied { state }) => {
            show::print(format_args!("Job {id} is now {}.", state.as_str()))?;
        }
        Some(Reported::Already) if global.json => {
            show::print(json!({"id": id.to_string(), "applied": true, "already": true}))?;
        }
        Some(Reported::Already) => show::print(format_args!("This was reported before."))?,
        Some(Reported::Stale) => bail!(
            "the report on job {id} was refused: the attempt with token {token} is over, its lease may have ended; claim the job again"
        ),
        Some(Reported::Unknown) | None => {
            eprintln!("taskwright: there is no job {id}; see `taskwright jobs`");
            return Ok(Exit::Nothing);
        }
    }
    Ok(Exit::Done)
}

fn outcome(arguments: &Arguments) -> Result<Outcome> {
    let result = arguments.result.as_deref();
    Ok(match arguments.outcome {
        Word::Completed => {
            let result = result.map(|result| payload::read("--result", result)).transpose()?;
            Outcome::Completed { result }
        }
        Word::Failed => {
            let retry = match arguments.delay {
                _ if arguments.is_final => Retry::Never,
                Some(delay) => Retry::After(delay),
                None => Retry::ByPolicy,
            };
            Outcome::Failed { error: JobError::new("error", &arguments.error), retry }
        }
        Word::Snoozed => match arguments.delay {
            Some(delay) => Outcome::Snoozed { delay },
            None => bail!("a snoozed job needs to know until when; add --delay 10m"),
        },
        Word::Released => Outcome::Released,
    })
}
