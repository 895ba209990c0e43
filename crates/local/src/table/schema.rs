//! The layout of the table, and opening one.

use rusqlite::Connection;
use taskwright_store::{Error, ErrorKind, Result};

use super::failure::{at, sentence};
use super::STATE_WORDS_SQL;

/// `TWRT` in the header of the file: `file` and we know whose it is.
pub(super) const APPLICATION_ID: i32 = 0x5457_5254;
/// The format that this version writes, kept as `user_version`.
pub(super) const FORMAT: i32 = 1;

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
    in_process    INTEGER NOT NULL
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
CREATE UNIQUE INDEX job_id ON jobs (id);
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
    id            BLOB PRIMARY KEY,
    seq           INTEGER NOT NULL,
    fingerprint   INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    finished_at   INTEGER NOT NULL
) WITHOUT ROWID;
";
