//! What a crate's Cargo.toml says of its dependencies.

use anyhow::{Context, Result, anyhow};
use toml::{Table, Value};

/// When a dependency is needed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// By the crate itself.
    Normal,
    /// By its tests, examples and benchmarks.
    Development,
    /// By its build script.
    Build,
}

/// One dependency.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The package.
    pub package: String,
    /// The name that code uses, with underscores.
    pub code_name: String,
    /// When it is needed.
    pub need: Need,
    /// The line that names it, from 1.
    pub line: usize,
}

/// One crate.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The Cargo.toml, relative to the root.
    pub path: String,
    /// The package.
    pub package: String,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
}

impl Manifest {
    /// Reads the text of the Cargo.toml at `path`.
    pub fn parse(path: &str, text: &str) -> Result<Manifest> {
        let table: Table = text.parse().with_context(|| format!("reading {path}"))?;
        let package = table
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(Value::as_str)
            .ok_or_else(|| anyhow!("{path} has no package name"))?
            .to_string();
        let mut dependencies = Vec::new();
        collect(&table, text, &mut dependencies);
        let targets = table.get("target").and_then(Value::as_table);
        for target in targets.into_iter().flat_map(Table::values).filter_map(Value::as_table) {
            collect(target, text, &mut dependencies);
        }
        Ok(Manifest { path: path.to_string(), package, dependencies })
    }

    /// The folder of the crate, relative to the root.
    pub fn folder(&self) -> &str {
        self.path.trim_end_matches("Cargo.toml").trim_end_matches('/')
    }
}

fn collect(table: &Table, text: &str, into: &mut Vec<Dependency>) {
    let sections = [
        ("dependencies", Need::Normal),
        ("dev-dependencies", Need::Development),
        ("build-dependencies", Need::Build),
    ];
    for (section, need) in sections {
        let entries = table.get(section).and_then(Value::as_table);
        for (name, value) in entries.into_iter().flatten() {
            let renamed = value.get("package").and_then(Value::as_str);
            into.push(Dependency {
                package: renamed.unwrap_or(name).to_string(),
                code_name: name.replace('-', "_"),
                need,
                line: line_of(text, section, name),
            });
        }
    }
}

/// The line of `name` below the heading of `section`, or 1.
fn line_of(text: &str, section: &str, name: &str) -> usize {
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            let heading = line.trim().trim_matches(['[', ']']);
            inside = heading == section || heading.ends_with(&format!(".{section}"));
            if heading.strip_suffix(name).is_some_and(|rest| rest.ends_with(&format!("{section}.")))
            {
                return index + 1;
            }
        } else if inside
            && line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        {
            return index + 1;
        }
    }
    1
}

#[cfg(test)]
#[path = "tests/manifest.rs"]
mod tests;
