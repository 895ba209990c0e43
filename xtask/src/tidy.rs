//! `cargo xtask tidy`: the rules of the house that a program can check, one file for each.

mod cargo;
mod direction;
mod documents;
mod guarantees;
mod habits;
mod length;
mod public_api;
mod purity;
mod readme;
mod words;

use std::path::Path;

use anyhow::{Result, bail};

use crate::finding::Finding;
use crate::suite::Tally;
use crate::tree::Tree;

/// A rule.
struct Check {
    name: &'static str,
    about: &'static str,
    run: fn(&Tree) -> Result<Vec<Finding>>,
}

const CHECKS: [Check; 12] = [
    Check {
        name: "syntax",
        about: "every Rust file parses",
        run: |tree| Ok(tree.unparsed.clone()),
    },
    Check {
        name: "direction",
        about: "a crate uses only what is to its right",
        run: direction::check,
    },
    Check { name: "purity", about: "core does no IO and reads no clock", run: purity::check },
    Check { name: "length", about: "no file is too long to read", run: length::check },
    Check { name: "words", about: "one word means one thing", run: words::check },
    Check {
        name: "public-api",
        about: "no third-party type in a public signature",
        run: public_api::check,
    },
    Check {
        name: "habits",
        about: "no panics, stubs or unsafe; no sleeping tests",
        run: habits::check,
    },
    Check {
        name: "documents",
        about: "links lead somewhere, ARCHITECTURE.md is short",
        run: documents::check,
    },
    Check {
        name: "guarantees",
        about: "every promise names tests that exist",
        run: guarantees::check,
    },
    Check { name: "readme", about: "the first program of README.md is a test", run: readme::check },
    Check { name: "format", about: "cargo fmt has nothing to change", run: cargo::format },
    Check { name: "clippy", about: "clippy has nothing to say", run: cargo::clippy },
];

/// Runs every check, or the one called `only`, and prints what it found.
pub fn run(tree: &Tree, only: Option<&str>) -> Result<Tally> {
    let chosen: Vec<&Check> =
        CHECKS.iter().filter(|check| only.is_none_or(|name| name == check.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        bail!("tidy has no check of that name; it has {}", names.join(", "));
    }
    let mut tally = Tally::default();
    for check in chosen {
        let findings = (check.run)(tree)?;
        for finding in &findings {
            println!("{finding}");
        }
        let verdict = match findings.len() {
            0 => "ok".to_string(),
            many => format!("{many} to correct"),
        };
        println!("tidy {:<11} {verdict} ({})", check.name, check.about);
        tally.count(findings.is_empty());
    }
    Ok(tally)
}

/// Corrects what a program can correct.
pub fn fix(root: &Path) -> Result<()> {
    cargo::fix(root)
}
