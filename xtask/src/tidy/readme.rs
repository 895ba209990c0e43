//! The first Rust program of README.md is one that is compiled and run.

use anyhow::Result;

use crate::finding::Finding;
use crate::tree::Tree;

const README: &str = "README.md";
const LIBRARY: &str = "crates/taskwright/src/lib.rs";
const LINES_MAX: usize = 25;

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let readme = tree.texts.iter().find(|file| file.path == README);
    let library = tree.rust.iter().find(|file| file.path == LIBRARY);
    let (Some(readme), Some(library)) = (readme, library) else {
        let what = format!("{README} or {LIBRARY} is missing");
        return Ok(vec![Finding::new(README, 1, what, "they are where people begin", "write it")]);
    };
    Ok(compare(&readme.text, &library.lines).into_iter().collect())
}

fn compare(readme: &str, library: &[String]) -> Option<Finding> {
    let docs = library.iter().map_while(|line| line.strip_prefix("//!"));
    let docs: Vec<&str> = docs.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let tested = first_block(docs.into_iter(), "```");
    let (line, shown) = first_block(readme.lines(), "```rust");
    let finding = |what: String, remedy: &str| {
        Finding::new(README, line, what, "the first program that people copy must work", remedy)
    };
    if shown != tested.1 {
        let what = format!("the program is not the first one of the docs in {LIBRARY}");
        return Some(finding(what, "make them the same; the one in the docs is run as a test"));
    }
    (shown.len() > LINES_MAX).then(|| {
        finding(format!("the program has {} lines", shown.len()), "show less: 25 lines at most")
    })
}

/// The first code block that begins with `fence`, and the line where it does, from 1.
fn first_block<'a>(lines: impl Iterator<Item = &'a str>, fence: &str) -> (usize, Vec<&'a str>) {
    let mut numbered = (1..).zip(lines).skip_while(|(_, line)| *line != fence);
    let Some((start, _)) = numbered.next() else { return (1, Vec::new()) };
    (start, numbered.map(|(_, line)| line).take_while(|line| *line != "```").collect())
}

#[cfg(test)]
#[path = "tests/readme.rs"]
mod tests;
