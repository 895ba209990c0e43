//! Which jobs hold their unique key for a time, whatever becomes of them.
//!
//! A job that has not ended says so itself. Of the many that have ended, these few are found here
//! without a look at all of them.

use rusqlite::{Connection, OptionalExtension};
use taskwright_core::{Name, Timestamp};
use taskwright_store::Result;

use super::failure::{corrupt, failed};
use super::{Table, row};
use crate::change::{Fixed, Seq, TimedHold};

/// Holds forgotten at once, once their time is over.
const FORGOTTEN_AT_ONCE: i64 = 2_000;

const LOAD: &str = "load which unique keys are held";

/// Notes until when a job holds its key, where only time decides that; whether it was so.
pub(super) fn note(connection: &Connection, fixed: &Fixed) -> rusqlite::Result<bool> {
    let Some(until) = fixed.key_elapses_at() else { return Ok(false) };
    connection
        .prepare_cached("INSERT OR REPLACE INTO timed_holds VALUES (?1, ?2)")?
        .execute([fixed.seq.cast_signed(), until.as_micros()])?;
    Ok(true)
}

/// The hold of a job goes with it. Answers until when it was.
pub(super) fn forget(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("DELETE FROM timed_holds WHERE seq = ?1 RETURNING until")?
        .query_row([seq.cast_signed()], |row| row.get(0).map(Timestamp::from_micros))
        .optional()
}

/// Forgets some of those whose time is over.
pub(super) fn forget_elapsed(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM timed_holds WHERE seq IN \
             (SELECT seq FROM timed_holds WHERE until <= ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute([now.as_micros(), FORGOTTEN_AT_ONCE])
        .map(|_| ())
}

impl Table {
    /// The unique keys that ended jobs hold for a time; of some the time may be over.
    pub fn timed_holds(&self) -> Result<Vec<TimedHold>> {
        let sql = "SELECT jobs.seq, until, namespace, extras FROM timed_holds \
                   JOIN jobs ON jobs.seq = timed_holds.seq JOIN lanes ON number = lane \
                   WHERE finished_at IS NOT NULL ORDER BY jobs.seq";
        let mut statement = self.connection.prepare(sql).map_err(failed(LOAD))?;
        let mut rows = statement.query([]).map_err(failed(LOAD))?;
        let mut holds = Vec::new();
        while let Some(row) = rows.next().map_err(failed(LOAD))? {
            let seq = row.get::<_, i64>(0).map_err(failed(LOAD))?.cast_unsigned();
            let until = row.get(1).map(Timestamp::from_micros).map_err(failed(LOAD))?;
            let namespace: Box<str> = row.get(2).map_err(failed(LOAD))?;
            let namespace = Name::new(namespace).map_err(corrupt)?;
            let unique = row::extras_in(row, 3)?.and_then(|extras| extras.unique);
            let missing = || corrupt(format_args!("job number {seq} holds a key and has none"));
            let key = unique.ok_or_else(missing)?.key;
            holds.push(TimedHold { seq, namespace, key, until });
        }
        Ok(holds)
    }
}

#[cfg(test)]
#[path = "tests/holds.rs"]
mod tests;
