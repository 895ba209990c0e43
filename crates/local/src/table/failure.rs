//! SQLite's errors, said in the words of a store.

use rusqlite::ffi::ErrorCode;
use taskwright_store::{Error, ErrorKind};

/// Makes an error of a store of one of SQLite: `tried` says what was tried.
pub(super) fn failed(tried: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |error| {
        let (kind, advice) = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                (ErrorKind::Full, "free some space on the disk; it is tried again by itself")
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                ErrorKind::Busy,
                "another program holds the table; close it, it is tried again by itself",
            ),
            Some(ErrorCode::DatabaseCorrupt) => (ErrorKind::Corrupt, "run `taskwright fsck`"),
            Some(ErrorCode::NotADatabase) => (
                ErrorKind::Unusable,
                "the file is no table of Taskwright; choose another directory",
            ),
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                (ErrorKind::Unusable, "check that the directory exists and can be written")
            }
            Some(_) => (ErrorKind::Unavailable, "check the disk; it is tried again by itself"),
            None => (ErrorKind::Corrupt, "run `taskwright fsck`"),
        };
        Error::new(kind, format!("could not {tried}: {error}; {advice}"))
    }
}

/// What is in the table contradicts itself.
pub(super) fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the table contradicts itself: {what}; run `taskwright fsck`"),
    )
}
