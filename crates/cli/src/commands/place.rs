//! `taskwright place`

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;
use serde_json::json;
use taskwright_core::{Name, Requirement};
use taskwright_engine::{PlaceRequest, Placed, Placement};

use super::kind::taking;
use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{LoadLine, amounts};
use crate::{connect, show};

/// Tell which workers may run a job, and why the others may not
#[derive(Debug, Args)]
#[command(after_help = "It enqueues nothing. Exit code 3: no worker matches

Example:
  taskwright place --task train --requires 'gpu>=24,region=eu' --explain")]
pub struct Arguments {
    /// The task
    #[arg(long, short, value_name = "NAME")]
    task: Name,
    /// The queue
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    queue: Name,
    /// What it would require, like 'gpu>=24,region in (eu us),!spot'
    #[arg(long, value_name = "TERMS")]
    requires: Option<Requirement>,
    /// How much it would take of a resource, like memory=8; repeat it for others
    #[arg(long = "take", value_name = "NAME=AMOUNT")]
    takes: Vec<String>,
    /// List every worker, with what excludes it
    #[arg(long)]
    explain: bool,
}

/// Tells.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let request = PlaceRequest {
        namespace: global.namespace.clone(),
        queue: arguments.queue,
        task: arguments.task,
        requires: taking(arguments.requires.unwrap_or_default(), &arguments.takes)?,
    };
    let app = connect::connect(global).await?;
    let placement = app.api().place(request).await?;
    app.close().await?;
    if global.json {
        show::print(object(&placement, arguments.explain))?;
    } else {
        show::print(show::harmless(&placement.verdict))?;
        if arguments.explain && !placement.workers.is_empty() {
            show::print(show::rendered(&table(&placement)))?;
        }
    }
    Ok(if placement.workers.iter().any(Placed::matches) { Exit::Done } else { Exit::Nothing })
}

fn table(placement: &Placement) -> comfy_table::Table {
    let heads = ["WORKER", "NAME", "LABELS", ">RUNNING", ">SLOTS", "LOAD", "MATCHES"];
    let mut table = show::table(&std::io::stdout(), &heads);
    for worker in &placement.workers {
        let details = worker.excluded.iter().map(|exclusion| exclusion.detail.as_str());
        let details = details.collect::<Vec<_>>().join("; ");
        let matches = match (worker.matches(), worker.load.explain()) {
            (true, None) => "yes".to_owned(),
            (true, Some(takes)) => format!("yes, but {takes}"),
            (false, _) => format!("no: {details}"),
        };
        table.add_row([
            Cell::new(worker.id),
            Cell::new(show::short(&worker.name, 40)),
            Cell::new(show::short(&show::has(&worker.labels, &worker.resources_taken), 60)),
            Cell::new(worker.running),
            Cell::new(worker.slots),
            Cell::new(worker.load.measured),
            Cell::new(show::harmless(&matches)),
        ]);
    }
    table
}

fn object(placement: &Placement, explain: bool) -> serde_json::Value {
    let mut object = json!({ "verdict": placement.verdict });
    if explain {
        let workers = placement.workers.iter().map(worker).collect::<Vec<_>>();
        object["workers"] = workers.into();
    }
    object
}

fn worker(worker: &Placed) -> serde_json::Value {
    let exclusions = worker
        .excluded
        .iter()
        .map(|exclusion| json!({ "rule": exclusion.rule.as_str(), "detail": exclusion.detail }));
    json!({
        "id": worker.id.to_string(),
        "name": &*worker.name,
        "slots": worker.slots,
        "running": worker.running,
        "labels": worker.labels.without_resources().texts(),
        "resources": amounts(&worker.labels.capacities()),
        "resources_taken": amounts(&worker.resources_taken),
        "load": LoadLine::from(worker.load),
        "matches": worker.matches(),
        "excluded": exclusions.collect::<Vec<_>>(),
    })
}
