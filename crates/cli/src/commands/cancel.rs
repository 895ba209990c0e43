//! `taskwright cancel`

use anyhow::Result;
use clap::Args;
use taskwright_core::StateName;
use taskwright_store::Command;

use super::batch::{self, Chosen, Wording};
use crate::arguments::Global;
use crate::exit::Exit;

/// Stop jobs: at once if they wait; if they run, their worker is told
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which jobs.
    #[command(flatten)]
    chosen: Chosen,
    /// Why; the job's code and its history are told
    #[arg(long, default_value = "cancelled by an operator")]
    reason: String,
}

const WORDING: Wording = Wording {
    verb: "cancel",
    done: "cancelled",
    states: &[StateName::Available, StateName::Blocked, StateName::Running],
};

/// Cancels them.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let reason: std::sync::Arc<str> = arguments.reason.into();
    batch::run(global, arguments.chosen, &WORDING, |namespace, id| Command::Cancel {
        namespace,
        id,
        reason: reason.clone(),
    })
    .await
}
