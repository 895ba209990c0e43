//! `taskwright resume`

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taskwright_core::Name;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Let jobs of a queue start again
#[derive(Debug, Args)]
pub struct Arguments {
    /// The queue
    queue: Name,
}

/// Resumes it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    app.resume(arguments.queue.as_str()).await?;
    app.close().await?;
    if global.json {
        show::print(json!({"queue": arguments.queue.as_str(), "paused": false}))?;
    } else {
        show::print(format_args!("Queue {} is not paused: jobs of it start.", arguments.queue))?;
    }
    Ok(Exit::Done)
}
