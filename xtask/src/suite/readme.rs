//! The commands of README.md do what they say.
//!
//! All blocks marked `sh` run in their order in one shell, in a folder that looks like the project,
//! with the binary that the tests use. `cargo xtask` lines are left out: they are what is running.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::runner::Runner;
use super::{Tally, process};

const REACHED: &str = "== README.md line ";

/// What the shell is told first. What a block starts in the background is ended at the end; a
/// server is waited for.
const PRELUDE: &str = "set -eu -o pipefail
await_server() {
    curl -sS --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:7600/v1/health >/dev/null
}
trap 'for job in $(jobs -p); do kill $job 2>/dev/null || true; done; wait' EXIT
";

/// A code block.
struct Block {
    line: usize,
    text: String,
}

/// Runs them all, unless there is no README or no shell.
pub fn run(runner: &Runner, limit: Duration) -> Result<Tally> {
    let missing = ["bash", "curl"]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        return Ok(Tally::skip(format!("readme: needs {program}")));
    }
    let path = runner.root.join("README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let blocks = blocks(&text);
    if !runner.build(limit)? {
        return Ok(Tally { failed: 1, ..Tally::default() });
    }
    let folder = tempfile::tempdir().context("making a folder to run README.md in")?;
    look_like(&runner.root, folder.path())?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    let programs = runner.root.join(target).join("debug");
    let mut paths = vec![programs];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new("bash");
    command.arg("-c").arg(script(&blocks)).current_dir(folder.path());
    command.env("PATH", std::env::join_paths(paths)?);
    command.env("XDG_STATE_HOME", folder.path().join("state"));
    let outcome = process::run(&mut command, limit)?;
    let reached = outcome.lines.iter().filter(|line| line.starts_with(REACHED)).count();
    let failed = usize::from(!outcome.fine);
    Ok(Tally { passed: reached - failed.min(reached), failed, skipped: Vec::new() })
}

/// Fills `folder` with links to everything in `root` but hidden files, builds and data.
fn look_like(root: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if !shown.starts_with('.') && shown != "target" && shown != "taskwright-data" {
            symlink(entry.path(), folder.join(&name))?;
        }
    }
    Ok(())
}

fn script(blocks: &[Block]) -> String {
    let mut script = PRELUDE.to_string();
    for block in blocks {
        script.push_str(&format!("echo; echo '{REACHED}{}'\n{}\n", block.line, block.text));
    }
    script
}

/// The blocks marked `sh`, with the built binary in place of `cargo run`.
fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim() == "```sh" {
            inside = true;
            found.push(Block { line: index + 1, text: String::new() });
        } else if line.trim_start().starts_with("```") {
            inside = false;
        } else if let (true, Some(block)) = (inside, found.last_mut())
            && !line.starts_with("cargo xtask")
        {
            block.text.push_str(&line.replace("cargo run --release -- ", "taskwright "));
            block.text.push('\n');
            if line.ends_with("serve &") {
                block.text.push_str("await_server\n");
            }
        }
    }
    found
}

#[cfg(test)]
#[path = "tests/readme.rs"]
mod tests;
