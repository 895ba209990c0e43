//! The API of a process that has a control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_protocol::{Operation, REPLY_BYTES_MAX, RemoteApi, Transport, line};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::control::lines::Lines;
use crate::pool::Pool;

/// The longest to reach the process.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that an answer may take, beyond the wait that was asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The API of another process.
pub(crate) type ControlApi = RemoteApi<ControlTransport>;

/// The API behind the control socket at `path`; `None`: no process listens there.
pub(crate) async fn reach(path: &Path) -> Result<Option<ControlApi>> {
    let transport = ControlTransport { path: path.to_owned(), idle: Pool::default() };
    match transport.connect().await {
        Ok(lines) => {
            transport.idle.put(lines);
            Ok(Some(RemoteApi::new(transport)))
        }
        Err(cause) if is_nobody(&cause) => Ok(None),
        Err(cause) => Err(transport.unreachable(&cause)),
    }
}

/// Whether the cause is that no process listens: no socket, or one that was left behind.
pub(crate) fn is_nobody(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Carries requests over one socket.
#[derive(Debug)]
pub(crate) struct ControlTransport {
    path: PathBuf,
    idle: Pool<Lines>,
}

#[async_trait]
impl Transport for ControlTransport {
    async fn call(&self, operation: Operation, body: Vec<u8>, wait: Duration) -> Result<Vec<u8>> {
        let within = ANSWER_TIMEOUT + wait;
        let request = line::request(operation, &body);
        match timeout(within, self.exchange(operation, &request)).await {
            Ok(reply) => line::read_reply(&reply?).map(<[u8]>::to_vec),
            Err(_) => {
                let within = taskwright_core::format_duration(within);
                Err(self.unavailable(&format!("no answer within {within}")))
            }
        }
    }
}

impl ControlTransport {
    /// A kept connection may have been closed meanwhile: then another is used.
    async fn exchange(&self, operation: Operation, request: &[u8]) -> Result<Vec<u8>> {
        while let Some(mut lines) = self.idle.take(|_| true) {
            match ask(&mut lines, request).await {
                Ok(reply) => return Ok(self.keep(lines, reply)),
                Err(cause) if !operation.is_repeatable() => {
                    return Err(self.unavailable(&cause.to_string()));
                }
                Err(_) => {}
            }
        }
        let mut lines = self.connect().await.map_err(|cause| self.unreachable(&cause))?;
        match ask(&mut lines, request).await {
            Ok(reply) => Ok(self.keep(lines, reply)),
            Err(cause) => Err(self.unavailable(&cause.to_string())),
        }
    }

    async fn connect(&self) -> io::Result<Lines> {
        let stream = timeout(CONNECT_TIMEOUT, UnixStream::connect(&self.path)).await??;
        Ok(Lines::new(stream, REPLY_BYTES_MAX))
    }

    fn keep(&self, lines: Lines, reply: Vec<u8>) -> Vec<u8> {
        self.idle.put(lines);
        reply
    }

    fn unreachable(&self, cause: &io::Error) -> Error {
        let path = self.path.display();
        let message = format!("cannot reach the process behind {path} ({cause}); is it running?");
        Error::new(ErrorCode::Unavailable, message)
    }

    fn unavailable(&self, cause: &str) -> Error {
        let message = format!(
            "the process behind {} did not answer ({cause}): what was asked may have been done; ask again",
            self.path.display()
        );
        Error::new(ErrorCode::Unavailable, message)
    }
}

async fn ask(lines: &mut Lines, request: &[u8]) -> io::Result<Vec<u8>> {
    lines.send(request).await?;
    lines.next().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
