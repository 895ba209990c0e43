//! No third-party type in what applications, stores and clients see.
//!
//! Public is what is `pub` in a module that is reachable from outside, or is re-exported by name. A
//! type belongs to others when its path, through the file's `use` declarations, begins with a
//! dependency. Serde's traits are allowed, since types of applications pass through them.

mod reachable;
mod signature;

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use syn::{Attribute, ImplItem, Item, Meta, Visibility};

use self::reachable::Reachable;
use self::signature::Search;
use crate::finding::Finding;
use crate::manifest::{Manifest, Need};
use crate::rust_file::{RustFile, is_test_only};
use crate::tree::Tree;
use crate::uses;

const WATCHED: [&str; 5] = [
    "taskwright-core",
    "taskwright-store",
    "taskwright-engine",
    "taskwright-protocol",
    "taskwright",
];
/// Modules whose purpose is to speak another library's types.
const EXCEPTIONS: [&str; 2] = ["crates/taskwright/src/postgres", "crates/taskwright/src/axum"];

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for manifest in &tree.manifests {
        if WATCHED.contains(&manifest.package.as_str()) {
            let folder = format!("{}/src/", manifest.folder());
            let files: Vec<&RustFile> =
                tree.rust.iter().filter(|file| file.path.starts_with(&folder)).collect();
            findings.extend(check_crate(manifest, &files));
        }
    }
    Ok(findings)
}

fn check_crate(manifest: &Manifest, files: &[&RustFile]) -> Vec<Finding> {
    let foreign: HashSet<String> = manifest
        .dependencies
        .iter()
        .filter(|d| d.need == Need::Normal && !d.package.starts_with("taskwright"))
        .map(|d| d.code_name.clone())
        .collect();
    let reachable = Reachable::of(files);
    let mut findings = Vec::new();
    for file in files {
        let excepted = EXCEPTIONS.iter().any(|module| file.path.starts_with(module));
        if !file.is_test && !excepted {
            let mut search = Search::new(file, &foreign, imports(&file.syntax.items));
            check_items(&file.syntax.items, &reachable, &mut search);
            findings.append(&mut search.findings);
        }
    }
    findings
}

/// What each imported name of a file stands for.
fn imports(items: &[Item]) -> HashMap<String, String> {
    let mut paths = HashMap::new();
    for item in items {
        if let Item::Use(used) = item {
            for name in uses::names(&used.tree) {
                paths.insert(name.local, name.path);
            }
        }
    }
    paths
}

fn check_items(items: &[Item], reachable: &Reachable, search: &mut Search) {
    for item in items {
        let sees = |vis: &Visibility, attributes: &[Attribute], name: &syn::Ident| {
            is_open(vis, attributes) && reachable.shows(&search.file.path, &name.to_string())
        };
        match item {
            Item::Fn(item) if sees(&item.vis, &item.attrs, &item.sig.ident) => {
                search.signature(&item.sig);
            }
            Item::Struct(item) if sees(&item.vis, &item.attrs, &item.ident) => {
                search.generics(&item.generics);
                for field in &item.fields {
                    if matches!(field.vis, Visibility::Public(_)) {
                        search.ty(&field.ty);
                    }
                }
            }
            Item::Enum(item) if sees(&item.vis, &item.attrs, &item.ident) => {
                search.generics(&item.generics);
                for field in item.variants.iter().flat_map(|variant| &variant.fields) {
                    search.ty(&field.ty);
                }
            }
            Item::Trait(item) if sees(&item.vis, &item.attrs, &item.ident) => search.contract(item),
            Item::Type(item) if sees(&item.vis, &item.attrs, &item.ident) => search.ty(&item.ty),
            Item::Const(item) if sees(&item.vis, &item.attrs, &item.ident) => search.ty(&item.ty),
            Item::Use(item) if is_open(&item.vis, &item.attrs) => {
                for name in uses::names(&item.tree) {
                    if reachable.shows(&search.file.path, &name.local) {
                        search.path(name.line, &name.path);
                    }
                }
            }
            Item::Impl(item) if !is_test_only(&item.attrs) => check_impl(item, reachable, search),
            Item::Mod(module) if is_open(&module.vis, &module.attrs) => {
                let inner = module.content.iter().flat_map(|(_, items)| items);
                check_items(&inner.cloned().collect::<Vec<_>>(), reachable, search);
            }
            _ => {}
        }
    }
}

fn check_impl(item: &syn::ItemImpl, reachable: &Reachable, search: &mut Search) {
    let syn::Type::Path(path) = &*item.self_ty else { return };
    let Some(name) = path.path.segments.last() else { return };
    if !reachable.shows(&search.file.path, &name.ident.to_string()) {
        return;
    }
    if let Some((implemented, _)) = &item.trait_ {
        search.trait_arguments(implemented);
        return;
    }
    for member in &item.items {
        match member {
            ImplItem::Fn(function) if is_open(&function.vis, &function.attrs) => {
                search.signature(&function.sig);
            }
            ImplItem::Const(constant) if is_open(&constant.vis, &constant.attrs) => {
                search.ty(&constant.ty);
            }
            _ => {}
        }
    }
}

/// Whether something is `pub`, in the docs, and not for tests only.
fn is_open(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    let hidden = attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("doc") && list.tokens.to_string() == "hidden",
        _ => false,
    });
    matches!(visibility, Visibility::Public(_)) && !hidden && !is_test_only(attributes)
}

#[cfg(test)]
#[path = "tests/public_api.rs"]
mod tests;
