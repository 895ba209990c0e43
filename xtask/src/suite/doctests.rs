//! The examples in doc comments, which nextest does not run.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Tally, output, process};

/// Runs all of them.
pub fn run(root: &Path, limit: Duration) -> Result<Tally> {
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--doc", "--no-fail-fast"]).current_dir(root);
    Ok(output::tally(&process::run(&mut command, limit)?))
}
