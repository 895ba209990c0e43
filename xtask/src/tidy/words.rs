//! One word means one thing: names and doc comments keep to the vocabulary.
//!
//! Looked at are the names that code gives (functions, types, fields, variables), doc comments, and
//! the texts of the command line; not the names that it uses of others.

use anyhow::Result;
use proc_macro2::Ident;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Lit, LitStr, Meta};

use crate::finding::Finding;
use crate::rust_file::{RustFile, line_of};
use crate::tree::Tree;

/// What others say, and what we say.
const INSTEAD: [(&str, &str); 17] = [
    ("broker", "store or server"),
    ("kwargs", "args"),
    ("enqueue at", "run_at"),
    ("visibility timeout", "lease"),
    ("dead letter", "dead"),
    ("deadletter", "dead"),
    ("nack", "report (failed or released)"),
    ("requeue", "retry, release or redrive"),
    ("re enqueue", "retry, release or redrive"),
    ("vhost", "namespace"),
    ("job kind", "task"),
    ("job type", "task"),
    ("job class", "task"),
    ("cron job", "schedule"),
    ("reaper", "sweep"),
    ("rescuer", "sweep"),
    ("janitor", "prune"),
];

/// Where every string literal is text for people.
const COMMAND_LINE: &str = "crates/cli/src/";

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let others = |file: &&RustFile| !file.path.starts_with("xtask/");
    Ok(tree.rust.iter().filter(others).flat_map(check_file).collect())
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let literals = file.path.starts_with(COMMAND_LINE) && !file.is_test;
    let mut search = Search { file, literals, findings: Vec::new() };
    let stem = file.path.rsplit('/').next().unwrap_or(&file.path).trim_end_matches(".rs");
    search.judge(1, stem, "the file name");
    search.visit_file(&file.syntax);
    search.findings
}

struct Search<'a> {
    file: &'a RustFile,
    literals: bool,
    findings: Vec<Finding>,
}

impl Search<'_> {
    fn judge(&mut self, line: usize, text: &str, place: &str) {
        let said = format!(" {} ", plain_words(text));
        for (word, instead) in INSTEAD {
            let one = said.contains(&format!(" {word} ")) || said.contains(&format!(" {word}s "));
            if one && !self.file.allows(line, word) {
                self.findings.push(Finding::new(
                    &self.file.path,
                    line,
                    format!("{place} says \"{word}\""),
                    "one word means one thing in code, API, command line and docs",
                    format!("say {instead}; or `// tidy: allow {word}` if another thing is meant"),
                ));
            }
        }
    }

    fn name(&mut self, ident: &Ident) {
        self.judge(line_of(ident), &ident.to_string(), &format!("the name `{ident}`"));
    }
}

/// Lower-case words with single spaces, out of prose, `snake_case` or `CamelCase`.
fn plain_words(text: &str) -> String {
    let mut words = String::new();
    let mut before_lower = false;
    for character in text.chars() {
        if !character.is_alphanumeric() {
            words.push(' ');
        } else {
            if character.is_uppercase() && before_lower {
                words.push(' ');
            }
            words.extend(character.to_lowercase());
        }
        before_lower = character.is_lowercase();
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let Meta::NameValue(pair) = &attribute.meta else { return };
        let Expr::Lit(literal) = &pair.value else { return };
        if let (true, Lit::Str(text)) = (pair.path.is_ident("doc"), &literal.lit) {
            self.judge(line_of(attribute), &text.value(), "a doc comment");
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        if self.literals {
            self.judge(line_of(literal), &literal.value(), "a text");
        }
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.name(&signature.ident);
        visit::visit_signature(self, signature);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.name(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.name(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.name(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.name(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.name(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.name(&item.ident);
        visit::visit_item_const(self, item);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.name(&variant.ident);
        visit::visit_variant(self, variant);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.name(ident);
        }
        visit::visit_field(self, field);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        self.name(&pattern.ident);
        visit::visit_pat_ident(self, pattern);
    }
}

#[cfg(test)]
#[path = "tests/words.rs"]
mod tests;
