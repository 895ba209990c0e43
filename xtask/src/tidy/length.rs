//! No file is too long to be read at a sitting.

use anyhow::Result;

use crate::finding::Finding;
use crate::tree::Tree;

const LINES_MAX: usize = 500;
const CODE: [&str; 8] = [".rs", ".ts", ".tsx", ".js", ".mjs", ".py", ".sql", ".sh"];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let rust = tree.rust.iter().map(|file| (file.path.as_str(), file.lines.len()));
    let texts = tree.texts.iter().map(|file| (file.path.as_str(), file.text.lines().count()));
    Ok(rust.chain(texts).filter_map(|(path, lines)| check_file(path, lines)).collect())
}

fn check_file(path: &str, lines: usize) -> Option<Finding> {
    if lines <= LINES_MAX || !CODE.iter().any(|ending| path.ends_with(ending)) {
        return None;
    }
    Some(Finding::new(
        path,
        LINES_MAX + 1,
        format!("{lines} lines, at most {LINES_MAX} are allowed"),
        "a long file does more than one thing",
        "split it along what it does",
    ))
}

#[cfg(test)]
#[path = "tests/length.rs"]
mod tests;
