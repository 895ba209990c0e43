//! `taskwright nodes`

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{NodeLine, line};
use crate::{connect, show};

/// List the processes that have the store open
#[derive(Debug, Args)]
#[command(
    after_help = "With --store postgres://… this command is one of them. A process that was killed stays in the\n\
list for some minutes: LAST SEEN tells."
)]
pub struct Arguments {}

/// Lists them.
pub async fn run(global: &Global, _: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let nodes = app.nodes().await?;
    app.close().await?;
    if global.json {
        for node in &nodes {
            show::print(line(&NodeLine::from(node)))?;
        }
        return Ok(Exit::Done);
    }
    let heads = [">EPOCH", "NAME", "VERSION", "STARTED", "LAST SEEN"];
    let mut table = show::table(&std::io::stdout(), &heads);
    for node in &nodes {
        table.add_row([
            Cell::new(node.epoch),
            Cell::new(show::short(&node.name, 60)),
            Cell::new(show::short(&node.version, 20)),
            Cell::new(show::relative(node.started_at)),
            Cell::new(show::relative(node.seen_at)),
        ]);
    }
    show::print(show::rendered(&table))?;
    Ok(Exit::Done)
}
