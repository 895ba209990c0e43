//! The layout of the table, and opening one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use taskwright_core::StateName;
use taskwright_store::{Error, ErrorKind, Result};

use super::failure::{corrupt, failed};
use super::{documents, limits};
use crate::change::Seq;

/// `TWRT` in the header of the file: `file` and we know whose it is.
pub(super) const APPLICATION_ID: i32 = 0x5457_5254;
/// The format that this version writes, kept as `user_version`.
pub(super) const FORMAT: i32 = 7;
/// Longer texts live apart from their row, in bytes.
pub(super) const LONG_BYTES: usize = 4 * 1024;

/// The size of a page of the file.
pub(super) const PAGE_BYTES: u64 = 4096;
const CACHE_KIB: i64 = 16 * 1024;
const READ_CACHE_KIB: i64 = 4 * 1024;
/// What the write-ahead log is cut to once it has been written back, in bytes: taking its space anew
/// each time costs more than keeping it. At rest it is empty.
const WAL_KEPT: i64 = 64 * 1024 * 1024;
/// How long to wait for another program that looks into the table.
const BUSY_WAIT: Duration = Duration::from_secs(2);
const STATEMENTS: usize = 64;

/// Long texts of a job (`args`, `result`, `progress`, `checkpoint`) live in `payload`, and their
/// column holds their length as an integer: so a change of state never rewrites them. Columns of
/// texts have no type, or SQLite would make a number of the text `42`.
///
/// `vital` is the record of what changes with every step; the columns from `state` to
/// `finished_at` repeat of it what people and indexes look at.
const TABLES: &str = "
CREATE TABLE meta (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    store         BLOB NOT NULL,
    epoch         INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    high_water    INTEGER NOT NULL,
    next_seq      INTEGER NOT NULL,
    ended_jobs    INTEGER NOT NULL,
    ended_bytes   INTEGER NOT NULL,
    dead_jobs     INTEGER NOT NULL,
    dead_bytes    INTEGER NOT NULL
);
CREATE TABLE lanes (
    number        INTEGER PRIMARY KEY,
    namespace     TEXT NOT NULL,
    queue         TEXT NOT NULL,
    task          TEXT NOT NULL
);
CREATE TABLE queues (
    namespace     TEXT NOT NULL,
    queue         TEXT NOT NULL,
    paused        INTEGER NOT NULL,
    PRIMARY KEY (namespace, queue)
) WITHOUT ROWID;
CREATE TABLE workers (
    number        INTEGER PRIMARY KEY,
    id            BLOB NOT NULL,
    namespace     TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    in_process    INTEGER NOT NULL,
    last_claim    INTEGER NOT NULL
);
CREATE TABLE audit (
    number        INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    action        TEXT NOT NULL
);
CREATE TABLE jobs (
    seq           INTEGER PRIMARY KEY,
    id            BLOB NOT NULL,
    lane          INTEGER NOT NULL,
    fingerprint   INTEGER NOT NULL,
    priority      INTEGER NOT NULL,
    max_attempts  INTEGER NOT NULL,
    timeout_ms    INTEGER,
    created_at    INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    due_at        INTEGER NOT NULL,
    worker        INTEGER,
    started_at    INTEGER,
    finished_at   INTEGER,
    vital         BLOB NOT NULL,
    extras        BLOB,
    error_kind    TEXT,
    error         TEXT,
    cancel_reason TEXT,
    progress,
    checkpoint,
    result,
    args          NOT NULL
);
CREATE INDEX job_id ON jobs (id);
CREATE INDEX job_lane ON jobs (lane, state);
CREATE INDEX job_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL AND state <> 4;
CREATE INDEX job_dead ON jobs (finished_at) WHERE finished_at IS NOT NULL AND state = 4;
CREATE TABLE payload (
    key           INTEGER PRIMARY KEY,
    body          TEXT NOT NULL
);
CREATE TABLE attempts (
    seq           INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    worker        BLOB NOT NULL,
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER NOT NULL,
    verdict       TEXT NOT NULL,
    error_kind    TEXT,
    error         TEXT,
    PRIMARY KEY (seq, attempt)
) WITHOUT ROWID;
CREATE TABLE ended (
    id            BLOB NOT NULL,
    seq           INTEGER NOT NULL,
    lane          INTEGER NOT NULL,
    fingerprint   INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    finished_at   INTEGER NOT NULL,
    PRIMARY KEY (id, seq)
) WITHOUT ROWID;
";

/// New in format 2: which jobs the table lacks up to its position.
const HELD: &str = "
CREATE TABLE held (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    whole         INTEGER NOT NULL,
    seqs          BLOB NOT NULL,
    workers       BLOB NOT NULL
);
INSERT INTO held SELECT 1, position, x'', x'' FROM meta;
";

/// New in format 3: until when jobs hold their unique key that do so for a time.
const TIMED_HOLDS: &str = "
CREATE TABLE timed_holds (
    seq           INTEGER PRIMARY KEY,
    until         INTEGER NOT NULL
);
CREATE INDEX timed_hold_until ON timed_holds (until);
";

/// New in format 4: what the jobs of a lane require of their worker.
const REQUIREMENTS: &str = "ALTER TABLE lanes ADD COLUMN requires TEXT NOT NULL DEFAULT '';";

/// What people look at with `sqlite3`: names, words and times instead of numbers.
fn views() -> String {
    let state = StateName::ALL.map(|state| format!("WHEN {} THEN '{state}'", number_of(state)));
    let long = |column: &str, kind: Long| {
        let key = format!("jobs.seq * {} + {}", Long::COUNT, kind as i64);
        format!(
            "iif(typeof(jobs.{column}) = 'integer', \
             (SELECT body FROM payload WHERE key = {key}), jobs.{column}) AS {column}"
        )
    };
    let time = |column: &str| {
        format!("strftime('%FT%R:%fZ', jobs.{column} / 1e6, 'unixepoch') AS {column}")
    };
    let uuid = |column: &str| {
        let hex = format!("lower(hex({column}))");
        let parts = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)];
        parts.map(|(from, len)| format!("substr({hex}, {from}, {len})")).join(" || '-' || ")
    };
    let columns = [
        "jobs.seq".to_owned(),
        format!("{} AS id", uuid("jobs.id")),
        "l.namespace, l.queue, l.task, l.requires".to_owned(),
        format!("CASE jobs.state {} END AS state", state.join(" ")),
        "jobs.priority, jobs.attempt, jobs.max_attempts, jobs.timeout_ms".to_owned(),
        time("created_at"),
        time("due_at"),
        time("started_at"),
        time("finished_at"),
        format!("{} AS worker", uuid("w.id")),
        "jobs.error_kind, jobs.error, jobs.cancel_reason".to_owned(),
        long("args", Long::Args),
        long("result", Long::Result),
        long("checkpoint", Long::Checkpoint),
    ];
    format!(
        "CREATE VIEW job AS SELECT {} FROM jobs \
         LEFT JOIN lanes l ON l.number = jobs.lane LEFT JOIN workers w ON w.number = jobs.worker;",
        columns.join(", ")
    )
}

/// Texts of a job that live in `payload` where they are long, at key seq × COUNT + kind.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Long {
    Args = 0,
    Result = 1,
    Progress = 2,
    Checkpoint = 3,
}

impl Long {
    pub const COUNT: i64 = 4;

    pub fn key(self, seq: Seq) -> i64 {
        seq.cast_signed() * Self::COUNT + self as i64
    }
}

/// The number of a state in the table.
pub(super) fn number_of(state: StateName) -> i64 {
    match state {
        StateName::Blocked => 0,
        StateName::Available => 1,
        StateName::Running => 2,
        StateName::Completed => 3,
        StateName::Dead => 4,
        StateName::Cancelled => 5,
        StateName::Expired => 6,
    }
}

/// The numbers of the states of some kind, for SQL.
pub(super) fn numbers_of(of_kind: fn(StateName) -> bool) -> String {
    let states = StateName::ALL.into_iter().filter(|state| of_kind(*state));
    states.map(|state| number_of(state).to_string()).collect::<Vec<_>>().join(", ")
}

/// The state with this number.
pub(super) fn state_of(number: i64) -> Result<StateName> {
    let state = StateName::ALL.into_iter().find(|state| number_of(*state) == number);
    state.ok_or_else(|| corrupt(format_args!("{number} is the number of no state")))
}

/// The length of a job's args, in SQL.
pub(super) const ARGS_LEN: &str =
    "CASE typeof(jobs.args) WHEN 'integer' THEN jobs.args ELSE octet_length(jobs.args) END";

/// The bytes that a job's texts take, as they count for retention, in SQL.
pub(super) const WEIGHT: &str = "
    CASE typeof(jobs.args) WHEN 'integer' THEN jobs.args ELSE octet_length(jobs.args) END
    + CASE typeof(jobs.result) WHEN 'integer' THEN jobs.result ELSE ifnull(octet_length(jobs.result), 0) END
    + CASE typeof(jobs.checkpoint) WHEN 'integer' THEN jobs.checkpoint
      ELSE ifnull(octet_length(jobs.checkpoint), 0) END
    + CASE WHEN jobs.attempt > 1 OR jobs.state <> 3
      THEN (SELECT ifnull(sum(octet_length(error)), 0) FROM attempts WHERE seq = jobs.seq) ELSE 0 END";

/// Sets up a connection that writes to `place`, and the table in it where it is new: then
/// `new_store` is the id of the store.
pub(super) fn prepare(connection: &mut Connection, place: &Path, new_store: u128) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_WAIT).map_err(failed("open the table"))?;
    let is_new = check(connection, place)?;
    // Saying so again would write to a table that may yet be refused.
    let layout = match is_new {
        true => format!("PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL;"),
        false => String::new(),
    };
    let settings = format!(
        "{layout} PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY; \
         PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA journal_size_limit = {WAL_KEPT};"
    );
    connection.execute_batch(&settings).map_err(failed("open the table"))?;
    if !is_new {
        upgrade(connection).map_err(failed("bring the table to a newer format"))?;
    } else {
        connection
            .transaction()
            .and_then(|transaction| create(transaction, new_store))
            .map_err(failed("create the table"))?;
    }
    Ok(())
}

/// Sets up a connection that only reads `place`.
pub(super) fn prepare_to_read(connection: &Connection, place: &Path) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let settings = format!(
        "PRAGMA query_only = ON; PRAGMA cache_size = -{READ_CACHE_KIB}; PRAGMA temp_store = MEMORY;"
    );
    connection
        .busy_timeout(BUSY_WAIT)
        .and_then(|()| connection.execute_batch(&settings))
        .map_err(failed("open the table"))?;
    check(connection, place).map(|_| ())
}

fn create(transaction: Transaction<'_>, new_store: u128) -> rusqlite::Result<()> {
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(REQUIREMENTS)?;
    transaction.execute_batch(&views())?;
    transaction.execute(
        "INSERT INTO meta VALUES (1, ?1, 0, 0, 0, 1, 0, 0, 0, 0)",
        [new_store.to_be_bytes()],
    )?;
    transaction.execute_batch(HELD)?;
    transaction.execute_batch(TIMED_HOLDS)?;
    transaction.execute_batch(limits::TABLES)?;
    transaction.execute_batch(limits::TURNS)?;
    transaction.execute_batch(documents::TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Makes of an older table one of this format, or leaves it as it was.
fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let format: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if format >= FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    if format < 2 {
        transaction.execute_batch(HELD)?;
    }
    match format {
        ..3 => {
            transaction.execute_batch(TIMED_HOLDS)?;
            transaction.execute_batch(limits::TABLES)?;
        }
        3 | 4 => {
            transaction.execute_batch(limits::FAIR)?;
            transaction.execute_batch(limits::BOUNDS)?;
            transaction.execute_batch(limits::STRICT)?;
        }
        5 => {
            transaction.execute_batch(limits::BOUNDS)?;
            transaction.execute_batch(limits::STRICT)?;
        }
        6.. => transaction.execute_batch(limits::STRICT)?,
    }
    if format < 4 {
        transaction.execute_batch(documents::TABLES)?;
        transaction.execute_batch(REQUIREMENTS)?;
    }
    if format < 5 {
        transaction.execute_batch(limits::TURNS)?;
    }
    transaction.execute_batch("DROP VIEW IF EXISTS job;")?;
    transaction.execute_batch(&views())?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Whose file it is, and whether this version can read it. Answers whether it is empty.
fn check(connection: &Connection, place: &Path) -> Result<bool> {
    let number = |pragma: &str| {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0))
            .map_err(failed("open the table"))
    };
    let (application, format) = (number("application_id")?, number("user_version")?);
    let is_empty = number("schema_version")? == 0;
    let place = place.display();
    if application != APPLICATION_ID && !(is_empty && application == 0 && format == 0) {
        return Err(Error::new(
            ErrorKind::Unusable,
            format!("{place} is a SQLite database of another program; choose another directory"),
        ));
    }
    if format > FORMAT {
        return Err(Error::new(
            ErrorKind::TooNew,
            format!(
                "{place} has format {format} and this version of Taskwright reads up to format \
                 {FORMAT}; use a newer version"
            ),
        ));
    }
    Ok(is_empty)
}
