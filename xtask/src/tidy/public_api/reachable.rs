//! Which names of a crate can be seen from outside.

use std::collections::{HashMap, HashSet};

use syn::{Item, Visibility};

use crate::rust_file::{RustFile, is_test_only, module_path};
use crate::uses;

/// What is visible of a crate. Names are taken as unique within it: of two with one name, both
/// count as visible.
pub struct Reachable {
    /// Modules (paths without `.rs`) that can be named from outside.
    open: HashSet<String>,
    /// Names that are re-exported one by one.
    exported: HashSet<String>,
}

impl Reachable {
    /// Reads the modules and re-exports of one crate's files.
    pub fn of(files: &[&RustFile]) -> Reachable {
        let mut open = HashSet::new();
        let mut exported = HashSet::new();
        let by_module: HashMap<String, &RustFile> =
            files.iter().map(|file| (module_of(&file.path), *file)).collect();
        let root = by_module.iter().find(|(_, file)| file.path.ends_with("/src/lib.rs"));
        let mut next: Vec<String> = root.map(|(module, _)| module.clone()).into_iter().collect();
        while let Some(module) = next.pop() {
            if !open.insert(module.clone()) {
                continue;
            }
            let Some(file) = by_module.get(&module) else { continue };
            for item in &file.syntax.items {
                match item {
                    Item::Mod(inner) if is_public(&inner.vis) && !is_test_only(&inner.attrs) => {
                        next.push(module_path(&file.path, &inner.ident.to_string(), &inner.attrs));
                    }
                    Item::Use(used) if is_public(&used.vis) => {
                        for name in uses::names(&used.tree) {
                            if name.local == "*" {
                                next.extend(named_module(&file.path, &name.path));
                            } else {
                                let own = name.path.rsplit("::").next().unwrap_or(&name.path);
                                exported.insert(own.to_string());
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        Reachable { open, exported }
    }

    /// Whether `name`, which is `pub` in the file at `path`, can be seen from outside.
    pub fn shows(&self, path: &str, name: &str) -> bool {
        self.open.contains(&module_of(path)) || self.exported.contains(name)
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn module_of(path: &str) -> String {
    path.trim_end_matches(".rs").trim_end_matches("/mod").to_string()
}

/// The module that `pub use PATH::*` in the file at `parent` opens, if it is of this crate.
fn named_module(parent: &str, path: &str) -> Option<String> {
    let inside = path.trim_start_matches("self::");
    let (base, rest) = match inside.strip_prefix("crate::") {
        Some(rest) => {
            let (folder, _) = parent.split_once("/src/")?;
            (format!("{folder}/src/lib.rs"), rest)
        }
        None => (parent.to_string(), inside),
    };
    Some(module_path(&base, &rest.replace("::", "/"), &[]))
}
