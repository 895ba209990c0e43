//! Writing what waiting jobs were given.

use std::sync::Arc;

use rusqlite::Connection;
use taskwright_store::Result;

use super::apply::bind_text;
use super::failure::failed;
use super::row;
use super::schema::Long;
use crate::change::{Rewrite, Seq, with_tags};
use crate::codec;

const REWRITE: &str = "write what a job was given";

/// Gives a job its new fields, but not its place; answers whether a text of it is long.
pub(super) fn write(
    connection: &Connection,
    rewrite: &Rewrite,
    scratch: &mut Vec<u8>,
) -> Result<bool> {
    let is_long = write_columns(connection, rewrite).map_err(failed(REWRITE))?;
    if let Some(tags) = &rewrite.tags {
        write_tags(connection, rewrite.seq, tags, scratch)?;
    }
    Ok(is_long)
}

fn write_columns(connection: &Connection, rewrite: &Rewrite) -> rusqlite::Result<bool> {
    let seq = rewrite.seq;
    let mut update = connection.prepare_cached(
        "UPDATE jobs SET priority = ?2, timeout_ms = ?3, max_attempts = ?4, \
         args = coalesce(?5, args) WHERE seq = ?1",
    )?;
    update.raw_bind_parameter(1, seq.cast_signed())?;
    update.raw_bind_parameter(2, rewrite.priority)?;
    update.raw_bind_parameter(3, rewrite.timeout_ms.map(u64::cast_signed))?;
    update.raw_bind_parameter(4, rewrite.max_attempts)?;
    let args = rewrite.args.as_ref();
    let is_long = bind_text(connection, &mut update, 5, seq, Long::Args, args)?;
    update.raw_execute()?;
    Ok(is_long)
}

fn write_tags(
    connection: &Connection,
    seq: Seq,
    tags: &[Arc<str>],
    scratch: &mut Vec<u8>,
) -> Result<()> {
    let extras = with_tags(row::extras(connection, seq)?, tags);
    let encoded = extras.map(|extras| {
        scratch.clear();
        codec::encode_extras(&extras, scratch);
        &scratch[..]
    });
    connection
        .prepare_cached("UPDATE jobs SET extras = ?2 WHERE seq = ?1")
        .and_then(|mut update| update.execute((seq.cast_signed(), encoded)))
        .map(|_| ())
        .map_err(failed(REWRITE))
}
