//! What went wrong with a call, and what kind of a store's error it is.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use taskwright_store::{Error, ErrorKind};
use tokio_postgres::error::{DbError, SqlState};

/// When a call that met an outage may be tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// What went wrong inside a call.
#[derive(Debug)]
pub enum Fault {
    /// The database or the way to it said so.
    Database(tokio_postgres::Error),
    /// We said so; it goes to the caller as it is.
    Store(Error),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Fault::Database(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Store(error)
    }
}

/// What can be done about a fault.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The connection is of no more use: another one, perhaps to another host.
    Reconnect,
    /// Somebody was in the way, and nothing was done: the same once more.
    Repeat,
    /// Nothing here: the caller has to know.
    Tell,
}

impl Fault {
    pub(super) fn remedy(&self) -> Remedy {
        let Fault::Database(error) = self else { return Remedy::Tell };
        match error.code().map(SqlState::code) {
            // Shutdown, crash, starting up, idle too long, or a server that has become a replica.
            Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" | "25006") => {
                Remedy::Reconnect
            }
            Some(code) if code.starts_with("08") => Remedy::Reconnect,
            Some("40001" | "40P01" | "55P03") => Remedy::Repeat,
            Some(_) => Remedy::Tell,
            None if is_lost(error) => Remedy::Reconnect,
            None => Remedy::Tell,
        }
    }

    /// The error of a store; `place` names host and database.
    pub(super) fn into_error(self, place: &str) -> Error {
        match self {
            Fault::Store(error) => error,
            Fault::Database(error) => match error.as_db_error() {
                Some(said) => explain(said, place),
                None if is_lost(&error) => Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "the connection to PostgreSQL at {place} was lost in the middle of a call, \
                         which may have been done ({}): try again",
                        why(&error)
                    ),
                )
                .retry_after(AGAIN),
                None => Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "PostgreSQL at {place} and this version of Taskwright do not agree on the \
                         form of the data ({}): check that the schema is of this version",
                        why(&error)
                    ),
                ),
            },
        }
    }
}

/// Whether the connection went away, in contrast to an answer that cannot be read.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let from_the_network = error.source().is_some_and(|cause| cause.is::<io::Error>());
    error.is_closed() || from_the_network
}

/// The error and its causes on one line.
pub(super) fn why(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the database said in SQLSTATE, as an error of a store.
///
/// Its message is told, its detail is not: the detail quotes rows.
pub(super) fn explain(said: &DbError, place: &str) -> Error {
    let code = said.code().code();
    let (kind, remedy) = judge(code);
    let error = Error::new(
        kind,
        format!("PostgreSQL at {place} refused: {} (SQLSTATE {code}); {remedy}", said.message()),
    );
    match kind {
        ErrorKind::Busy | ErrorKind::Unavailable => error.retry_after(AGAIN),
        _ => error,
    }
}

/// The kind of error that a SQLSTATE is, and what to do.
fn judge(code: &str) -> (ErrorKind, &'static str) {
    match code {
        "53100" => (ErrorKind::Full, "make room on the database's disk"),
        "53300" => (
            ErrorKind::Busy,
            "raise max_connections, or lower `pool` in the URLs of Taskwright's processes",
        ),
        "40001" | "40P01" | "55P03" => (ErrorKind::Busy, "try again"),
        "28P01" | "28000" => (
            ErrorKind::Unusable,
            "correct user and password in the URL or PGPASSWORD, or the server's pg_hba.conf",
        ),
        "3D000" | "57P04" => {
            (ErrorKind::Unusable, "create the database, or correct its name in the URL")
        }
        "42501" => (ErrorKind::Unusable, "grant the user of the URL what is missing"),
        "3F000" | "42P01" | "42703" | "42883" | "42704" => (
            ErrorKind::Unusable,
            "the schema is missing or of another version: migrate it, or correct `schema` in the URL",
        ),
        "25006" => (
            ErrorKind::Unavailable,
            "it is a replica or read-only: name the primary, or several hosts, in the URL",
        ),
        "57014" => (ErrorKind::Unavailable, "the call took too long or was cancelled: try again"),
        "XX001" | "XX002" => (ErrorKind::Corrupt, "restore the database from a backup"),
        _ => judge_class(code.get(..2).unwrap_or_default()),
    }
}

fn judge_class(class: &str) -> (ErrorKind, &'static str) {
    match class {
        "22" | "23" | "54" => (ErrorKind::Invalid, "change the request"),
        "53" => (ErrorKind::Busy, "try again, or give the server more resources"),
        "42" | "0A" => (
            ErrorKind::Unusable,
            "the schema or the server's version does not fit this version of Taskwright",
        ),
        _ => (ErrorKind::Unavailable, "try again, and look into the server's log if it stays"),
    }
}

#[cfg(test)]
#[path = "tests/fault.rs"]
mod tests;
