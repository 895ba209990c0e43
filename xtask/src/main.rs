//! The project's own tools: `cargo xtask tidy` and `cargo xtask test`.

mod finding;
mod manifest;
mod rust_file;
mod suite;
mod tidy;
mod tree;
mod uses;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::suite::Wishes;
use crate::tree::Tree;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tools.")]
struct Arguments {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Checks the rules of the house: structure, words, public API, docs, clippy, format
    Tidy {
        /// Format and let clippy correct what it can, before checking
        #[arg(long)]
        fix: bool,
        /// Run only the check of this name
        check: Option<String>,
    },
    /// Runs every suite there is, and says at the end what passed, failed and was skipped
    Test {
        /// Fewer seeds and rounds: a few minutes instead of many
        #[arg(long)]
        quick: bool,
        /// A skipped test is a failure
        #[arg(long)]
        strict: bool,
        /// Only this suite, or the tests whose names contain this
        filter: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().tool) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was as it should be.
fn run(tool: Tool) -> Result<bool> {
    let root = tree::root()?;
    match tool {
        Tool::Tidy { fix, check } => {
            if fix {
                tidy::fix(&root)?;
            }
            let tally = tidy::run(&Tree::load(&root)?, check.as_deref())?;
            Ok(tally.failed == 0)
        }
        Tool::Test { quick, strict, filter } => {
            suite::run(&root, &Wishes { quick, strict, filter })
        }
    }
}
