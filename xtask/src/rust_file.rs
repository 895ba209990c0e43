//! One parsed Rust file, and which of its code is test code.

use std::collections::HashSet;

use syn::spanned::Spanned;
use syn::{Attribute, Expr, Item, Lit, Meta};

/// A Rust file.
pub struct RustFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Its lines.
    pub lines: Vec<String>,
    /// Its syntax.
    pub syntax: syn::File,
    /// Whether all of it is compiled for tests, examples or benchmarks only.
    pub is_test: bool,
}

impl RustFile {
    /// Parses `text`.
    pub fn parse(path: &str, text: String) -> syn::Result<RustFile> {
        let syntax = syn::parse_file(&text)?;
        let is_test = ["/tests/", "/examples/", "/benches/"]
            .iter()
            .any(|folder| format!("/{path}").contains(folder));
        let lines = text.lines().map(str::to_string).collect();
        Ok(RustFile { path: path.to_string(), lines, syntax, is_test })
    }

    /// Whether `word` may stand on `line`: it or the line above says `tidy: allow WORD`.
    pub fn allows(&self, line: usize, word: &str) -> bool {
        let above = line.saturating_sub(2);
        self.lines[above..line.min(self.lines.len())].iter().any(|text| {
            text.split_once("tidy: allow ").is_some_and(|(_, said)| said.starts_with(word))
        })
    }
}

/// Whether an item with these attributes exists in tests only.
pub fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.segments.last().is_some_and(|last| last.ident == "test"),
        Meta::List(list) => {
            let said = list.tokens.to_string();
            let names_tests =
                said == "test" || said.contains("any (test") || said.contains("\"testing\"");
            (list.path.is_ident("cfg") && names_tests && !said.starts_with("not"))
                || list.path.segments.last().is_some_and(|last| last.ident == "test")
        }
        Meta::NameValue(_) => false,
    })
}

/// The line where something begins, from 1.
pub fn line_of(syntax: &impl Spanned) -> usize {
    syntax.span().start().line
}

/// Marks the files of modules that are declared for tests only.
pub fn mark_test_files(files: &mut [RustFile]) {
    let mut of_tests: HashSet<String> = HashSet::new();
    for file in files.iter() {
        for item in &file.syntax.items {
            let Item::Mod(module) = item else { continue };
            if module.content.is_none() && is_test_only(&module.attrs) {
                of_tests.insert(module_path(&file.path, &module.ident.to_string(), &module.attrs));
            }
        }
    }
    for file in files {
        let own = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let below = |module: &String| own == module || own.starts_with(&format!("{module}/"));
        file.is_test |= of_tests.iter().any(below);
    }
}

/// Where the module `name` declared in `parent` lives, without `.rs` or `/mod.rs`.
pub fn module_path(parent: &str, name: &str, attributes: &[Attribute]) -> String {
    let (folder, file) = parent.rsplit_once('/').unwrap_or(("", parent));
    if let Some(path) = path_attribute(attributes) {
        return format!("{folder}/{}", path.trim_end_matches(".rs"));
    }
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/{name}"),
        _ => format!("{folder}/{}/{name}", file.trim_end_matches(".rs")),
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(literal) = &pair.value else { return None };
        match &literal.lit {
            Lit::Str(text) if pair.path.is_ident("path") => Some(text.value()),
            _ => None,
        }
    })
}

#[cfg(test)]
#[path = "tests/rust_file.rs"]
mod tests;
