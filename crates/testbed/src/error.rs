//! What can go wrong with a test bed, and how a test skips itself.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;

/// Where a run of `cargo xtask test` collects what was skipped.
const SKIPS: &str = "TASKWRIGHT_SKIPS";

/// Why there is no test bed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A program is not installed, or this user may not run it: a reason to skip a test.
    #[error("{0}")]
    Unavailable(String),
    /// Something that should work did not: a reason to fail.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// For `map_err`: what was tried, before what came of it.
    pub(crate) fn failed<E: Display>(tried: impl Into<String>) -> impl FnOnce(E) -> Error {
        let tried = tried.into();
        move |problem| Error::Failed(format!("{tried}: {problem}"))
    }
}

/// What was asked for; `None`, with a line where skips are counted, where programs are missing. A
/// test called `test` then returns.
///
/// # Panics
///
/// When it failed for another reason: then the test shall fail.
#[track_caller]
pub fn available<T>(test: &str, result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Unavailable(reason)) => {
            skip(test, &reason);
            None
        }
        Err(Error::Failed(reason)) => panic!("{test}: {reason}"),
    }
}

fn skip(test: &str, reason: &str) {
    let line = format!("{test}: {reason}\n");
    print!("skipped: {line}");
    let Some(path) = std::env::var_os(SKIPS) else { return };
    let written = File::options()
        .append(true)
        .open(path)
        .and_then(|mut list| list.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("{test}: noting in the file that {SKIPS} names that it was skipped: {error}");
    }
}

#[cfg(test)]
#[path = "tests/error.rs"]
mod tests;
