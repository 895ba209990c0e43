//! Runs tests with nextest where it is installed, else with `cargo test`.
//!
//! Every call builds the whole workspace with the same features and profile, so that nothing is
//! compiled twice.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::skips::Skips;
use super::{Tally, output, process};
use crate::tree::files_under;

/// Which test targets a suite runs.
pub enum Targets {
    /// The integration tests whose names contain one of these words of [`APART`] and none that stands
    /// before it there.
    Like(&'static [&'static str]),
    /// All that no other suite names, unit tests among them.
    Others,
}

impl Targets {
    /// The integration tests among `existing` that belong to these targets.
    fn among<'a>(&self, existing: &'a [String]) -> Vec<&'a str> {
        let belongs = |name: &&str| {
            let apart = APART.iter().find(|word| name.contains(*word));
            match (self, apart) {
                (Targets::Like(words), Some(word)) => words.contains(word),
                (Targets::Others, None) => true,
                _ => false,
            }
        };
        existing.iter().map(String::as_str).filter(belongs).collect()
    }
}

/// What the names of integration tests contain that are suites of their own. A test belongs to the
/// first: `postgres_kill` needs the programs of PostgreSQL before all.
const APART: [&str; 4] = ["postgres", "simulation", "crash", "kill"];

/// What runs tests here.
pub struct Runner {
    /// The folder of the workspace.
    pub root: PathBuf,
    has_nextest: bool,
}

impl Runner {
    /// Looks which runner there is.
    pub fn find(root: &Path) -> Runner {
        let nextest = Command::new("cargo").args(["nextest", "--version"]).output();
        let has_nextest = nextest.is_ok_and(|output| output.status.success());
        Runner { root: root.to_path_buf(), has_nextest }
    }

    /// Which runner it is, for people.
    pub fn about(&self) -> &'static str {
        if self.has_nextest {
            "tests run with cargo nextest: a hung test is ended (.config/nextest.toml)"
        } else {
            "tests run with cargo test; with cargo-nextest installed they run faster"
        }
    }

    /// Runs `targets`; of them, with `filter`, the tests whose names contain it.
    pub fn run(
        &self,
        targets: &Targets,
        environment: &[(&str, &str)],
        filter: Option<&str>,
        limit: Duration,
    ) -> Result<Tally> {
        let existing = integration_tests(&files_under(&self.root)?);
        let chosen = targets.among(&existing);
        if chosen.is_empty() {
            return Ok(Tally::skip("there are no such tests"));
        }
        let mut command = if self.has_nextest {
            nextest(targets, &existing)
        } else {
            cargo_test(targets, &chosen)
        };
        let skips = Skips::begin()?;
        command.current_dir(&self.root).args(filter).envs(environment.iter().copied());
        command.env(skips.variable(), skips.path());
        let mut tally = output::tally(&process::run(&mut command, limit)?);
        tally.skipped.extend(skips.read()?);
        Ok(tally)
    }

    /// Builds all that the tests use, as they do.
    pub fn build(&self, limit: Duration) -> Result<bool> {
        let mut command = Command::new("cargo");
        command.args(["test", "--workspace", "--no-run", "--quiet"]).current_dir(&self.root);
        Ok(process::run(&mut command, limit)?.fine)
    }
}

/// Names only tests that exist: nextest refuses others.
fn nextest(targets: &Targets, existing: &[String]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
    let any_of = |names: Vec<&str>| {
        let sets: Vec<_> = names.iter().map(|name| format!("binary(={name})")).collect();
        sets.join(" | ")
    };
    let expression = match targets {
        Targets::Like(_) => any_of(targets.among(existing)),
        Targets::Others => match any_of(Targets::Like(&APART).among(existing)) {
            none if none.is_empty() => "all()".to_string(),
            apart => format!("not ({apart})"),
        },
    };
    command.arg("-E").arg(expression);
    command
}

fn cargo_test(targets: &Targets, chosen: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if matches!(targets, Targets::Others) {
        command.args(["--lib", "--bins", "--examples"]);
    }
    for name in chosen {
        command.args(["--test", name]);
    }
    command
}

/// The names of all integration tests: `crates/X/tests/NAME.rs` or `…/tests/NAME/main.rs`.
fn integration_tests(files: &[String]) -> Vec<String> {
    let name = |path: &String| {
        let (_, below) = path.strip_prefix("crates/")?.split_once("/tests/")?;
        let inside_source = path.contains("/src/");
        let name = below.strip_suffix("/main.rs").or_else(|| below.strip_suffix(".rs"))?;
        (!inside_source && !name.contains('/')).then(|| name.to_string())
    };
    let mut names: Vec<String> = files.iter().filter_map(name).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
#[path = "tests/runner.rs"]
mod tests;
