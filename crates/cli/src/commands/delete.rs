//! `taskwright delete`

use anyhow::Result;
use clap::Args;
use taskwright_core::StateName;
use taskwright_store::Command;

use super::batch::{self, Chosen, Wording};
use crate::arguments::Global;
use crate::exit::Exit;

/// Remove jobs that have ended, with their results; with --queue, all ended jobs of it
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which jobs.
    #[command(flatten)]
    chosen: Chosen,
}

const WORDING: Wording = Wording {
    verb: "delete",
    done: "deleted",
    states: &[StateName::Completed, StateName::Dead, StateName::Cancelled, StateName::Expired],
};

/// Deletes them.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    batch::run(global, arguments.chosen, &WORDING, |namespace, id| Command::Delete {
        namespace,
        id,
    })
    .await
}
