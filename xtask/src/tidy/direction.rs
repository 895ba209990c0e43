//! Dependencies between the project's crates go one way.

use anyhow::Result;

use crate::finding::Finding;
use crate::manifest::{Manifest, Need};
use crate::tree::Tree;

/// What each crate may use, and nothing else.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("taskwright-testbed", &[]),
    ("taskwright-core", &[]),
    ("taskwright-macros", &["taskwright-core"]),
    ("taskwright-store", &["taskwright-core"]),
    ("taskwright-local", &["taskwright-store", "taskwright-core"]),
    ("taskwright-postgres", &["taskwright-store", "taskwright-core"]),
    ("taskwright-simulate", &["taskwright-local", "taskwright-store", "taskwright-core"]),
    ("taskwright-engine", &["taskwright-store", "taskwright-core"]),
    ("taskwright-protocol", &["taskwright-engine", "taskwright-store", "taskwright-core"]),
    (
        "taskwright",
        &[
            "taskwright-protocol",
            "taskwright-local",
            "taskwright-postgres",
            "taskwright-engine",
            "taskwright-macros",
            "taskwright-store",
            "taskwright-core",
        ],
    ),
    (
        "taskwright-server",
        &[
            "taskwright",
            "taskwright-protocol",
            "taskwright-engine",
            "taskwright-store",
            "taskwright-core",
        ],
    ),
    (
        "taskwright-bench",
        &[
            "taskwright-server",
            "taskwright",
            "taskwright-protocol",
            "taskwright-local",
            "taskwright-postgres",
            "taskwright-engine",
            "taskwright-store",
            "taskwright-core",
        ],
    ),
    (
        "taskwright-cli",
        &[
            "taskwright-bench",
            "taskwright-server",
            "taskwright-simulate",
            "taskwright",
            "taskwright-protocol",
            "taskwright-engine",
            "taskwright-store",
            "taskwright-core",
        ],
    ),
    ("taskwright-peers", &[]),
    ("taskwright-peers-apalis", &[]),
    ("xtask", &[]),
];

/// Tests may also use these: the feature `testing` of the one holds the suites that judge stores, the
/// other starts servers.
const TESTS_MAY_USE: [&str; 2] = ["taskwright-store", "taskwright-testbed"];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(tree.manifests.iter().flat_map(check_manifest).collect())
}

fn check_manifest(manifest: &Manifest) -> Vec<Finding> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == manifest.package) else {
        return vec![Finding::new(
            &manifest.path,
            1,
            format!("`{}` has no place in the order of crates", manifest.package),
            "whoever reads the code must know what may use what",
            "add it to MAY_USE in xtask/src/tidy/direction.rs and to ARCHITECTURE.md",
        )];
    };
    let mut findings = Vec::new();
    for dependency in &manifest.dependencies {
        let used = dependency.package.as_str();
        let ours = MAY_USE.iter().any(|(name, _)| *name == used);
        let by_tests = dependency.need == Need::Development
            && (TESTS_MAY_USE.contains(&used) || used == manifest.package);
        if ours && !allowed.contains(&used) && !by_tests {
            findings.push(Finding::new(
                &manifest.path,
                dependency.line,
                format!("{} → {used}", manifest.package),
                "a crate uses only what is to its right (ARCHITECTURE.md)",
                format!("move what is needed to a crate that {} may use", manifest.package),
            ));
        }
    }
    findings
}

#[cfg(test)]
#[path = "tests/direction.rs"]
mod tests;
