//! Inputs and outputs as JSON, and the ids of their jobs. Bytes that are no text survive.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use taskwright_core::limits::PAYLOAD_BYTES_MAX;
use taskwright_core::{JobId, Json};

/// One input of a run. Equal ones are told apart by their occurrence, from 1.
pub type Input = Vec<u8>;

/// The args of a job.
#[derive(Serialize, Deserialize)]
struct Args {
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_base64: Option<String>,
}

/// What a completed job leaves behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_base64: Option<String>,
    /// The slot that ran it, from 1.
    pub worker: usize,
    /// How long it waited for that slot since it was due.
    pub waiting_ms: f64,
    /// How long it ran.
    pub running_ms: f64,
}

/// Bytes as a text, or where they are none, in base64.
fn encode(bytes: Vec<u8>) -> (Option<String>, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
    }
}

fn decode(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>> {
    match (text, base64) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, Some(base64)) => Ok(STANDARD.decode(base64)?),
        (None, None) => Err(anyhow!("neither a text nor base64")),
    }
}

/// The args of the job of an input.
pub fn args(input: &[u8]) -> Json {
    let (input, input_base64) = encode(input.to_vec());
    // Texts and options cannot fail to be written.
    Json::from_trusted(serde_json::to_string(&Args { input, input_base64 }).unwrap_or_default())
}

/// The input in the args of a job.
pub fn input_of(args: &Json) -> Result<Input> {
    let args: Args = serde_json::from_str(args.as_str())?;
    decode(args.input, args.input_base64)
}

impl Output {
    /// What a command printed, and what it cost.
    pub fn new(printed: Vec<u8>, worker: usize, waiting_ms: f64, running_ms: f64) -> Self {
        let (output, output_base64) = encode(printed);
        Output { output, output_base64, worker, waiting_ms, running_ms }
    }

    /// The result of a completed job.
    pub fn of(result: &Json) -> Result<Output> {
        Ok(serde_json::from_str(result.as_str())?)
    }

    /// As the result of a job; `None` where that would be too long.
    pub fn to_json(&self) -> Option<Json> {
        self.written().or_else(|| self.in_base64().written())
    }

    fn written(&self) -> Option<Json> {
        let text = serde_json::to_string(self).ok()?;
        (text.len() <= PAYLOAD_BYTES_MAX).then(|| Json::from_trusted(text))
    }

    /// The same without text, whose control characters take six bytes each in JSON.
    fn in_base64(&self) -> Output {
        let Some(text) = &self.output else { return self.clone() };
        Output { output: None, output_base64: Some(STANDARD.encode(text)), ..self.clone() }
    }

    /// What the command printed.
    pub fn printed(self) -> Result<Vec<u8>> {
        decode(self.output, self.output_base64)
    }

    /// What the command printed, for JSON: the field's name and its value.
    pub fn field(&self) -> (&'static str, &str) {
        match (&self.output, &self.output_base64) {
            (Some(text), _) => ("output", text),
            (None, base64) => ("output_base64", base64.as_deref().unwrap_or_default()),
        }
    }
}

/// An input for JSON: the field's name and its value.
pub fn field(input: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(input) {
        Ok(text) => ("input", text.to_owned()),
        Err(_) => ("input_base64", STANDARD.encode(input)),
    }
}

/// An input for people: one line, whatever it contains.
pub fn shown(input: &[u8]) -> Arc<str> {
    /// Longest input that is shown whole, in characters.
    const SHOWN_MAX: usize = 120;
    crate::show::short(&String::from_utf8_lossy(input), SHOWN_MAX).into()
}

/// The id of the job of an input: the same input, seen for the same time in the same run, always
/// gets the same id. A UUID version 8 (RFC 9562) of a SHA-256 digest.
pub fn job_id(run: &str, input: &[u8], occurrence: u32) -> JobId {
    let mut digest = Sha256::new();
    digest.update((run.len() as u64).to_be_bytes());
    digest.update(run);
    digest.update(occurrence.to_be_bytes());
    digest.update(input);
    let digest = digest.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    JobId::from_u128(u128::from_be_bytes(bytes))
}

#[cfg(test)]
#[path = "tests/input.rs"]
mod tests;
