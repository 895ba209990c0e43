//! Errors of a store.

use std::time::Duration;

/// The result of a call to a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of error it is, and so what the caller can do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request makes no sense to the store; repeating it will not help.
    Invalid,
    /// The store has no room for new work; claims and reports still work.
    Full,
    /// Too much is waiting; try again after `retry_after`.
    Busy,
    /// The store cannot be reached, or did not answer: what was asked may have been done.
    Unavailable,
    /// A write or sync failed: the store has stopped, and what was asked may have been done.
    Stopped,
    /// The store was closed.
    Closed,
    /// What is on disk contradicts itself; nothing more is served.
    Corrupt,
    /// The data was written by a newer version.
    TooNew,
    /// Somebody else has the store open.
    Locked,
    /// The place cannot be used as a store (not a directory, not safe, not ours).
    Unusable,
}

/// An error of a store: what was tried, on what, and what to do next, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind it is.
    pub kind: ErrorKind,
    /// The sentence.
    pub message: String,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), retry_after: None }
    }

    /// The same error with the time after which another try makes sense.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Busy | ErrorKind::Full | ErrorKind::Unavailable)
    }
}
