//! A connection to a peer, and lines read from it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long a peer may take to answer or to read.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

const LONGEST_LINE: u64 = 64 * 1024;

/// A connection whose every read and write has a deadline.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What the peer sends.
    pub reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a peer.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)
            .with_context(|| format!("connecting to {address}"))?;
        let reader = (|| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            stream.set_write_timeout(Some(ANSWER_WITHIN))?;
            stream.try_clone()
        })();
        let reader = reader.with_context(|| format!("setting up the connection to {address}"))?;
        Ok(Connection { stream, reader: BufReader::with_capacity(256 * 1024, reader) })
    }

    /// Sends all of `bytes` in one write.
    ///
    /// # Errors
    /// When the peer has gone or does not read.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("sending to the peer")
    }
}

/// Reads one line into `line`, without its end.
///
/// # Errors
/// When the peer is silent or has gone, or the line is longer than 64 KiB.
pub fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<()> {
    line.clear();
    reader.by_ref().take(LONGEST_LINE).read_until(b'\n', line).context("waiting for the peer")?;
    if !line.ends_with(b"\n") {
        bail!("the peer's line has no end: {:?}", text(line));
    }
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(())
}

/// Reads `length` bytes and the end of line after them into `body`, without that end.
///
/// # Errors
/// When the peer is silent or has gone, or no line ends there.
pub fn read_body(reader: &mut impl BufRead, length: usize, body: &mut Vec<u8>) -> Result<()> {
    body.resize(length + 2, 0);
    reader.read_exact(body).context("waiting for the rest of a job")?;
    if !body.ends_with(b"\r\n") {
        bail!("the peer's job is longer than the {length} bytes it told");
    }
    body.truncate(length);
    Ok(())
}

/// The beginning of what a peer said, for a message.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

#[cfg(test)]
#[path = "tests/wire.rs"]
mod tests;
