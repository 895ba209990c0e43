//! Rows of `jobs`, read.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use taskwright_core::{Extras, JobError, JobId, Json, Timestamp};
use taskwright_store::{Error, ErrorKind, Result};

use super::failure::{corrupt, failed};
use super::schema::Long;
use crate::change::{Fixed, More, Seq, Vital};
use crate::codec::{self, CodecError};

/// What [`fixed`], [`vital`] and [`more`] read, in this order; no args and no result.
pub(super) const COLUMNS: &str = "jobs.seq, jobs.id, jobs.lane, jobs.priority, jobs.timeout_ms, jobs.created_at, \
     jobs.fingerprint, jobs.max_attempts, jobs.extras, jobs.vital, jobs.error_kind, jobs.error, jobs.cancel_reason, \
     jobs.progress, jobs.checkpoint";
/// The first column behind [`COLUMNS`].
pub(super) const BEHIND: usize = 15;

const READ: &str = "read jobs from the table";

/// What of a job never changes, but for its args.
pub(super) fn fixed(row: &Row<'_>, args: Json) -> Result<Fixed> {
    let extras = extras_in(row, 8)?;
    (|| {
        Ok(Fixed {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            id: job_id(row, 1)?,
            lane: row.get(2)?,
            priority: row.get(3)?,
            timeout_ms: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
            created_at: Timestamp::from_micros(row.get(5)?),
            fingerprint: row.get::<_, i64>(6)?.cast_unsigned(),
            max_attempts: row.get(7)?,
            args,
            extras,
        })
    })()
    .map_err(failed(READ))
}

/// What a job does not leave empty of what most leave empty.
pub(super) fn extras(connection: &Connection, seq: Seq) -> Result<Option<Box<Extras>>> {
    let mut statement = connection
        .prepare_cached("SELECT extras FROM jobs WHERE seq = ?1")
        .map_err(failed(READ))?;
    let mut rows = statement.query([seq.cast_signed()]).map_err(failed(READ))?;
    match rows.next().map_err(failed(READ))? {
        Some(row) => extras_in(row, 0),
        None => Ok(None),
    }
}

/// The same, in this column.
pub(super) fn extras_in(row: &Row<'_>, column: usize) -> Result<Option<Box<Extras>>> {
    Ok(match row.get_ref(column).map_err(failed(READ))? {
        ValueRef::Blob(bytes) => Some(Box::new(codec::decode_extras(bytes).map_err(unreadable)?)),
        _ => None,
    })
}

/// What of a job changes with every step.
pub(super) fn vital(row: &Row<'_>) -> Result<Vital> {
    let bytes = row.get_ref(9).and_then(|value| Ok(value.as_blob()?)).map_err(failed(READ))?;
    codec::decode_vital(bytes).map_err(unreadable)
}

/// What of a job changes seldom, but for its result.
pub(super) fn more(connection: &Connection, row: &Row<'_>) -> Result<Option<Box<More>>> {
    let is_empty = (10..BEHIND).all(|column| matches!(row.get_ref(column), Ok(ValueRef::Null)));
    if is_empty {
        return Ok(None);
    }
    let seq = row.get::<_, i64>(0).map_err(failed(READ))?.cast_unsigned();
    let checkpoint = text(connection, row, 14, seq, Long::Checkpoint)?;
    let progress = text(connection, row, 13, seq, Long::Progress)?;
    (|| {
        let kind: Option<Arc<str>> = row.get(10)?;
        let message: Option<Arc<str>> = row.get(11)?;
        let cancel_reason: Option<Arc<str>> = row.get(12)?;
        Ok(Some(Box::new(More {
            attempt: None,
            error: kind.zip(message).map(|(kind, message)| JobError { kind, message }),
            result: None,
            cancel_reason,
            progress,
            checkpoint,
        })))
    })()
    .map_err(failed(READ))
}

/// A job's text in this column, or in `payload` where it is long.
pub(super) fn text(
    connection: &Connection,
    row: &Row<'_>,
    column: usize,
    seq: Seq,
    long: Long,
) -> Result<Option<Json>> {
    match row.get_ref(column).map_err(failed(READ))? {
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(corrupt)?;
            Ok(Some(Json::from_trusted(text)))
        }
        ValueRef::Integer(_) => long_text(connection, seq, long).map(Some),
        _ => Ok(None),
    }
}

fn long_text(connection: &Connection, seq: Seq, long: Long) -> Result<Json> {
    let text = connection
        .prepare_cached("SELECT body FROM payload WHERE key = ?1")
        .and_then(|mut statement| {
            statement.query_row([long.key(seq)], |row| row.get::<_, Arc<str>>(0)).optional()
        })
        .map_err(failed(READ))?;
    let missing = || corrupt(format_args!("{long:?} of job number {seq} is missing"));
    text.map(Json::from_trusted).ok_or_else(missing)
}

pub(super) fn job_id(row: &Row<'_>, column: usize) -> rusqlite::Result<JobId> {
    Ok(JobId::from_u128(u128::from_be_bytes(row.get(column)?)))
}

fn unreadable(error: CodecError) -> Error {
    let kind = if error.is_newer() { ErrorKind::TooNew } else { ErrorKind::Corrupt };
    Error::new(kind, format!("a job in the table cannot be read: {error}"))
}
