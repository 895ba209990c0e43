//! Where inputs come from: the command line, lines, or texts that end with NUL.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context as _, Result, bail};
use taskwright_core::limits::BATCH_MAX;
use tokio::sync::mpsc;

use super::input::Input;

/// Longest input, in bytes: Linux takes no longer argument.
const INPUT_BYTES_MAX: usize = 128 * 1024 - 1;
/// Inputs that are read ahead.
const AHEAD: usize = 2 * BATCH_MAX;

/// Where inputs come from.
#[derive(Debug)]
pub struct Source {
    /// Inputs as they were given; `-` stands for those of standard input.
    pub given: Vec<OsString>,
    /// What ends an input of standard input.
    pub separator: u8,
}

/// Inputs on their way, read on a thread of their own.
pub type Inputs = mpsc::Receiver<Result<Input>>;

impl Source {
    /// Starts to read.
    pub fn start(self) -> Result<Inputs> {
        let (sender, inputs) = mpsc::channel(AHEAD);
        std::thread::Builder::new()
            .name("inputs".to_owned())
            .spawn(move || {
                let result = self.send_all(&sender);
                if let Err(error) = result {
                    // Nobody wants them any more, where this fails.
                    let _ = sender.blocking_send(Err(error));
                }
            })
            .context("cannot start a thread that reads the inputs")?;
        Ok(inputs)
    }

    fn send_all(self, sender: &mpsc::Sender<Result<Input>>) -> Result<()> {
        for word in self.given {
            if word == "-" {
                send_parts(io::stdin().lock(), self.separator, sender)?;
            } else if sender.blocking_send(Ok(word.into_vec())).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn send_parts(
    mut reader: impl BufRead,
    separator: u8,
    sender: &mpsc::Sender<Result<Input>>,
) -> Result<()> {
    let mut number = 0_u64;
    loop {
        number += 1;
        match next_part(&mut reader, separator).context("cannot read standard input")? {
            None => return Ok(()),
            Some(part) if part.len() > INPUT_BYTES_MAX => bail!(
                "input {number} of standard input is longer than the {INPUT_BYTES_MAX} bytes that a command can be given; put it into a file and give its name"
            ),
            Some(part) => {
                if sender.blocking_send(Ok(part)).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// The next part without its separator, cut where it is too long; `None` at the end.
fn next_part(reader: &mut impl BufRead, separator: u8) -> io::Result<Option<Input>> {
    let mut part = Vec::new();
    let limit = INPUT_BYTES_MAX as u64 + 2;
    if reader.by_ref().take(limit).read_until(separator, &mut part)? == 0 {
        return Ok(None);
    }
    if part.last() == Some(&separator) {
        part.pop();
    }
    Ok(Some(part))
}

#[cfg(test)]
#[path = "tests/source.rs"]
mod tests;
