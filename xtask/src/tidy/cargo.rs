//! The checks that cargo's own tools make.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::tree::Tree;

/// `cargo fmt --check`.
pub fn format(tree: &Tree) -> Result<Vec<Finding>> {
    let fine = cargo(&tree.root, &["fmt", "--all", "--check", "--", "-l"])?;
    Ok(finding_unless(fine, "`cargo fmt --check` would change files", "cargo xtask tidy --fix"))
}

/// `cargo clippy` over everything, warnings denied.
pub fn clippy(tree: &Tree) -> Result<Vec<Finding>> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--keep-going",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    let fine = cargo(&tree.root, &arguments)?;
    Ok(finding_unless(fine, "clippy complains (above)", "cargo xtask tidy --fix, or by hand"))
}

/// Lets clippy correct what it can, then formats.
pub fn fix(root: &Path) -> Result<()> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--quiet"];
    cargo(root, &clippy)?;
    cargo(root, &["fmt", "--all"])?;
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<bool> {
    let mut command = Command::new("cargo");
    let status = command.args(arguments).current_dir(root).status();
    let tried = || format!("running cargo {}", arguments.join(" "));
    Ok(status.with_context(tried)?.success())
}

fn finding_unless(fine: bool, what: &str, remedy: &str) -> Vec<Finding> {
    if fine {
        return Vec::new();
    }
    vec![Finding::new("Cargo.toml", 1, what, "a warning that stays is soon not read", remedy)]
}
