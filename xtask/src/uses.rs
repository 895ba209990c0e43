//! What `use` declarations bring in, one name at a time.

use syn::UseTree;

use crate::rust_file::line_of;

/// One imported name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The name it has here; `*` for everything.
    pub local: String,
    /// Its full path, without `::*`.
    pub path: String,
    /// Where it is named, from 1.
    pub line: usize,
}

/// Every name of a `use` declaration.
pub fn names(tree: &UseTree) -> Vec<Use> {
    let mut found = Vec::new();
    collect("", tree, &mut found);
    found
}

fn collect(prefix: &str, tree: &UseTree, into: &mut Vec<Use>) {
    let mut add = |local: String, name: String, line| {
        let path = match name.as_str() {
            "self" | "" => prefix.trim_end_matches("::").to_string(),
            name => format!("{prefix}{name}"),
        };
        let own_name = || path.rsplit("::").next().unwrap_or(&path).to_string();
        let local = if local == "self" { own_name() } else { local };
        into.push(Use { local, path, line });
    };
    match tree {
        UseTree::Path(path) => collect(&format!("{prefix}{}::", path.ident), &path.tree, into),
        UseTree::Name(name) => add(name.ident.to_string(), name.ident.to_string(), line_of(name)),
        UseTree::Rename(name) => {
            add(name.rename.to_string(), name.ident.to_string(), line_of(name));
        }
        UseTree::Glob(glob) => add("*".to_string(), String::new(), line_of(glob)),
        UseTree::Group(group) => {
            for tree in &group.items {
                collect(prefix, tree, into);
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/uses.rs"]
mod tests;
