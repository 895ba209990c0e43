//! `taskwright redrive`

use anyhow::Result;
use clap::Args;
use taskwright_core::StateName;
use taskwright_store::Command;

use super::batch::{self, Chosen, Wording};
use crate::arguments::Global;
use crate::exit::Exit;

/// Restart jobs that have ended; with --queue, its dead jobs
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which jobs.
    #[command(flatten)]
    chosen: Chosen,
    /// How often each may fail from now on [default: as often as when it was enqueued]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    attempts: u32,
}

const WORDING: Wording = Wording { verb: "redrive", done: "redriven", states: &[StateName::Dead] };

/// Redrives them.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let attempts = arguments.attempts;
    batch::run(global, arguments.chosen, &WORDING, |namespace, id| Command::Redrive {
        namespace,
        id,
        attempts,
    })
    .await
}
