//! `taskwright fsck`

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Check the directory of a store that nobody has open: all of its journal and its table
#[derive(Debug, Args)]
#[command(after_help = "Nothing is repaired. Exit code 1: something is wrong")]
pub struct Arguments {}

/// Checks it.
pub fn run(global: &Global, _: &Arguments) -> Result<Exit> {
    if global.store.is_some() {
        bail!(
            "`fsck` checks the directory of a file store; name it with --data and leave out --store"
        );
    }
    let data = connect::data(global);
    let found = taskwright::fsck(&data)?;
    let is_sound = found.faults.is_empty();
    if global.json {
        show::print(json!({
            "data": data.display().to_string(),
            "sound": is_sound,
            "faults": found.faults,
            "torn": found.torn,
            "segments": found.segments,
            "changes_ahead": found.changes_ahead,
            "epoch": found.epoch,
        }))?;
    } else {
        for fault in &found.faults {
            eprintln!("taskwright: {fault}");
        }
        let word = if is_sound { "sound" } else { "damaged" };
        show::print(format_args!(
            "The store in {} is {word}: opened {}, {} of journal, {} for the table to catch up with.",
            data.display(),
            show::counted(found.epoch.into(), "time"),
            show::counted(found.segments as u64, "segment"),
            show::counted(found.changes_ahead, "change"),
        ))?;
        if let Some(torn) = &found.torn {
            show::print(format_args!(
                "A crash tore its last write, which opening cuts off: {torn}."
            ))?;
        }
    }
    Ok(if is_sound { Exit::Done } else { Exit::Failed })
}
