//! Tests that skip themselves say so in the file that `TASKWRIGHT_SKIPS` names.
//!
//! A test that lacks what it needs (a mount, a program) appends one line, its name and the reason,
//! and returns. Without the variable it panics or prints, as it likes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// The file of one run.
pub struct Skips {
    file: NamedTempFile,
}

impl Skips {
    /// A new, empty file.
    pub fn begin() -> Result<Skips> {
        let file = NamedTempFile::new().context("making a file for the names of skipped tests")?;
        Ok(Skips { file })
    }

    /// The environment variable by which tests find it.
    pub fn variable(&self) -> &'static str {
        "TASKWRIGHT_SKIPS"
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// What was written, one skip a line.
    pub fn read(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.path()).context("reading which tests were skipped")?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_string).collect())
    }
}

#[cfg(test)]
#[path = "tests/skips.rs"]
mod tests;
