//! `taskwright queues`

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;
use taskwright_store::QueueCounts;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{QueueLine, line};
use crate::{connect, show};

/// List queues with the numbers of their jobs
#[derive(Debug, Args)]
pub struct Arguments {}

/// Lists them.
pub async fn run(global: &Global, _: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let queues = app.counts().await?;
    app.close().await?;
    if global.json {
        for counts in &queues {
            show::print(line(&QueueLine::from(counts)))?;
        }
    } else if queues.is_empty() {
        eprintln!("There are no queues: nothing was enqueued yet.");
    } else {
        show::print(show::rendered(&table(&queues)))?;
    }
    Ok(Exit::Done)
}

fn table(queues: &[QueueCounts]) -> comfy_table::Table {
    let heads = [
        "QUEUE",
        ">READY",
        ">IN LINE",
        ">SCHEDULED",
        ">RUNNING",
        ">COMPLETED",
        ">DEAD",
        ">CANCELLED",
        ">EXPIRED",
        "OLDEST READY",
    ];
    let mut table = show::table(&std::io::stdout(), &heads);
    for counts in queues {
        let paused = if counts.paused { " (paused)" } else { "" };
        let mut row = vec![Cell::new(format!("{}{paused}", counts.queue))];
        let numbers = [
            counts.ready + counts.blocked,
            counts.in_line,
            counts.scheduled,
            counts.running,
            counts.completed,
            counts.dead,
            counts.cancelled,
            counts.expired,
        ];
        row.extend(numbers.map(|number| Cell::new(show::count(number))));
        row.push(Cell::new(counts.oldest_ready_at.map(show::relative).unwrap_or_default()));
        table.add_row(row);
    }
    table
}
