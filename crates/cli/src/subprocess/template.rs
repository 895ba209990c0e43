//! Commands as people write them, and the words they become.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Result, anyhow, bail};

/// What stands for the input in a command.
const HOLE: &[u8] = b"{}";
/// What `$0` is in commands given to `--shell`.
const SHELL_NAME: &str = "taskwright-each";

/// A command: words that were split once, long before any input is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    words: Vec<Vec<u8>>,
}

impl Template {
    /// Splits a command as a shell splits words; nothing else of a shell happens.
    pub fn split(option: &str, command: &OsString) -> Result<Template> {
        let shown = command.to_string_lossy();
        let words = shlex::bytes::split(&command.clone().into_vec()).ok_or_else(|| {
            anyhow!("{option} {shown:?} has a quote that is not closed; close it")
        })?;
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Template { words }),
            _ => bail!(
                "{option} {shown:?} names no program; write one, like {option} 'sha256sum {{}}'"
            ),
        }
    }

    /// A command for `sh -c`, which gets the input as `$1`.
    pub fn shell(command: &OsString) -> Result<Template> {
        let text = command.clone().into_vec();
        if text.windows(HOLE.len()).any(|window| window == HOLE) {
            bail!(
                "--shell {:?} contains {{}}, which would put the input into the text of a command; write \"$1\" instead",
                command.to_string_lossy()
            );
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            bail!("--shell has no command; write one, like --shell 'wc -l < \"$1\"'");
        }
        let words = vec![b"sh".to_vec(), b"-c".to_vec(), text, SHELL_NAME.into()];
        Ok(Template { words })
    }

    /// The words, `{}` not replaced.
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// The program's name without its directory.
    pub fn program(&self) -> String {
        let program = self.words.first().map(Vec::as_slice).unwrap_or_default();
        let name = program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// The words to run, as they are.
    pub fn plain(&self) -> Vec<OsString> {
        self.words.iter().cloned().map(OsString::from_vec).collect()
    }

    /// The words to run for one input: it replaces each `{}`, also inside a word, or is appended
    /// where there is none. It stays inside its word whatever it contains.
    pub fn filled(&self, input: &[u8]) -> Vec<OsString> {
        let mut has_hole = false;
        let mut words: Vec<OsString> = Vec::with_capacity(self.words.len() + 1);
        for word in &self.words {
            let filled = replaced(word, input);
            has_hole |= filled.is_some();
            words.push(OsString::from_vec(filled.unwrap_or_else(|| word.clone())));
        }
        if !has_hole {
            words.push(OsString::from_vec(input.to_vec()));
        }
        words
    }
}

/// The word with every hole replaced; `None` where it has none.
fn replaced(word: &[u8], input: &[u8]) -> Option<Vec<u8>> {
    let mut filled = None;
    let mut rest = word;
    while let Some(hole) = rest.windows(HOLE.len()).position(|window| window == HOLE) {
        let filled = filled.get_or_insert_with(Vec::new);
        filled.extend_from_slice(&rest[..hole]);
        filled.extend_from_slice(input);
        rest = &rest[hole + HOLE.len()..];
    }
    filled.map(|mut filled: Vec<u8>| {
        filled.extend_from_slice(rest);
        filled
    })
}

#[cfg(test)]
#[path = "tests/template.rs"]
mod tests;
