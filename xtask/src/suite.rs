//! `cargo xtask test`: every suite there is, and one table of what came of it.

mod doctests;
mod output;
mod process;
mod readme;
mod runner;
mod services;
mod skips;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::runner::{Runner, Targets};
use crate::tidy;
use crate::tree::Tree;

/// How the suites shall run.
pub struct Wishes {
    /// Fewer seeds and rounds.
    pub quick: bool,
    /// A skip is a failure.
    pub strict: bool,
    /// Only this suite, or the tests whose names contain this.
    pub filter: Option<String>,
}

/// What came of some checks or tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
    /// Which were skipped, each with its reason.
    pub skipped: Vec<String>,
}

impl Tally {
    /// Counts one more.
    pub fn count(&mut self, passed: bool) {
        if passed { self.passed += 1 } else { self.failed += 1 }
    }

    /// One skip of a whole suite.
    pub fn skip(reason: impl Into<String>) -> Tally {
        Tally { skipped: vec![reason.into()], ..Tally::default() }
    }

    fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped.iter().cloned());
    }
}

/// Something that is run as a whole.
struct Suite {
    name: &'static str,
    about: &'static str,
    work: Work,
    /// Ended as failed after so many minutes, compilation included.
    minutes_max: u64,
}

enum Work {
    /// The checks of `cargo xtask tidy`.
    Tidy,
    /// Unit and integration tests of some targets, with settings of their own.
    Tests { targets: Targets, settings: &'static [Setting], set_up: Option<fn() -> Result<()>> },
    /// The examples in doc comments.
    Doctests,
    /// The commands of README.md.
    Readme,
}

/// An environment variable that says how long a suite looks.
struct Setting {
    name: &'static str,
    value: &'static str,
    quick: &'static str,
}

/// Every suite, in the order in which they run. What needs more than a Rust toolchain says so by
/// answering with a skip.
const SUITES: [Suite; 7] = [
    Suite { name: "tidy", about: "the rules of the house", work: Work::Tidy, minutes_max: 15 },
    Suite {
        name: "tests",
        about: "unit and integration tests; examples compile",
        work: Work::Tests {
            targets: Targets::Others,
            settings: &[Setting { name: "TASKWRIGHT_CASES", value: "200", quick: "50" }],
            set_up: None,
        },
        minutes_max: 30,
    },
    Suite {
        name: "simulation",
        about: "ledger, journal and table under seeded faults",
        work: Work::Tests {
            targets: Targets::Like(&["simulation"]),
            settings: &[Setting { name: "TASKWRIGHT_SEEDS", value: "10000", quick: "500" }],
            set_up: None,
        },
        minutes_max: 15,
    },
    Suite {
        name: "crashes",
        about: "processes and disks that end at any moment",
        work: Work::Tests {
            targets: Targets::Like(&["crash", "kill"]),
            settings: &[Setting { name: "TASKWRIGHT_ROUNDS", value: "100", quick: "10" }],
            set_up: None,
        },
        minutes_max: 15,
    },
    Suite {
        name: "postgres",
        about: "PostgreSQL: the store, its servers, networks and poolers",
        work: Work::Tests {
            targets: Targets::Like(&["postgres"]),
            settings: &[
                Setting { name: "TASKWRIGHT_CASES", value: "60", quick: "25" },
                Setting { name: "TASKWRIGHT_ROUNDS", value: "100", quick: "10" },
            ],
            set_up: Some(services::prepare),
        },
        minutes_max: 40,
    },
    Suite {
        name: "doctests",
        about: "examples in doc comments",
        work: Work::Doctests,
        minutes_max: 10,
    },
    Suite {
        name: "readme",
        about: "the commands of README.md",
        work: Work::Readme,
        minutes_max: 10,
    },
];

/// Runs what is wished and prints a table. Whether all is well.
pub fn run(root: &Path, wishes: &Wishes) -> Result<bool> {
    let named = SUITES.iter().find(|suite| wishes.filter.as_deref() == Some(suite.name));
    let filter = if named.is_some() { None } else { wishes.filter.as_deref() };
    let runner = Runner::find(root);
    println!("{}", runner.about());
    let mut rows = Vec::new();
    for suite in &SUITES {
        let wanted = match named {
            Some(only) => only.name == suite.name,
            None => filter.is_none() || matches!(suite.work, Work::Tests { .. }),
        };
        if wanted {
            println!("\n== {}: {}", suite.name, suite.about);
            let start = Instant::now();
            let tally = perform(suite, &runner, wishes, filter)?;
            rows.push((suite, tally, start.elapsed()));
        }
    }
    let is_well = summary(&rows, wishes.strict);
    let has_run = rows.iter().any(|(_, tally, _)| tally.passed + tally.failed > 0);
    if let (Some(filter), false) = (&wishes.filter, has_run) {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        bail!(
            "no test has {filter:?} in its name, and no suite is called so: {}",
            names.join(", ")
        );
    }
    Ok(is_well)
}

fn perform(suite: &Suite, runner: &Runner, wishes: &Wishes, filter: Option<&str>) -> Result<Tally> {
    let limit = Duration::from_secs(60 * suite.minutes_max);
    match &suite.work {
        Work::Tidy => tidy::run(&Tree::load(&runner.root)?, None),
        Work::Tests { targets, settings, set_up } => {
            if let Some(set_up) = set_up {
                set_up()?;
            }
            let choose = |setting: &Setting| {
                let value = if wishes.quick { setting.quick } else { setting.value };
                (setting.name, value)
            };
            let environment: Vec<_> = settings.iter().map(choose).collect();
            runner.run(targets, &environment, filter, limit)
        }
        Work::Doctests => doctests::run(&runner.root, limit),
        Work::Readme => readme::run(runner, limit),
    }
}

/// Prints what came of the suites. Whether all is well.
fn summary(rows: &[(&Suite, Tally, Duration)], strict: bool) -> bool {
    let mut total = Tally::default();
    println!("\n{:<12} {:>7} {:>7} {:>7} {:>9}", "suite", "passed", "failed", "skipped", "seconds");
    for (suite, tally, time) in rows {
        let skipped = tally.skipped.len();
        let seconds = time.as_secs();
        let Tally { passed, failed, .. } = tally;
        println!("{:<12} {passed:>7} {failed:>7} {skipped:>7} {seconds:>9}", suite.name);
        total.add(tally);
    }
    for reason in &total.skipped {
        println!("SKIPPED {reason}");
    }
    if strict && !total.skipped.is_empty() {
        println!("--strict: a skip is a failure");
    }
    let Tally { passed, failed, skipped } = &total;
    println!("\n{passed} passed, {failed} failed, {} skipped", skipped.len());
    *failed == 0 && (skipped.is_empty() || !strict)
}

#[cfg(test)]
#[path = "tests/suite.rs"]
mod tests;
