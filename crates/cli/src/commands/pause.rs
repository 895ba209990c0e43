//! `taskwright pause`

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taskwright_core::Name;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Let no job of a queue start; those that run go on
#[derive(Debug, Args)]
pub struct Arguments {
    /// The queue
    queue: Name,
}

/// Pauses it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    app.pause(arguments.queue.as_str()).await?;
    app.close().await?;
    if global.json {
        show::print(json!({"queue": arguments.queue.as_str(), "paused": true}))?;
    } else {
        show::print(format_args!("Queue {} is paused: no job of it starts.", arguments.queue))?;
    }
    Ok(Exit::Done)
}
