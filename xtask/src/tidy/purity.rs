//! Code that is promised to be pure names nothing that acts or looks at the world.

use anyhow::Result;
use syn::Item;
use syn::visit::{self, Visit};

use crate::finding::Finding;
use crate::rust_file::{RustFile, is_test_only, line_of};
use crate::tree::Tree;
use crate::uses;

const PURE: [&str; 1] = ["crates/core/src/"];
const WORLD: [&str; 9] = [
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "Timestamp::now",
];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let pure = |file: &&RustFile| PURE.iter().any(|folder| file.path.starts_with(folder));
    Ok(tree.rust.iter().filter(pure).filter(|file| !file.is_test).flat_map(check_file).collect())
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let mut search = Search { file, findings: Vec::new() };
    search.visit_file(&file.syntax);
    search.findings
}

struct Search<'a> {
    file: &'a RustFile,
    findings: Vec<Finding>,
}

impl Search<'_> {
    fn judge(&mut self, line: usize, path: &str) {
        let world = WORLD.iter().find(|world| {
            path.strip_prefix(**world).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        if let Some(world) = world {
            self.findings.push(Finding::new(
                &self.file.path,
                line,
                format!("uses `{world}`"),
                "core does no IO and reads no clock or randomness, so that every rule can be tested",
                "take what is needed as an argument",
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Use(used) if is_test_only(&used.attrs) => {}
            Item::Use(used) => {
                for name in uses::names(&used.tree) {
                    self.judge(name.line, &name.path);
                }
            }
            Item::Mod(module) if is_test_only(&module.attrs) => {}
            other => visit::visit_item(self, other),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.judge(line_of(path), &segments.join("::"));
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
#[path = "tests/purity.rs"]
mod tests;
