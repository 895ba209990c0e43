//! Links in Markdown lead somewhere, and ARCHITECTURE.md can be read in one sitting.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use crate::finding::Finding;
use crate::tree::{TextFile, Tree};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const ARCHITECTURE_LINES_MAX: usize = 200;

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| file.path.ends_with(".md")) {
        findings.extend(check_length(file));
        for (line, target) in links(&file.text) {
            let from = Path::new(&file.path).parent().unwrap_or(Path::new(""));
            let there = resolve(from, &target).is_some_and(|path| tree.root.join(path).exists());
            if !there {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("the link to `{target}` leads nowhere"),
                    "a reader who follows it is lost",
                    "correct the path, relative to this file, or drop the link",
                ));
            }
        }
    }
    Ok(findings)
}

fn check_length(file: &TextFile) -> Option<Finding> {
    let lines = file.text.lines().count();
    if file.path != ARCHITECTURE || lines <= ARCHITECTURE_LINES_MAX {
        return None;
    }
    Some(Finding::new(
        &file.path,
        ARCHITECTURE_LINES_MAX + 1,
        format!("{lines} lines, at most {ARCHITECTURE_LINES_MAX} are allowed"),
        "it is the map, not the land",
        "keep what changes rarely, move the rest to the module it is about",
    ))
}

/// The relative targets of `[text](target)`, without their fragments, outside code blocks.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (start, _) in line.match_indices("](") {
            let Some((target, _)) = line[start + 2..].split_once(')') else { continue };
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.contains("://") || path.starts_with("mailto:");
            if !path.is_empty() && !elsewhere {
                found.push((index + 1, path.to_string()));
            }
        }
    }
    found
}

/// `target` as seen from the folder `from`, or `None` if it leaves the project.
fn resolve(from: &Path, target: &str) -> Option<PathBuf> {
    let mut path = from.to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
#[path = "tests/documents.rs"]
mod tests;
