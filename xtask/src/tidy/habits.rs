//! No panic, stub or `unsafe` outside tests, and no test that sleeps and hopes.

use anyhow::Result;
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item};

use crate::finding::Finding;
use crate::rust_file::{RustFile, is_test_only, line_of};
use crate::tree::Tree;

/// How the reason of an ignored function begins that is a tool and no test.
const TOOLS: [&str; 2] = ["it is", "writes"];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(tree.rust.iter().flat_map(check_file).collect())
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let is_shown = file.path.contains("/ui/");
    if is_shown {
        return Vec::new();
    }
    let mut search = Search { file, in_test: file.is_test, may_pause: false, findings: Vec::new() };
    search.visit_file(&file.syntax);
    search.findings
}

struct Search<'a> {
    file: &'a RustFile,
    in_test: bool,
    /// Inside a loop, which looks again and again, or a task, which takes its time.
    may_pause: bool,
    findings: Vec<Finding>,
}

impl Search<'_> {
    fn found(&mut self, line: usize, word: &str, what: String, why: &str, remedy: &str) {
        if !self.file.allows(line, word) {
            let remedy =
                format!("{remedy}; or say `// tidy: allow {word}` and why it is right here");
            self.findings.push(Finding::new(&self.file.path, line, what, why, remedy));
        }
    }

    /// Whether a sleep here is a test's way to hope that something has happened. One whose length
    /// is drawn from a seed is not: it chooses the moment at which to strike.
    fn hopes(&self) -> bool {
        let path = &self.file.path;
        let judges = path.contains("tests/") || path.contains("conformance") || !self.file.is_test;
        self.in_test && judges && !self.may_pause
    }

    fn pausing(&mut self, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.may_pause, true);
        visit(self);
        self.may_pause = before;
    }

    fn unsafe_code(&mut self, line: usize) {
        self.found(
            line,
            "unsafe",
            "`unsafe`".to_string(),
            "memory safety is not worth a review each time",
            "use a safe library",
        );
    }

    fn within(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let before = self.in_test;
        self.in_test |= is_test_only(attributes);
        visit(self);
        self.in_test = before;
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Fn(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        self.within(attributes, |search| visit::visit_item(search, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Fn(function) => &function.attrs,
            _ => &[],
        };
        self.within(attributes, |search| visit::visit_impl_item(search, item));
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let method = call.method.to_string();
        let panics = match method.as_str() {
            "unwrap" => call.args.is_empty(),
            "expect" => call.args.len() == 1,
            _ => false,
        };
        if panics && !self.in_test {
            self.found(
                line_of(&call.method),
                &method,
                format!("`{method}` outside tests"),
                "a panic takes other people's jobs with it",
                "return an error that says what was tried, on what, and what to do next",
            );
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(function) = &*call.func {
            let segments: Vec<_> =
                function.path.segments.iter().map(|s| s.ident.to_string()).collect();
            let name = segments.join("::");
            let sleeps = name == "sleep" || name.ends_with("time::sleep");
            let by_chance = call.args.to_token_stream().to_string().contains("random");
            let is_sleep = sleeps || name.ends_with("thread::sleep");
            if is_sleep && self.hopes() && !by_chance {
                self.found(
                    line_of(call),
                    "sleep",
                    format!("a test calls `{name}`"),
                    "it is slow on a fast machine and fails on a slow one",
                    "wait for the event, with a deadline",
                );
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_loop(&mut self, looping: &'ast syn::ExprLoop) {
        self.pausing(|search| visit::visit_expr_loop(search, looping));
    }

    fn visit_expr_while(&mut self, looping: &'ast syn::ExprWhile) {
        self.pausing(|search| visit::visit_expr_while(search, looping));
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
        if ["todo", "unimplemented", "dbg"].contains(&name.as_str()) {
            self.found(
                line_of(call),
                &name,
                format!("`{name}!`"),
                "unfinished code looks finished from outside",
                "finish it or leave it out",
            );
        }
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let reason = attribute.meta.require_name_value().ok().and_then(|pair| text(&pair.value));
        let is_tool = reason
            .is_some_and(|reason| TOOLS.iter().any(|beginning| reason.starts_with(beginning)));
        if attribute.path().is_ident("ignore") && !is_tool {
            self.found(
                line_of(attribute),
                "ignore",
                "an ignored test".to_string(),
                "nobody runs it, and nobody sees that",
                "let it skip itself by a line in the file that TASKWRIGHT_SKIPS names, or, if it \
                 is a tool and no test, begin the reason with `it is` or `writes`",
            );
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let is_task = function.attrs.iter().any(|attribute| {
            attribute.path().segments.last().is_some_and(|name| name.ident == "task")
        });
        if is_task {
            self.pausing(|search| visit::visit_item_fn(search, function));
        } else {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.unsafe_code(line_of(block));
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if !matches!(signature.safety, syn::Safety::Default) {
            self.unsafe_code(line_of(signature));
        }
        visit::visit_signature(self, signature);
    }
}

/// The text of a string literal.
fn text(expression: &Expr) -> Option<String> {
    let Expr::Lit(literal) = expression else { return None };
    let syn::Lit::Str(text) = &literal.lit else { return None };
    Some(text.value())
}

#[cfg(test)]
#[path = "tests/habits.rs"]
mod tests;
