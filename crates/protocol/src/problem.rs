//! Errors on the wire: problem+json (RFC 9457) with a stable `code`.

use std::time::Duration;

use serde::Deserialize;
use taskwright_engine::{Error, ErrorCode};

use crate::read::Text;
use crate::write;

/// The media type of [`encode`]'s text.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The HTTP status that goes with a code.
pub const fn status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::Invalid => 400,
        ErrorCode::OverLimit => 413,
        ErrorCode::Conflict => 409,
        ErrorCode::Denied => 403,
        ErrorCode::NotFound => 404,
        ErrorCode::StoreFull => 507,
        ErrorCode::Busy | ErrorCode::WaitingFull => 429,
        ErrorCode::Unavailable | ErrorCode::Stopped | ErrorCode::Closed | ErrorCode::Locked => 503,
        ErrorCode::Corrupt | ErrorCode::TooNew | ErrorCode::Unusable => 500,
    }
}

/// Writes an error as problem+json: `title`, `status`, `code`, `detail`, and where they are known
/// `item` (of a batch, from 0) and `retry_after_ms`.
pub fn encode(error: &Error, status: u16) -> Vec<u8> {
    write::object(256, |object| write_problem(error, status, object))
}

pub(crate) fn write_problem(error: &Error, status: u16, problem: &mut write::Object<'_>) {
    problem.word("title", title(error.code));
    problem.number("status", u64::from(status));
    problem.word("code", error.code.as_str());
    problem.text("detail", &error.message);
    if let Some(item) = error.item {
        problem.number("item", item as u64);
    }
    if let Some(wait) = error.retry_after {
        problem.millis("retry_after_ms", wait);
    }
}

const fn title(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Invalid => "The request cannot be used",
        ErrorCode::OverLimit => "Something is over its limit",
        ErrorCode::Conflict => "It contradicts what is there",
        ErrorCode::Denied => "This is not allowed",
        ErrorCode::NotFound => "There is no such thing",
        ErrorCode::StoreFull => "The store is full",
        ErrorCode::WaitingFull => "As many jobs wait as may",
        ErrorCode::Busy => "Too much is waiting",
        ErrorCode::Unavailable => "The store or server cannot be reached",
        ErrorCode::Stopped => "The store has stopped",
        ErrorCode::Closed => "The store was closed",
        ErrorCode::Corrupt => "The data contradicts itself",
        ErrorCode::TooNew => "The data is of a newer version",
        ErrorCode::Locked => "Somebody else has the store open",
        ErrorCode::Unusable => "The place cannot be used",
    }
}

/// Reads problem+json; `None`: the text is something else.
pub fn decode(body: &[u8]) -> Option<Error> {
    serde_json::from_slice::<Problem<'_>>(body).ok()?.into_error()
}

#[derive(Deserialize)]
pub(crate) struct Problem<'a> {
    #[serde(borrow)]
    code: Text<'a>,
    detail: Text<'a>,
    item: Option<usize>,
    retry_after_ms: Option<u64>,
}

impl Problem<'_> {
    /// The error; `None`: its code is not known here.
    pub(crate) fn into_error(self) -> Option<Error> {
        let code = ErrorCode::ALL.into_iter().find(|code| code.as_str() == self.code.0)?;
        Some(Error {
            code,
            message: self.detail.0.into_owned(),
            item: self.item,
            retry_after: self.retry_after_ms.map(Duration::from_millis),
        })
    }
}
