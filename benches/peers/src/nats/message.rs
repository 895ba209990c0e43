//! What a NATS server sends.

use std::io::BufRead;
use std::ops::Range;

use anyhow::{Context, Result, bail};

use crate::wire::{read_body, read_line, text};

/// The server's own limit of a message, unless it is configured otherwise.
const LONGEST_BODY: usize = 1024 * 1024;

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A body, and perhaps a subject to reply to.
    Job,
    /// No body but a status: the end of a pull.
    Status {
        /// 404 no messages, 408 time is up, 409 a limit, 503 nobody listens.
        code: u16,
        /// Jobs of the pull that were not served, if told.
        unserved: Option<u64>,
    },
    /// To be answered with `PONG`.
    Ping,
    /// The answer to `PING`.
    Pong,
    /// News of the server that nothing depends on.
    Notice,
}

/// The last message read; its buffers are used again by the next.
#[derive(Debug, Default)]
pub struct Message {
    line: Vec<u8>,
    reply_to: Range<usize>,
    /// The body, after the headers.
    pub body: Vec<u8>,
}

impl Message {
    /// Reads the next message.
    ///
    /// # Errors
    /// When the server is silent, has gone, reports an error, or says what no server says.
    pub fn read(&mut self, reader: &mut impl BufRead) -> Result<Kind> {
        read_line(reader, &mut self.line)?;
        self.reply_to = 0..0;
        self.body.clear();
        let verb = self.line.split(|byte| *byte == b' ').next().unwrap_or_default();
        match verb {
            b"MSG" => self.read_plain(reader),
            b"HMSG" => self.read_with_headers(reader),
            b"PING" => Ok(Kind::Ping),
            b"PONG" => Ok(Kind::Pong),
            b"INFO" | b"+OK" => Ok(Kind::Notice),
            _ => bail!("NATS said {:?}", text(&self.line)),
        }
    }

    /// Where the server wants the reply; empty when it wants none.
    pub fn reply_to(&self) -> &[u8] {
        &self.line[self.reply_to.clone()]
    }

    /// `MSG <subject> <sid> [reply-to] <bytes>`
    fn read_plain(&mut self, reader: &mut impl BufRead) -> Result<Kind> {
        let [length] = self.heading()?;
        read_body(reader, length, &mut self.body)?;
        Ok(Kind::Job)
    }

    /// `HMSG <subject> <sid> [reply-to] <bytes of headers> <bytes>`
    fn read_with_headers(&mut self, reader: &mut impl BufRead) -> Result<Kind> {
        let [headers, length] = self.heading()?;
        read_body(reader, length, &mut self.body)?;
        if headers > length {
            bail!("NATS told more headers than bytes: {:?}", text(&self.line));
        }
        let status = status(&self.body[..headers])?;
        self.body.drain(..headers);
        Ok(status.unwrap_or(Kind::Job))
    }

    /// Takes the reply-to subject and the N lengths out of the heading.
    fn heading<const N: usize>(&mut self) -> Result<[usize; N]> {
        let wrong = || format!("NATS sent a message with a wrong heading: {:?}", text(&self.line));
        // Verb, subject, subscription, perhaps a reply-to, lengths; spaces may be doubled.
        let words: Vec<&[u8]> = words(&self.line).collect();
        let first_length = words.len().checked_sub(N).filter(|at| (3..=4).contains(at));
        let first_length = first_length.with_context(wrong)?;
        let mut lengths = [0; N];
        for (length, word) in lengths.iter_mut().zip(&words[first_length..]) {
            let told = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
            *length = told.filter(|length| *length <= LONGEST_BODY).with_context(wrong)?;
        }
        if first_length == 4 {
            let begin = words[3].as_ptr() as usize - self.line.as_ptr() as usize;
            self.reply_to = begin..begin + words[3].len();
        }
        Ok(lengths)
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// The status in these headers, if there is one: `NATS/1.0 408 Request Timeout`.
fn status(headers: &[u8]) -> Result<Option<Kind>> {
    let headers = std::str::from_utf8(headers).context("NATS sent headers that are not text")?;
    let mut lines = headers.split("\r\n");
    let first = lines.next().and_then(|line| line.strip_prefix("NATS/1.0"));
    let first = first.with_context(|| format!("NATS sent other headers: {headers:?}"))?;
    let Some(code) = first.split_whitespace().next() else { return Ok(None) };
    let code = code.parse().with_context(|| format!("NATS sent no status: {headers:?}"))?;
    let unserved = lines
        .find_map(|line| line.strip_prefix("Nats-Pending-Messages:"))
        .and_then(|told| told.trim().parse().ok());
    Ok(Some(Kind::Status { code, unserved }))
}

/// Whether this answer to a publish says that the stream has the job.
pub fn is_accepted(body: &[u8]) -> bool {
    let contains = |key: &[u8]| body.windows(key.len()).any(|part| part == key);
    contains(b"\"seq\":") && !contains(b"\"error\"") && !contains(b"\"duplicate\"")
}

#[cfg(test)]
#[path = "tests/message.rs"]
mod tests;
