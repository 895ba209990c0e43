//! `taskwright redrive`

use anyhow::Result;
use clap::Args;
use taskwright_core::{Rate, StateName};
use taskwright_store::Command;

use super::batch::{self, Chosen, Wording};
use super::limit::parse_rate;
use crate::arguments::Global;
use crate::connect;
use crate::exit::Exit;

/// Restart jobs that have ended; with --queue, its dead jobs
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  taskwright redrive 019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42
  taskwright redrive --queue mail --task send --rate 100/1m
  taskwright redrive --queue default --tag schedule:nightly --attempts 3")]
pub struct Arguments {
    /// Which jobs.
    #[command(flatten)]
    chosen: Chosen,
    /// How often each may fail from now on [default: as often as when it was enqueued]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    attempts: u32,
    /// So many in each TIME, like 100/1m, so that what failed before is not flooded
    #[arg(long, value_name = "N/TIME", value_parser = parse_pace)]
    rate: Option<Rate>,
}

const WORDING: Wording = Wording { verb: "redrive", done: "redriven", states: &[StateName::Dead] };

/// Redrives them.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let attempts = arguments.attempts;
    let redrive = |namespace, id| Command::Redrive { namespace, id, attempts };
    let app = connect::connect(global).await?;
    batch::run_with(global, app, arguments.chosen, &WORDING, arguments.rate, redrive).await
}

fn parse_pace(text: &str) -> Result<Rate, String> {
    let rate = parse_rate(text)?;
    if rate.count == 0 || rate.period_ms == 0 {
        return Err("it has a zero; give at least 1 job in at least 1ms, like 100/1m".to_owned());
    }
    Ok(rate)
}
