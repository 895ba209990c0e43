//! Every promise of GUARANTEES.md names tests, and they exist.
//!
//! A promise is a list item; its tests are the words in backticks after "Shown by". What stands
//! under the heading "Not promised" needs none.

use std::collections::HashSet;

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::finding::Finding;
use crate::tree::Tree;

const FILE: &str = "GUARANTEES.md";
const SHOWN_BY: &str = "Shown by";
const NOT_PROMISED: &str = "Not promised";

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut tests = Tests::default();
    for file in tree.rust.iter().filter(|file| file.is_test) {
        tests.visit_file(&file.syntax);
    }
    let Some(file) = tree.texts.iter().find(|file| file.path == FILE) else {
        return Ok(vec![Finding::new(
            FILE,
            1,
            "there is no such file",
            "what is promised must be written where users find it",
            "write it",
        )]);
    };
    Ok(check_text(&file.text, &tests.names))
}

fn check_text(text: &str, tests: &HashSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for promise in promises(text) {
        let shown_by = promise.text.split_once(SHOWN_BY).map(|(_, names)| quoted(names));
        let named = shown_by.unwrap_or_default();
        if named.is_empty() {
            findings.push(Finding::new(
                FILE,
                promise.line,
                "a promise without a test",
                "a promise that nothing checks is a hope",
                format!("write the test and name it: {SHOWN_BY} `test_name`"),
            ));
        }
        for name in named {
            let function = name.rsplit("::").next().unwrap_or(&name);
            if !tests.contains(function) {
                findings.push(Finding::new(
                    FILE,
                    promise.line,
                    format!("there is no test `{name}`"),
                    "a promise that nothing checks is a hope",
                    "name the test as it is called now, or write it",
                ));
            }
        }
    }
    findings
}

struct Promise {
    line: usize,
    text: String,
}

/// The list items that promise something, with their continuation lines.
fn promises(text: &str) -> Vec<Promise> {
    let mut found: Vec<Promise> = Vec::new();
    let mut promised = true;
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            promised = !line.contains(NOT_PROMISED);
            inside = false;
        } else if line.starts_with("- ") {
            inside = promised;
            if promised {
                found.push(Promise { line: index + 1, text: line.to_string() });
            }
        } else if line.trim().is_empty() {
            inside = false;
        } else if let (true, Some(promise)) = (inside, found.last_mut()) {
            promise.text.push(' ');
            promise.text.push_str(line.trim());
        }
    }
    found
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

/// The names of all functions in test code, and all that macros make functions of.
#[derive(Default)]
struct Tests {
    names: HashSet<String>,
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.names.insert(signature.ident.to_string());
        visit::visit_signature(self, signature);
    }

    fn visit_item_macro(&mut self, call: &'ast syn::ItemMacro) {
        self.add_words(call.mac.tokens.clone());
    }
}

impl Tests {
    fn add_words(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    self.names.insert(word.to_string());
                }
                TokenTree::Group(group) => self.add_words(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/guarantees.rs"]
mod tests;
