//! What the end of a command means for its job.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use taskwright_core::JobError;

use super::run::{Ending, Ran};

/// The exit code of an error that no other attempt could avoid (`EX_DATAERR`).
const EXIT_FINAL: i32 = 65;
/// The exit code of a command that wants to run again later (`EX_TEMPFAIL`).
const EXIT_SNOOZE: i32 = 75;
/// How much of what a command said goes into the error of its job.
const SAID_BYTES_MAX: usize = 16 * 1024 - 256;

/// What the end of a command means for its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is done.
    Completed,
    /// It wants to run again later, unspent.
    Snoozed,
    /// It failed; a final error is not tried again.
    Failed {
        /// What went wrong.
        error: JobError,
        /// Whether no other attempt could succeed.
        is_final: bool,
    },
    /// It was told to stop, so that nobody knows how far it came.
    Stopped,
}

/// What a run means: exit code 0 completed, 65 a final error, 75 snoozed, all else failed.
pub fn meaning(ran: &Ran, output_bytes_max: usize) -> Meaning {
    let failed = |kind: &str, what: String, is_final: bool| {
        let said = last_words(ran);
        let message = if said.is_empty() { what } else { format!("{what}: {said}") };
        Meaning::Failed { error: JobError::new(kind, &message), is_final }
    };
    match &ran.ending {
        Ending::Exited(0) => Meaning::Completed,
        Ending::Exited(EXIT_SNOOZE) => Meaning::Snoozed,
        Ending::Exited(code) => failed("exit", format!("exit code {code}"), *code == EXIT_FINAL),
        Ending::Signalled(signal) => {
            let status = ExitStatus::from_raw(*signal);
            failed(
                "signal",
                format!("killed by {}", status.to_string().replace("signal: ", "signal ")),
                false,
            )
        }
        Ending::TooMuchOutput => {
            Meaning::Failed { error: too_much_output(output_bytes_max), is_final: true }
        }
        Ending::Stopped => Meaning::Stopped,
        Ending::Failed(error) => failed("start", format!("the command cannot run: {error}"), false),
    }
}

/// The error of a command that printed more than can be kept; no other attempt could avoid it.
pub fn too_much_output(max: usize) -> JobError {
    let message = format!(
        "the command printed more than the {max} bytes that are kept of an output; let it write to a file"
    );
    JobError::new("output", &message)
}

/// The last that the command said: on stderr, or where it said nothing there, on stdout.
fn last_words(ran: &Ran) -> String {
    let said = [&ran.stderr, &ran.stdout]
        .into_iter()
        .map(|bytes| bytes.trim_ascii())
        .find(|bytes| !bytes.is_empty())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&said[said.len().saturating_sub(SAID_BYTES_MAX)..]);
    let mut start = text.len().saturating_sub(SAID_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}

#[cfg(test)]
#[path = "tests/ended.rs"]
mod tests;
