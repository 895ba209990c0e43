//! `taskwright schedules preview`

use anyhow::{Result, bail};
use clap::{Args, value_parser};
use serde_json::json;
use taskwright_core::schedule::Zone;
use taskwright_core::{Json, Name};
use taskwright_engine::JobRequest;

use super::set::When;
use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Show the next instants of a schedule, or of one that is not set
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  taskwright schedules preview nightly
  taskwright schedules preview --cron '30 2 * * *' --zone Europe/Berlin -n 400")]
pub struct Arguments {
    /// A schedule that is set
    name: Option<Name>,
    /// When it is due.
    #[command(flatten)]
    when: When,
    /// So many instants, at most 1000
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = value_parser!(u16).range(1..=1_000))]
    n: u16,
}

/// Shows them.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let Arguments { name, when, n } = arguments;
    let app = connect::connect_or_create(global).await?;
    let spec = match (name, when.is_given()) {
        (Some(_), true) => bail!("name a schedule, or say when it is due, but not both"),
        (None, _) => {
            let nothing = Name::default_name();
            when.spec(nothing.clone(), JobRequest::new(nothing, Json::null()))?
        }
        (Some(name), false) => match app.schedule(name.as_str()).await? {
            Some(view) => view.spec,
            None => {
                app.close().await?;
                eprintln!("There is no schedule {name}.");
                return Ok(Exit::Nothing);
            }
        },
    };
    let zone = Zone::named(&spec.zone).unwrap_or_else(|_| Zone::utc());
    let previewed = app.preview(spec, n.into()).await;
    app.close().await?;
    let instants = previewed?;
    for instant in &instants {
        if global.json {
            show::print(json!({ "at": instant.to_string(), "local": zone.show(*instant) }))?;
        } else {
            show::print(format!("{}  ({})", zone.show(*instant), show::relative(*instant)))?;
        }
    }
    if instants.is_empty() {
        eprintln!("Nothing is due any more.");
    }
    Ok(Exit::Done)
}
