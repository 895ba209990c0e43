//! The types that a signature names, and whose they are.

use std::collections::{HashMap, HashSet};

use syn::visit::{self, Visit};
use syn::{GenericArgument, Generics, ItemTrait, PathArguments, Signature, TraitItem, Type};

use crate::finding::Finding;
use crate::rust_file::{RustFile, line_of};

/// Traits that types of applications pass through.
const ALLOWED: [&str; 7] = [
    "serde::Serialize",
    "serde::Deserialize",
    "serde::de::DeserializeOwned",
    "serde::Serializer",
    "serde::Deserializer",
    "serde::ser::Serialize",
    "serde::de::Deserialize",
];

/// Looks for other people's types in one file.
pub struct Search<'a> {
    /// The file.
    pub file: &'a RustFile,
    /// What was found.
    pub findings: Vec<Finding>,
    foreign: &'a HashSet<String>,
    imports: HashMap<String, String>,
}

impl<'a> Search<'a> {
    /// A search of `file`, which imports `imports`, for types of the crates `foreign`.
    pub fn new(
        file: &'a RustFile,
        foreign: &'a HashSet<String>,
        imports: HashMap<String, String>,
    ) -> Self {
        Search { file, findings: Vec::new(), foreign, imports }
    }

    /// Judges a function's inputs, output and bounds.
    pub fn signature(&mut self, signature: &Signature) {
        self.generics(&signature.generics);
        for input in &signature.inputs {
            if let syn::FnArg::Typed(argument) = input {
                self.ty(&argument.ty);
            }
        }
        if let syn::ReturnType::Type(_, output) = &signature.output {
            self.ty(output);
        }
    }

    /// Judges bounds.
    pub fn generics(&mut self, generics: &Generics) {
        self.visit_generics(generics);
    }

    /// Judges a type.
    pub fn ty(&mut self, ty: &Type) {
        self.visit_type(ty);
    }

    /// Judges what a trait demands and offers.
    pub fn contract(&mut self, item: &ItemTrait) {
        self.generics(&item.generics);
        for bound in &item.supertraits {
            self.visit_type_param_bound(bound);
        }
        for member in &item.items {
            match member {
                TraitItem::Fn(function) => self.signature(&function.sig),
                TraitItem::Type(associated) => {
                    for bound in &associated.bounds {
                        self.visit_type_param_bound(bound);
                    }
                }
                TraitItem::Const(constant) => self.ty(&constant.ty),
                _ => {}
            }
        }
    }

    /// Judges the arguments of an implemented trait, such as `X` in `From<X>`.
    pub fn trait_arguments(&mut self, path: &syn::Path) {
        for segment in &path.segments {
            let PathArguments::AngleBracketed(arguments) = &segment.arguments else { continue };
            for argument in &arguments.args {
                if let GenericArgument::Type(ty) = argument {
                    self.ty(ty);
                }
            }
        }
    }

    /// Judges one path as it is written.
    pub fn path(&mut self, line: usize, written: &str) {
        let (first, rest) = written.split_once("::").unwrap_or((written, ""));
        let full = match self.imports.get(first) {
            Some(path) if rest.is_empty() => path.clone(),
            Some(path) => format!("{path}::{rest}"),
            None => written.to_string(),
        };
        let owner = full.split("::").next().unwrap_or_default();
        let theirs = self.foreign.contains(owner) && !ALLOWED.contains(&full.as_str());
        if theirs && !self.file.allows(line, owner) {
            self.findings.push(Finding::new(
                &self.file.path,
                line,
                format!("`{full}` in a public signature"),
                format!("a new version of {owner} would break everybody who uses Taskwright"),
                "use std or a type of our own, or make it `pub(crate)`",
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.path(line_of(path), &segments.join("::"));
        visit::visit_path(self, path);
    }
}
