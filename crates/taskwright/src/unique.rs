//! Unique keys that are computed from a job.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use taskwright_core::Name;
use taskwright_engine::JobRequest;

/// What of a job is the unique key.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// This text.
    Text(String),
    /// Task, queue and all args.
    Args,
    /// Task, queue and these fields of the args.
    Fields(Vec<String>),
}

/// The bytes of a digest that a key has: two jobs out of a billion share one with a chance below 10⁻²⁰.
const DIGEST_BYTES: usize = 16;

impl Key {
    /// The key of this job, or why it has none.
    pub(crate) fn of(&self, request: &JobRequest) -> Result<String, String> {
        match self {
            Key::Text(text) => Ok(text.clone()),
            Key::Args => {
                let args = canonical(request.args.as_str())?;
                Ok(key(&request.task, &request.queue, "args", [args]))
            }
            Key::Fields(names) => {
                let fields = fields_of(request.args.as_str(), names)?;
                Ok(key(&request.task, &request.queue, "fields", fields))
            }
        }
    }
}

/// `task:args:3f…`, so that people see whose key it is. Each part is digested with its length, so
/// that none can slip into another.
fn key(task: &Name, queue: &Name, what: &str, parts: impl IntoIterator<Item = String>) -> String {
    let mut digest = Sha256::new();
    let named = [queue.as_str().to_owned(), what.to_owned()];
    for part in named.into_iter().chain(parts) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut key = format!("{task}:{what}:");
    for byte in digest.finalize().iter().take(DIGEST_BYTES) {
        // Writing to a text cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// Each named field as `name` and its value, by name: their order makes no other key.
fn fields_of(args: &str, names: &[String]) -> Result<Vec<String>, String> {
    if names.is_empty() {
        return Err("no field is named; name some, or use unique_by_args".to_owned());
    }
    let Some(fields) = object(args) else {
        return Err("its args are no object with named fields; use unique_by_args".to_owned());
    };
    let mut named: Vec<&String> = names.iter().collect();
    named.sort();
    named.dedup();
    let mut parts = Vec::with_capacity(2 * named.len());
    for name in named {
        let Some(value) = fields.get(name) else {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Err(format!("its args have no {name:?}, but {}", known.join(", ")));
        };
        parts.extend([name.clone(), canonical(value.get())?]);
    }
    Ok(parts)
}

fn object(json: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(json).ok()
}

/// The same text for the same JSON: fields by name, nothing between tokens, texts escaped alike.
/// Numbers stay as they are written, since reading them may lose digits.
fn canonical(json: &str) -> Result<String, String> {
    let mut text = String::with_capacity(json.len());
    write_canonical(json.trim(), &mut text).map_err(|error| format!("its args: {error}"))?;
    Ok(text)
}

fn write_canonical(json: &str, text: &mut String) -> serde_json::Result<()> {
    match json.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
            text.push('{');
            for (number, (name, value)) in fields.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                text.push_str(&serde_json::to_string(name)?);
                text.push(':');
                write_canonical(value.get(), text)?;
            }
            text.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            text.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                write_canonical(item.get(), text)?;
            }
            text.push(']');
        }
        Some(b'"') => {
            let plain: String = serde_json::from_str(json)?;
            text.push_str(&serde_json::to_string(&plain)?);
        }
        _ => text.push_str(json),
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/unique.rs"]
mod tests;
