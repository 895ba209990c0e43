//! `taskwright bench`: measure this machine and this version.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use taskwright_bench::{Figure, Options};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::show;

/// What `bench` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "With --store postgres://… that database is measured instead, in schemas named taskwright_bench_…,\n\
which are dropped afterwards."
)]
pub struct Arguments {
    /// Short runs: for a first look, not for figures to quote
    #[arg(long)]
    quick: bool,
    /// Measure only figures whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Where the measured stores are made: on the disk to be measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    on: PathBuf,
}

/// Measures, and prints each figure as soon as it is there.
pub async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<Exit> {
    let options = Options {
        quick: arguments.quick,
        only: arguments.only,
        directory: arguments.on,
        // Not that of the environment: a database is measured only where that is asked for.
        store: global.store.clone(),
    };
    let as_json = global.json;
    if !as_json {
        println!("{}", heading());
    }
    let measured = tokio::task::spawn_blocking(move || {
        taskwright_bench::run(options, |figure| {
            println!("{}", if as_json { object(figure) } else { line(figure) });
        })
    });
    measured.await??;
    Ok(Exit::Done)
}

fn object(figure: &Figure) -> String {
    json!({
        "name": figure.name,
        "value": figure.value,
        "unit": figure.unit.as_str(),
        "floor": figure.floor,
        "ratio": figure.ratio,
        "floor_with_order": figure.floor_with_order,
        "ratio_with_order": figure.ratio_with_order,
        "p50_ms": figure.p50_ms,
        "p99_ms": figure.p99_ms,
    })
    .to_string()
}

fn heading() -> String {
    format!(
        "{:<44} {:>12} {:<12} {:>12} {:>6} {:>7} {:>9} {:>9}",
        "measured", "value", "unit", "floor", "ratio", "ordered", "p50 ms", "p99 ms"
    )
}

fn line(figure: &Figure) -> String {
    let number = |value: f64| match value {
        v if v >= 1_000.0 => show::count(v.round() as u64),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    };
    let maybe = |value: Option<f64>| value.map(number).unwrap_or_default();
    let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    format!(
        "{:<44} {:>12} {:<12} {:>12} {:>6} {:>7} {:>9} {:>9}",
        figure.name,
        number(figure.value),
        figure.unit.as_str(),
        maybe(figure.floor),
        ratio(figure.ratio),
        ratio(figure.ratio_with_order),
        maybe(figure.p50_ms),
        maybe(figure.p99_ms),
    )
}
