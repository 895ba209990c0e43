//! Listening on the control socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as PlainStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::WAIT_MAX;
use taskwright_engine::{Api, Error, ErrorCode, Result};
use taskwright_protocol::{Operation, REQUEST_BYTES_MAX, answer, line};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::control::client::is_nobody;
use crate::control::lines::Lines;

/// Who asks, in the audit record.
const ACTOR: &str = "local";
/// Most connections at once; further ones wait in the system's backlog.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest that an answer may take, beyond a wait that was asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest until the other side has read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait when the system has no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The socket is there as long as this is.
#[derive(Debug)]
pub(crate) struct ControlGuard {
    path: PathBuf,
    listening: AbortHandle,
}

impl Drop for ControlGuard {
    fn drop(&mut self) {
        self.listening.abort();
        if let Err(cause) = fs::remove_file(&self.path) {
            tracing::debug!(%cause, "the control socket was gone already");
        }
    }
}

/// Answers requests at a socket at `path`, for this user only, until the guard is dropped. A socket
/// that a dead process left behind is replaced; one that somebody listens at is `Locked`.
///
/// Must be called on the runtime that shall do the work.
pub(crate) fn serve(api: Arc<dyn Api>, path: &Path) -> Result<ControlGuard> {
    let listener = bind(path).map_err(|cause| {
        let code = match cause.kind() {
            io::ErrorKind::AddrInUse => ErrorCode::Locked,
            _ => ErrorCode::Unusable,
        };
        Error::new(code, format!("cannot listen at the socket {}: {cause}", path.display()))
    })?;
    let listening = tokio::spawn(listen(api, listener)).abort_handle();
    Ok(ControlGuard { path: path.to_owned(), listening })
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match PlainStream::connect(path) {
        Ok(_) => {
            let message = "another process listens there; stop it, or work through it";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
        Err(cause) if is_nobody(&cause) => {}
        Err(cause) => return Err(cause),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Dropping this ends the conversations as well.
async fn listen(api: Arc<dyn Api>, listener: UnixListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut conversations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = conversations.join_next() => continue,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let api = Arc::clone(&api);
                conversations.spawn(async move {
                    if let Err(cause) = converse(&*api, stream).await {
                        tracing::debug!(%cause, "a control connection ended early");
                    }
                    drop(permit);
                });
            }
            Err(cause) => {
                tracing::warn!(%cause, "cannot accept a control connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &UnixListener,
    room: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// Answers the requests of one connection, in order.
async fn converse(api: &dyn Api, stream: UnixStream) -> io::Result<()> {
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut lines = Lines::new(stream, REQUEST_BYTES_MAX);
    loop {
        match timeout(IDLE_TIMEOUT, lines.next()).await? {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => {
                let Some(answer) = answer_line(api, &request, &mut lines).await else {
                    return Ok(());
                };
                let reply = line::reply(&answer);
                timeout(WRITE_TIMEOUT, lines.send(&reply)).await??;
            }
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                let error = Error::new(ErrorCode::OverLimit, cause.to_string());
                let reply = line::reply(&Err(error));
                return timeout(WRITE_TIMEOUT, lines.send(&reply)).await?;
            }
            Err(cause) => return Err(cause),
        }
    }
}

/// The answer to a request; `None`: nobody waits for it any more. A claim is given up then, since it
/// would take jobs that nobody gets; all else is carried out.
async fn answer_line(api: &dyn Api, request: &[u8], lines: &mut Lines) -> Option<Result<Vec<u8>>> {
    let (operation, body) = match line::read_request(request) {
        Ok(request) => request,
        Err(error) => return Some(Err(error)),
    };
    let answer = timeout(ANSWER_TIMEOUT + WAIT_MAX, answer(api, operation, body, ACTOR));
    let answered = tokio::select! {
        biased;
        answered = answer => answered,
        () = lines.gone(), if operation == Operation::Claim => return None,
    };
    Some(answered.unwrap_or_else(|_| {
        let message = "the store did not answer: what was asked may have been done; ask again";
        Err(Error::new(ErrorCode::Unavailable, message))
    }))
}
