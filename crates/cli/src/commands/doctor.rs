//! `taskwright doctor`

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Say what the store is, what it promises and how it is
#[derive(Debug, Args)]
pub struct Arguments {}

/// Asks the store.
pub async fn run(global: &Global, _: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let description = app.describe().await?;
    app.close().await?;
    let class = description.durability.class();
    if global.json {
        let facts: serde_json::Map<String, serde_json::Value> =
            description.facts.iter().map(|(name, fact)| (name.to_string(), json!(fact))).collect();
        show::print(json!({
            "kind": description.kind,
            "location": description.location,
            "durability": class,
            "epoch": description.epoch,
            "now": description.now.to_string(),
            "facts": facts,
        }))?;
        return Ok(Exit::Done);
    }
    let promise = match class {
        "D3" => "synced on several machines before the answer",
        "D2" => "on disk and synced before the answer",
        "D1" => "a crash of the machine may lose about a second",
        _ => "in memory, gone with its process",
    };
    let mut lines = vec![
        ("store", format!("{} at {}", description.kind, description.location)),
        ("durability", format!("{class}: {promise}")),
        ("opened", show::counted(description.epoch.into(), "time")),
        ("time", show::instant(description.now)),
    ];
    lines.extend(description.facts.iter().map(|(name, fact)| (&**name, fact.clone())));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in lines {
        show::print(format_args!("{name:<width$}  {value}"))?;
    }
    Ok(Exit::Done)
}
