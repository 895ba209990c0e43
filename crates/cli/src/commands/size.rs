//! `taskwright size`

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taskwright_core::Name;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Tell how many jobs of a queue have not ended
#[derive(Debug, Args)]
pub struct Arguments {
    /// The queue
    queue: Name,
    /// Print nothing; exit with 0 if the queue is empty, with 1 if not
    #[arg(long)]
    is_empty: bool,
}

/// Tells.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let size = app.size(arguments.queue.as_str()).await?;
    app.close().await?;
    if arguments.is_empty {
        return Ok(if size == 0 { Exit::Done } else { Exit::Failed });
    }
    if global.json {
        show::print(
            json!({"queue": arguments.queue.as_str(), "size": size, "is_empty": size == 0}),
        )?;
    } else {
        show::print(size)?;
    }
    Ok(Exit::Done)
}
