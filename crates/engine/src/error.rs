//! Errors of an operation.

use std::time::Duration;

use taskwright_store::ErrorKind;

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A stable word for the kind of error: programs branch on it, the wire carries it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request makes no sense.
    Invalid,
    /// Something is over a maximum.
    OverLimit,
    /// The id names another job, or another job holds the unique key.
    Conflict,
    /// No credential, or one that does not allow this.
    Denied,
    /// No such thing.
    NotFound,
    /// The store has no room for new work.
    StoreFull,
    /// As many jobs wait in the queue as its limit lets wait; nothing was written. Hold back, or try
    /// again later: the library does not by itself.
    WaitingFull,
    /// Too much is waiting; try again later.
    Busy,
    /// The store or server cannot be reached; what was asked may have been done.
    Unavailable,
    /// The store has stopped after a failed write; what was asked may have been done.
    Stopped,
    /// The store was closed.
    Closed,
    /// The data contradicts itself.
    Corrupt,
    /// The data was written by a newer version.
    TooNew,
    /// Somebody else has the store open.
    Locked,
    /// The place cannot be used as a store.
    Unusable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [ErrorCode; 15] = [
        ErrorCode::Invalid,
        ErrorCode::OverLimit,
        ErrorCode::Conflict,
        ErrorCode::Denied,
        ErrorCode::NotFound,
        ErrorCode::StoreFull,
        ErrorCode::WaitingFull,
        ErrorCode::Busy,
        ErrorCode::Unavailable,
        ErrorCode::Stopped,
        ErrorCode::Closed,
        ErrorCode::Corrupt,
        ErrorCode::TooNew,
        ErrorCode::Locked,
        ErrorCode::Unusable,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Invalid => "invalid",
            ErrorCode::OverLimit => "over_limit",
            ErrorCode::Conflict => "conflict",
            ErrorCode::Denied => "denied",
            ErrorCode::NotFound => "not_found",
            ErrorCode::StoreFull => "store_full",
            ErrorCode::WaitingFull => "waiting_full",
            ErrorCode::Busy => "busy",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::Stopped => "stopped",
            ErrorCode::Closed => "closed",
            ErrorCode::Corrupt => "corrupt",
            ErrorCode::TooNew => "too_new",
            ErrorCode::Locked => "locked",
            ErrorCode::Unusable => "unusable",
        }
    }

    /// Whether the same request may succeed later, so that the library tries again by itself.
    pub const fn is_retryable(self) -> bool {
        matches!(self, ErrorCode::StoreFull | ErrorCode::Busy | ErrorCode::Unavailable)
    }
}

/// An error of an operation: what was tried, on what, and what to do next, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The kind.
    pub code: ErrorCode,
    /// The sentence.
    pub message: String,
    /// The item of a batch that caused it, from 0.
    pub item: Option<usize>,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), item: None, retry_after: None }
    }

    /// The same error, naming the item of the batch that caused it.
    pub fn at_item(mut self, item: usize) -> Self {
        self.item = Some(item);
        self
    }
}

impl From<taskwright_store::Error> for Error {
    fn from(error: taskwright_store::Error) -> Self {
        let code = match error.kind {
            ErrorKind::Invalid => ErrorCode::Invalid,
            ErrorKind::Full => ErrorCode::StoreFull,
            ErrorKind::Busy => ErrorCode::Busy,
            ErrorKind::Unavailable => ErrorCode::Unavailable,
            ErrorKind::Stopped => ErrorCode::Stopped,
            ErrorKind::Closed => ErrorCode::Closed,
            ErrorKind::Corrupt => ErrorCode::Corrupt,
            ErrorKind::TooNew => ErrorCode::TooNew,
            ErrorKind::Locked => ErrorCode::Locked,
            ErrorKind::Unusable => ErrorCode::Unusable,
        };
        Error { code, message: error.message, item: None, retry_after: error.retry_after }
    }
}
