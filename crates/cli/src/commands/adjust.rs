//! `taskwright adjust`

use std::time::Duration;

use anyhow::Result;
use clap::{ArgGroup, Args};
use taskwright_core::{StateName, Timestamp, parse_duration};
use taskwright_store::Command;

use super::batch::{self, Chosen, Wording};
use crate::arguments::Global;
use crate::connect;
use crate::exit::Exit;

/// Change the priority of jobs that wait, or when they are due; with --queue, of all that wait there
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("change").required(true).multiple(true).args(["priority", "delay", "run_at"]),
    after_help = "Examples:
  taskwright adjust 019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42 --priority 9 --delay 0s
  taskwright adjust --queue mail --run-at 2026-11-22T06:00:00Z"
)]
pub struct Arguments {
    /// Which jobs.
    #[command(flatten)]
    chosen: Chosen,
    /// From -10 (least urgent) to 10 (most urgent)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i8>,
    /// Start so long from now, like 10m; 0s starts them as soon as a worker is free
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Start not before this instant, like 2026-11-21T09:30:00Z
    #[arg(long, value_name = "INSTANT", conflicts_with = "delay")]
    run_at: Option<Timestamp>,
}

const WORDING: Wording =
    Wording { verb: "adjust", done: "adjusted", states: &[StateName::Available] };

/// Adjusts them.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let priority = arguments.priority;
    let run_at = match arguments.delay {
        // By the store's clock, which may not be that of this machine.
        Some(delay) => Some(app.describe().await?.now.plus(delay)),
        None => arguments.run_at,
    };
    batch::run_with(global, app, arguments.chosen, &WORDING, None, |namespace, id| {
        Command::Adjust { namespace, id, priority, run_at }
    })
    .await
}
