//! `taskwright workers`

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;
use taskwright_store::{Profile, WorkerView};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{WorkerLine, line};
use crate::{connect, show};

/// List workers
#[derive(Debug, Args)]
pub struct Arguments {}

/// Lists them.
pub async fn run(global: &Global, _: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let workers = app.workers().await?;
    app.close().await?;
    if global.json {
        for worker in &workers {
            show::print(line(&WorkerLine::from(worker)))?;
        }
        return Ok(Exit::Done);
    }
    if workers.is_empty() {
        eprintln!("There are no workers; start one with `taskwright worker`.");
        return Ok(Exit::Done);
    }
    let heads = ["ID", "NAME", "LABELS", ">RUNNING", ">SLOTS", "LOAD", "STARTED", "LAST SEEN", ""];
    let mut table = show::table(&std::io::stdout(), &heads);
    for worker in &workers {
        table.add_row([
            Cell::new(worker.id),
            Cell::new(show::short(&worker.info.name, 40)),
            Cell::new(show::short(&labels(worker), 60)),
            Cell::new(worker.running),
            Cell::new(worker.info.slots),
            Cell::new(worker.info.load.measured),
            Cell::new(show::relative(worker.first_seen_at)),
            Cell::new(show::relative(worker.last_seen_at)),
            Cell::new(note(worker)),
        ]);
    }
    show::print(show::rendered(&table))?;
    Ok(Exit::Done)
}

fn note(worker: &WorkerView) -> String {
    match worker.info.stopping {
        true => "stopping".to_owned(),
        false => worker.info.load.explain().unwrap_or_default(),
    }
}

fn labels(worker: &WorkerView) -> String {
    let has = |profile: &Arc<Profile>| show::has(&profile.labels, &worker.resources_taken);
    worker.profile.as_ref().map(has).unwrap_or_default()
}
