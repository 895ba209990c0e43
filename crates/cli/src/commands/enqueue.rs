//! `taskwright enqueue`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taskwright_core::limits::SHARDS_MAX;
use taskwright_core::{JobId, Timestamp, parse_duration};
use taskwright_engine::{Enqueued, Start};

use super::kind::Kind;
use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Enqueue a job
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  taskwright enqueue mail.send --args '{\"to\": \"a@example.org\"}'
  taskwright enqueue resize --args @photo.json --queue images --delay 10m --priority 5
  taskwright enqueue sync --args 7 --unique 'sync 7'
  taskwright enqueue reindex --unique reindex --on-conflict debounce --delay 5s --at-most 1m
  taskwright enqueue pay --group tenant-7 --limit-key api:stripe
  taskwright enqueue train --requires 'gpu>=24,region=eu'
  taskwright enqueue scan --args '\"s3://bucket\"' --shards 8")]
pub struct Arguments {
    /// What it is like.
    #[command(flatten)]
    kind: Kind,
    /// Start after this time, like 10m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Start not before this instant, like 2026-11-21T09:30:00Z
    #[arg(long, value_name = "INSTANT", conflicts_with = "delay")]
    run_at: Option<Timestamp>,
    /// Ends as expired if it has not started by then
    #[arg(long, value_name = "INSTANT")]
    expires_at: Option<Timestamp>,
    /// The id, a UUID of your own: enqueueing the same again makes no second job
    #[arg(long, value_name = "UUID")]
    id: Option<JobId>,
    /// Make so many jobs of it, each for its part: the handler is told which one it has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SHARDS_MAX as i64))]
    shards: Option<u32>,
}

/// Enqueues it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let mut request = arguments.kind.request()?;
    request.id = arguments.id;
    request.expires_at = arguments.expires_at;
    request.start = match (arguments.delay, arguments.run_at) {
        (Some(delay), _) => Start::After(delay),
        (None, Some(instant)) => Start::At(instant),
        (None, None) => Start::Now,
    };
    let app = connect::connect_or_create(global).await?;
    let requests = match arguments.shards {
        Some(total) => request.sharded(total)?,
        None => vec![request],
    };
    let enqueued = app.enqueue_requests(requests, false).await?;
    for job in &enqueued {
        print(global, job)?;
    }
    app.close().await?;
    Ok(Exit::Done)
}

fn print(global: &Global, enqueued: &Enqueued) -> Result<()> {
    match enqueued {
        Enqueued::New { id } if global.json => {
            show::print(json!({"id": id.to_string(), "state": "new"}))?;
        }
        Enqueued::Existing { id, state } if global.json => {
            show::print(json!({"id": id.to_string(), "state": state.as_str(), "existing": true}))?;
        }
        Enqueued::Duplicate { id, state, replaced } if global.json => {
            show::print(json!({
                "id": id.to_string(), "state": state.as_str(), "duplicate": true, "replaced": replaced
            }))?;
        }
        Enqueued::New { id } => show::print(id)?,
        Enqueued::Existing { id, state } => {
            show::print(id)?;
            eprintln!("This job was enqueued before; it is {}.", state.as_str());
        }
        Enqueued::Duplicate { id, state, replaced } => {
            show::print(id)?;
            let changed = if *replaced { " It was given fields of this one." } else { "" };
            eprintln!("Job {id} holds the unique key; it is {}.{changed}", state.as_str());
        }
        Enqueued::Refused(refusal) => anyhow::bail!("the job was refused: {refusal}"),
    }
    Ok(())
}
