//! `taskwright schedules plan` and `apply`: schedules as a file says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use taskwright::{ScheduleSpec, Taskwright};
use taskwright_core::{Name, parse_duration};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Fields that a file writes as durations, like 90s; the API has them in milliseconds.
const DURATIONS: [&str; 5] = ["every", "jitter", "catch_up_window", "timeout", "unique_for"];

#[derive(Debug, Args)]
#[command(
    after_help = "The file is TOML, with the fields of the API; durations may be written as texts:

  [[calendar]]
  name = \"holidays\"
  file = \"holidays.ics\"      # beside this file; or: dates = [\"2026-12-25\"]

  [[schedule]]
  name = \"nightly\"
  cron = \"30 2 * * mon-fri\"
  zone = \"Europe/Berlin\"
  exclude = [\"holidays\"]
  jitter = \"5m\"
  job = { task = \"report\", queue = \"slow\", args = { day = \"yesterday\" } }"
)]
pub struct Arguments {
    /// The file
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Remove the schedules that the file does not name
    #[arg(long)]
    prune: bool,
}

/// What a file says.
struct Wished {
    /// By name, with their texts.
    calendars: Vec<(Name, String)>,
    schedules: Vec<ScheduleSpec>,
}

/// A field that differs: its name, and what it was and is to be.
type Difference = (String, Value, Value);

/// What is to be done.
struct Changes {
    created: Vec<ScheduleSpec>,
    /// With the fields that differ.
    changed: Vec<(ScheduleSpec, Vec<Difference>)>,
    removed: Vec<Name>,
    unchanged: usize,
}

impl Wished {
    fn read(path: &Path, namespace: &Name) -> Result<Wished> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let table: toml::Table =
            toml::from_str(&text).with_context(|| format!("{} is not TOML", path.display()))?;
        let mut wished = Wished { calendars: Vec::new(), schedules: Vec::new() };
        for (key, value) in table {
            let toml::Value::Array(items) = value else {
                bail!("{}: {key:?} is no list; write [[schedule]] or [[calendar]]", path.display());
            };
            for (number, item) in items.into_iter().enumerate() {
                let at = || format!("{}: [[{key}]] number {}", path.display(), number + 1);
                match key.as_str() {
                    "schedule" => {
                        let spec = schedule(item, namespace).with_context(at)?;
                        if wished.schedules.iter().any(|other| other.name == spec.name) {
                            bail!("{}: {} is there twice", path.display(), spec.name);
                        }
                        wished.schedules.push(spec);
                    }
                    "calendar" => wished.calendars.push(calendar(item, path).with_context(at)?),
                    other => bail!(
                        "{}: there is no {other:?}; write [[schedule]] or [[calendar]]",
                        path.display()
                    ),
                }
            }
        }
        Ok(wished)
    }

    fn changes(&self, views: Vec<ScheduleSpec>, prune: bool) -> Changes {
        let mut before: BTreeMap<Name, ScheduleSpec> =
            views.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let (mut created, mut changed, mut unchanged) = (Vec::new(), Vec::new(), 0);
        for spec in &self.schedules {
            match before.remove(&spec.name) {
                None => created.push(spec.clone()),
                Some(old) => match differences(&fields(&old), &fields(spec)) {
                    differing if differing.is_empty() => unchanged += 1,
                    differing => changed.push((spec.clone(), differing)),
                },
            }
        }
        let removed = if prune { before.into_keys().collect() } else { Vec::new() };
        Changes { created, changed, removed, unchanged }
    }
}

fn schedule(item: toml::Value, namespace: &Name) -> Result<ScheduleSpec> {
    let mut value = json_of(item);
    let millis = |fields: &mut Map<String, Value>| -> Result<()> {
        for field in DURATIONS {
            if let Some(Value::String(text)) = fields.get(field) {
                let duration = parse_duration(text).with_context(|| field.to_owned())?;
                let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                fields.remove(field);
                fields.insert(format!("{field}_ms"), json!(millis));
            }
        }
        Ok(())
    };
    if let Value::Object(fields) = &mut value {
        millis(fields)?;
        if let Some(Value::Object(job)) = fields.get_mut("job") {
            millis(job)?;
        }
    }
    Ok(taskwright_protocol::read_schedule(value.to_string().as_bytes(), namespace)?)
}

fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(at) => Value::String(at.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json_of).collect()),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json_of(value))).collect())
        }
    }
}

fn calendar(item: toml::Value, path: &Path) -> Result<(Name, String)> {
    let Value::Object(mut fields) = json_of(item) else { bail!("it has no fields") };
    let name = match fields.remove("name") {
        Some(Value::String(name)) => Name::new(&name)?,
        _ => bail!("it has no name"),
    };
    let text = match (fields.remove("file"), fields.remove("dates")) {
        (Some(Value::String(file)), None) => {
            let file = path.parent().unwrap_or(Path::new(".")).join(file);
            std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?
        }
        (None, Some(Value::Array(dates))) => {
            let dates = dates.iter().map(|date| date.as_str().map(str::to_owned));
            let dates: Option<Vec<_>> = dates.collect();
            dates.context("its dates are no list of texts")?.join("\n")
        }
        _ => bail!("give it either a file or a list of dates"),
    };
    match fields.keys().next() {
        None => Ok((name, text)),
        Some(field) => bail!("it has an unknown field {field:?}"),
    }
}

/// The fields of a schedule as the API has them.
fn fields(spec: &ScheduleSpec) -> Map<String, Value> {
    let text = taskwright_protocol::write_schedule(spec);
    match serde_json::from_slice(&text) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Difference> {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let of =
        |fields: &Map<String, Value>, key: &str| fields.get(key).cloned().unwrap_or(Value::Null);
    let mut found = Vec::new();
    for key in keys {
        match (of(before, key), of(after, key)) {
            (Value::Object(old), Value::Object(new)) if key == "job" => {
                let inner = differences(&old, &new).into_iter();
                found.extend(inner.map(|(field, old, new)| (format!("job.{field}"), old, new)));
            }
            (old, new) if old != new => found.push((key.clone(), old, new)),
            _ => {}
        }
    }
    found
}

/// Shows what applying the file would do.
pub async fn plan(global: &Global, arguments: &Arguments) -> Result<Exit> {
    let wished = Wished::read(&arguments.path, &global.namespace)?;
    let app = connect::connect_or_create(global).await?;
    let planned = planned(&app, &wished, arguments.prune).await;
    app.close().await?;
    print(global, &wished, &planned?, false)?;
    Ok(Exit::Done)
}

/// Does it.
pub async fn apply(global: &Global, arguments: &Arguments) -> Result<Exit> {
    let wished = Wished::read(&arguments.path, &global.namespace)?;
    let app = connect::connect_or_create(global).await?;
    let applied = applied(&app, &wished, arguments.prune).await;
    app.close().await?;
    print(global, &wished, &applied?, true)?;
    Ok(Exit::Done)
}

async fn planned(app: &Taskwright, wished: &Wished, prune: bool) -> Result<Changes> {
    let before = app.schedules().await?.into_iter().map(|view| view.spec).collect();
    let changes = wished.changes(before, prune);
    let loaded: Vec<&Name> = wished.calendars.iter().map(|(name, _)| name).collect();
    let changed = changes.changed.iter().map(|(spec, _)| spec);
    for spec in changes.created.iter().chain(changed) {
        // One whose calendars are yet to be loaded cannot be tried.
        if !spec.exclude.iter().any(|name| loaded.contains(&name)) {
            app.preview(spec.clone(), 1).await?;
        }
    }
    Ok(changes)
}

async fn applied(app: &Taskwright, wished: &Wished, prune: bool) -> Result<Changes> {
    let changes = planned(app, wished, prune).await?;
    for (name, text) in &wished.calendars {
        app.set_calendar(name.as_str(), text).await?;
    }
    let changed = changes.changed.iter().map(|(spec, _)| spec);
    for spec in changes.created.iter().chain(changed) {
        app.set_schedule(spec.clone()).await?;
    }
    for name in &changes.removed {
        app.remove_schedule(name.as_str()).await?;
    }
    Ok(changes)
}

fn print(global: &Global, wished: &Wished, changes: &Changes, is_done: bool) -> Result<()> {
    if global.json {
        return print_json(wished, changes);
    }
    for (name, _) in &wished.calendars {
        show::print(format!("> calendar {name}"))?;
    }
    for spec in &changes.created {
        let when = super::view::when(&spec.when);
        show::print(format!("+ {}: {when} ({}), task {}", spec.name, spec.zone, spec.job.task))?;
    }
    for (spec, differing) in &changes.changed {
        show::print(format!("~ {}", spec.name))?;
        for (field, before, after) in differing {
            let line = format!("    {field}: {before} -> {after}");
            show::print(show::short(&line, 200))?;
        }
    }
    for name in &changes.removed {
        show::print(format!("- {name}"))?;
    }
    let [created, changed, removed] =
        [changes.created.len(), changes.changed.len(), changes.removed.len()];
    let tense = if is_done { "" } else { " to be" };
    show::print(format!(
        "{created}{tense} created, {changed}{tense} changed, {removed}{tense} removed, {} as they are.",
        changes.unchanged
    ))?;
    Ok(())
}

fn print_json(wished: &Wished, changes: &Changes) -> Result<()> {
    for (name, _) in &wished.calendars {
        show::print(json!({ "calendar": name.as_str() }))?;
    }
    for spec in &changes.created {
        show::print(json!({ "name": spec.name.as_str(), "change": "created" }))?;
    }
    for (spec, differing) in &changes.changed {
        let fields: Map<String, Value> = differing
            .iter()
            .map(|(field, old, new)| (field.clone(), json!({ "before": old, "after": new })))
            .collect();
        let name = spec.name.as_str();
        show::print(json!({ "name": name, "change": "changed", "fields": fields }))?;
    }
    for name in &changes.removed {
        show::print(json!({ "name": name.as_str(), "change": "removed" }))?;
    }
    Ok(())
}
