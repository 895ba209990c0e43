//! JSON from the command line, a file or standard input.

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context as _, Result, bail};
use taskwright_core::Json;
use taskwright_core::limits::PAYLOAD_BYTES_MAX;

/// Reads JSON that an option gives: as it is, `@FILE`, or `-` for standard input.
pub fn read(option: &str, value: &str) -> Result<Json> {
    let (text, source) = match value.strip_prefix('@') {
        _ if value == "-" => (read_all(io::stdin())?, "standard input"),
        Some(path) => {
            let file = File::open(path).with_context(|| format!("cannot read {option} {value}"))?;
            (read_all(file).with_context(|| format!("cannot read {option} {value}"))?, path)
        }
        None => (value.to_owned(), value),
    };
    checked(option, source, text)
}

/// JSON, if the text is that and not too long.
fn checked(option: &str, source: &str, text: String) -> Result<Json> {
    if text.len() > PAYLOAD_BYTES_MAX {
        bail!(
            "{option} is longer than the {PAYLOAD_BYTES_MAX} bytes that are allowed; keep the data elsewhere and pass its name"
        );
    }
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
        let shown: String = source.chars().take(60).collect();
        bail!(
            "{option} {shown:?} is not JSON: {error}; a text needs its double quotes, like {option} '\"text\"'"
        );
    }
    Ok(Json::from_trusted(text.trim()))
}

fn read_all(source: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    let limit = PAYLOAD_BYTES_MAX as u64 + 1;
    source.take(limit).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).context("it is not UTF-8")
}

#[cfg(test)]
#[path = "tests/payload.rs"]
mod tests;
