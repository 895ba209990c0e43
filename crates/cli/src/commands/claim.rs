//! `taskwright claim`

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use taskwright::Taskwright;
use taskwright_core::limits::{BATCH_MAX, HEARTBEAT_EVERY, LEASE, WAIT_MAX};
use taskwright_core::{
    JobId, Labels, Load, Name, Resources, Token, WorkerId, format_duration, parse_duration,
};
use taskwright_engine::ids::IdSource;
use taskwright_store::{Claim, ClaimedJob, Heartbeat, Outcome, Profile, Report, WorkerInfo};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{line, raw};
use crate::{connect, show};

/// Take a job to run by hand: prints its args and its token
#[derive(Debug, Args)]
#[command(
    after_help = "Say how it went with `taskwright report`. Without --keep that must happen within \
15 s, or the job is lost and runs again.
Exit code 3: there was nothing to claim"
)]
pub struct Arguments {
    /// The queues to take from
    #[arg(long = "queue", short, value_name = "NAME", default_value = "default")]
    queues: Vec<Name>,
    /// Only these tasks [default: all]
    #[arg(long = "task", short, value_name = "NAME")]
    tasks: Vec<Name>,
    /// A label, like gpu=24 or spot; repeat it for others. What jobs require must be met
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// A resource and how much of it is free, like memory=8; repeat it for others. Jobs take from it
    #[arg(long = "resource", value_name = "NAME=AMOUNT")]
    resources: Vec<String>,
    /// The most jobs to take; one that costs more than one slot counts as so many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=BATCH_MAX as i64))]
    max: u16,
    /// How long to wait where nothing is ready, at most 60s
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0s")]
    wait: Duration,
    /// Stay and renew the lease until all are reported; Ctrl-C gives back those that are not
    #[arg(long)]
    keep: bool,
}

#[derive(Serialize)]
struct ClaimedLine<'a> {
    id: String,
    token: String,
    task: &'a str,
    queue: &'a str,
    attempt: u32,
    args: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Box<RawValue>>,
}

/// Claims.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let mut labels = Labels::parse(arguments.labels.iter().map(String::as_str))?;
    if labels.slots().is_none() {
        labels.set_slots(arguments.max.into())?;
    }
    let free = Resources::parse(arguments.resources.iter().map(String::as_str))?;
    for (resource, amount) in free.iter() {
        labels.set_capacity(resource.as_str(), amount)?;
    }
    let app = connect::connect(global).await?;
    let worker = IdSource::default().worker_id()?;
    let tasks = (!arguments.tasks.is_empty()).then_some(arguments.tasks);
    let claim = Claim {
        namespace: global.namespace.clone(),
        worker,
        seq: 1,
        profile: Arc::new(Profile { queues: arguments.queues, tasks, labels }),
        max: arguments.max.into(),
        free,
        wait: arguments.wait.min(WAIT_MAX),
        in_process: false,
    };
    let jobs = app.api().claim(claim).await?;
    for job in &jobs {
        print(global, job)?;
    }
    if jobs.is_empty() {
        eprintln!("There is nothing to claim.");
    } else if arguments.keep {
        keep(&app, worker, &jobs).await?;
    } else if !global.json {
        eprintln!("Report within {}, or claim with --keep.", format_duration(LEASE));
    }
    app.close().await?;
    Ok(if jobs.is_empty() { Exit::Nothing } else { Exit::Done })
}

fn print(global: &Global, job: &ClaimedJob) -> Result<()> {
    if global.json {
        let claimed = ClaimedLine {
            id: job.id.to_string(),
            token: job.token.to_string(),
            task: job.task.as_str(),
            queue: job.queue.as_str(),
            attempt: job.token.attempt,
            args: raw(Some(&job.args)),
            checkpoint: raw(job.checkpoint.as_ref()),
        };
        return Ok(show::print(line(&claimed))?);
    }
    show::print(format_args!(
        "job      {}\ntoken    {}\ntask     {}\nqueue    {}\nattempt  {} of {}\nargs     {}",
        job.id,
        job.token,
        job.task,
        job.queue,
        job.token.attempt,
        job.max_attempts,
        show::harmless(job.args.as_str()),
    ))?;
    Ok(())
}

/// Renews the lease until nothing is held any more.
async fn keep(app: &Taskwright, worker: WorkerId, jobs: &[ClaimedJob]) -> Result<()> {
    let mut held: Vec<(JobId, Token)> = jobs.iter().map(|job| (job.id, job.token)).collect();
    let mut renew = tokio::time::interval(HEARTBEAT_EVERY);
    while !held.is_empty() {
        tokio::select! {
            _ = renew.tick() => {
                let heartbeat = Heartbeat {
                    namespace: app.namespace().clone(),
                    worker,
                    settled: 1,
                    held: held.clone(),
                    progress: Vec::new(),
                    info: WorkerInfo {
                        name: format!("by hand, pid {}", std::process::id()).into(),
                        slots: u32::try_from(jobs.len()).unwrap_or(u32::MAX),
                        stopping: true,
                        load: Load::default(),
                    },
                };
                let reply = app.api().heartbeat(heartbeat).await?;
                held.retain(|job| !reply.lost.contains(job));
                for order in reply.cancel {
                    eprintln!("Job {} should stop: {}", order.id, show::harmless(&order.reason));
                }
            }
            _ = tokio::signal::ctrl_c() => {
                let given_back = held.drain(..).map(|(id, token)| Report {
                    namespace: app.namespace().clone(),
                    id,
                    token,
                    outcome: Outcome::Released,
                });
                app.api().report(given_back.collect()).await?;
            }
        }
    }
    Ok(())
}
