//! `taskwright peek`

use anyhow::Result;
use clap::Args;
use taskwright_core::Name;

use super::jobs::table;
use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{JobLine, line};
use crate::{connect, show};

/// Show the next jobs of a queue, in the order in which they would be claimed
#[derive(Debug, Args)]
pub struct Arguments {
    /// The queue
    queue: Name,
    /// The most to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// Shows them; nothing is claimed.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let jobs = app.peek(arguments.queue.as_str(), arguments.limit).await?;
    app.close().await?;
    if global.json {
        for job in &jobs {
            show::print(line(&JobLine::from(job)))?;
        }
    } else if jobs.is_empty() {
        eprintln!("No job of queue {} is ready.", arguments.queue);
    } else {
        show::print(show::rendered(&table(&jobs)))?;
    }
    Ok(Exit::Done)
}
