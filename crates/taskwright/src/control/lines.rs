//! Lines over a Unix socket.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// A stream of lines, each of limited length.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<UnixStream>,
    bytes_max: u64,
}

impl Lines {
    pub(crate) fn new(stream: UnixStream, bytes_max: usize) -> Self {
        let bytes_max = bytes_max as u64;
        Lines { stream: BufReader::new(stream), bytes_max }
    }

    /// The next line without its end; `None`: the other side has said all.
    ///
    /// A line that is too long or has no end is an error, after which the stream is of no use.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(self.bytes_max);
        if bounded.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        match line.pop() {
            Some(b'\n') => Ok(Some(line)),
            _ if line.len() as u64 + 1 >= self.bytes_max => {
                let message = format!("a line is longer than {} bytes", self.bytes_max);
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Waits until the other side has gone; for ever where it says more, which is left to be read.
    pub(crate) async fn gone(&mut self) {
        if matches!(self.stream.fill_buf().await, Ok(said) if !said.is_empty()) {
            std::future::pending().await
        }
    }

    /// Writes a line, which brings its end.
    pub(crate) async fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(line).await
    }
}
