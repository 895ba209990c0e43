//! `taskwright enqueue`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taskwright_core::{JobId, Name, Requirement, RetryPolicy, Timestamp, parse_duration};
use taskwright_engine::{Enqueued, JobRequest, Start};

use super::keys::Keys;
use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, payload, show};

/// Enqueue a job
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  taskwright enqueue mail.send --args '{\"to\": \"a@example.org\"}'
  taskwright enqueue resize --args @photo.json --queue images --delay 10m --priority 5
  taskwright enqueue sync --args 7 --unique 'sync 7'
  taskwright enqueue reindex --unique reindex --on-conflict debounce --delay 5s --at-most 1m
  taskwright enqueue pay --group tenant-7 --limit-key api:stripe
  taskwright enqueue train --requires 'gpu>=24,region=eu'")]
pub struct Arguments {
    /// The task to run
    task: Name,
    /// The input, JSON: as it is, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "null")]
    args: String,
    /// The queue to wait in
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    queue: Name,
    /// From -10 (least urgent) to 10 (most urgent)
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i8,
    /// Start after this time, like 10m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Start not before this instant, like 2026-11-21T09:30:00Z
    #[arg(long, value_name = "INSTANT", conflicts_with = "delay")]
    run_at: Option<Timestamp>,
    /// Dead at so many failures [default: 20]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// The longest an attempt may run, like 90s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// The wait before each further attempt [default: a random time of up to 2s, 4s, 8s …]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    retry_delay: Option<Duration>,
    /// Ends as expired if it has not started by then
    #[arg(long, value_name = "INSTANT")]
    expires_at: Option<Timestamp>,
    /// A word to find it by; up to 8
    #[arg(long = "tag", value_name = "WORD")]
    tags: Vec<String>,
    /// What the labels of its worker must meet, like 'gpu>=24,region in (eu us),!spot'
    #[arg(long, value_name = "TERMS")]
    requires: Option<Requirement>,
    /// The id, a UUID of your own: enqueueing the same again makes no second job
    #[arg(long, value_name = "UUID")]
    id: Option<JobId>,
    /// Its keys.
    #[command(flatten)]
    keys: Keys,
}

/// Enqueues it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let args = payload::read("--args", &arguments.args)?;
    let mut request = JobRequest::new(arguments.task, args);
    request.id = arguments.id;
    request.queue = arguments.queue;
    request.priority = arguments.priority;
    request.max_attempts = arguments.max_attempts;
    request.timeout = arguments.timeout;
    request.expires_at = arguments.expires_at;
    request.tags = arguments.tags.iter().map(|tag| tag.as_str().into()).collect();
    request.requires = arguments.requires.unwrap_or_default();
    request.retry = arguments.retry_delay.map(|delay| RetryPolicy::Fixed {
        delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
    });
    request.start = match (arguments.delay, arguments.run_at) {
        (Some(delay), _) => Start::After(delay),
        (None, Some(instant)) => Start::At(instant),
        (None, None) => Start::Now,
    };
    arguments.keys.apply(&mut request)?;
    let app = connect::connect_or_create(global).await?;
    let enqueued = app.enqueue_requests(vec![request], false).await?;
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
