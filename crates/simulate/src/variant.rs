//! Variants of a workload: tables that override parts of it.

use toml::{Table, Value};

use crate::error::{Error, Result, invalid};
use crate::workload::Workload;

/// Reads a workload and its variants, each with its name; where the file has none, the workload as it
/// is, without one.
///
/// # Errors
/// Where the text is not TOML or not a workload: with the line.
pub fn read(text: &str) -> Result<Vec<(Option<String>, Workload)>> {
    let mut file: Table = text.parse().map_err(|error| unreadable(&error))?;
    let variants = match file.remove("variant") {
        None => Vec::new(),
        Some(Value::Array(variants)) => variants,
        Some(_) => return Err(invalid("the variants", "write each as a table: [[variant]]")),
    };
    if variants.is_empty() {
        // Read from the text, so that an error names the line.
        return Ok(vec![(None, toml::from_str(text).map_err(|error| unreadable(&error))?)]);
    }
    let mut all = Vec::new();
    for variant in variants {
        let Value::Table(mut variant) = variant else {
            return Err(invalid("a variant", "write it as a table: [[variant]]"));
        };
        let Some(Value::String(name)) = variant.remove("name") else {
            return Err(invalid("a variant", "it has no name; write name = \"…\""));
        };
        let mut workload = file.clone();
        overlay(&mut workload, variant);
        let workload = workload.try_into().map_err(|error: toml::de::Error| {
            invalid(format!("the variant {name:?}"), error.to_string().trim_end())
        })?;
        all.push((Some(name), workload));
    }
    Ok(all)
}

fn unreadable(error: &toml::de::Error) -> Error {
    Error::Unreadable(error.to_string().trim_end().to_owned())
}

/// Puts values over others. Tables in lists are the same where they are of the same thing; what is not
/// in the file is added.
fn overlay(workload: &mut Table, variant: Table) {
    for (key, value) in variant {
        match (workload.get_mut(&key), value) {
            (Some(Value::Array(old)), Value::Array(new)) if is_named(&key) => {
                new.into_iter().for_each(|item| overlay_item(old, item));
            }
            (_, value) => {
                workload.insert(key, value);
            }
        }
    }
}

fn overlay_item(items: &mut Vec<Value>, new: Value) {
    let same = items.iter_mut().find(|item| is_same(item, &new));
    match (same, new) {
        (Some(Value::Table(old)), Value::Table(new)) => old.extend(new),
        (_, new) => items.push(new),
    }
}

fn is_named(list: &str) -> bool {
    matches!(list, "task" | "worker" | "limit")
}

/// Whether two tables are of the same class, or limit the same.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.get("name"), other.get("name")) {
        (None, None) => {
            ["queue", "task", "group", "key"].iter().all(|of| one.get(of) == other.get(of))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
#[path = "tests/variant.rs"]
mod tests;
