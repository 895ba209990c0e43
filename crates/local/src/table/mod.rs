//! The table: SQLite behind the journal.
//!
//! It is never the commit point. Acknowledged groups are folded ([`Fold`]) and applied in one
//! transaction together with their position; at start the ledger is made from what is here and
//! the groups of the journal behind that position. It also keeps what the ledger lets go: ended
//! jobs, their attempts and texts, and for a while the ids of jobs that were deleted.

mod apply;
mod archive;
mod check;
mod desk;
mod documents;
mod export;
mod failure;
mod fold;
mod handle;
mod held;
mod holds;
mod inbox;
mod limits;
mod list;
mod load;
mod look;
mod prune;
mod reader;
mod rewrite;
mod row;
mod schema;
mod thread;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, MAIN_DB};
use taskwright_core::Timestamp;
use taskwright_store::Result;

pub use self::archive::TableArchive;
use self::failure::failed;
pub use self::fold::{Fold, Hold};
pub use self::handle::{CHANGES_MAX, Pace, TableHandle, TableThread};
pub use self::held::Held;
pub use self::load::{LiveJob, Loaded};
use self::look::LaneNames;
pub use self::look::{Kept, Known, Look};
pub use self::prune::Pruned;
pub use self::reader::Reader;
pub use self::thread::OnDurable;
use crate::change::{Position, Seq};

/// The one connection that writes the table.
#[derive(Debug)]
pub struct Table {
    connection: Connection,
    place: Option<PathBuf>,
    head: Head,
    /// Where the search for forgotten ids goes on.
    forgotten_to: [u8; 16],
    lanes: LaneNames,
    scratch: Vec<u8>,
}

/// What the table says of itself, kept in its one row of `meta`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Head {
    store: u128,
    epoch: u32,
    position: Position,
    /// Up to here it lacks nothing; see [`Held`].
    whole: Position,
    high_water: Timestamp,
    next_seq: Seq,
    /// Completed, cancelled and expired jobs.
    ended: Tally,
    dead: Tally,
    /// Ids of deleted jobs that are remembered, about; counted at start.
    gone: i64,
    /// Whether any text was ever long; looked up at start.
    has_long: bool,
    /// Whether any job held a unique key for a time; looked up at start.
    has_holds: bool,
}

/// How many ended jobs there are, and about how many bytes of texts they have.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    jobs: i64,
    bytes: i64,
}

/// How a log is written back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Without waiting for readers.
    Passive,
    /// Waiting a little for readers; the log is empty after it.
    Whole,
}

const IN_MEMORY: &str = "the table in memory";

impl Table {
    /// Opens the table in a file, or makes one with `new_store` as the id of the store.
    ///
    /// # Errors
    /// `Unusable`: not ours or not to be opened; `TooNew`: of a newer version; `Corrupt`.
    pub fn open(path: &Path, new_store: u128) -> Result<Self> {
        let connection = Connection::open(path).map_err(failed("open the table"))?;
        Table::over(connection, Some(path), new_store)
    }

    /// A new table in memory.
    pub fn open_memory(new_store: u128) -> Result<Self> {
        let connection = Connection::open_in_memory().map_err(failed("open the table"))?;
        Table::over(connection, None, new_store)
    }

    /// A table in memory with the content of a snapshot.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self> {
        let mut connection = Connection::open_in_memory().map_err(failed("open the table"))?;
        connection
            .deserialize_read_exact(MAIN_DB, bytes, bytes.len(), false)
            .map_err(failed("read a snapshot of the table"))?;
        Table::over(connection, None, 0)
    }

    fn over(mut connection: Connection, place: Option<&Path>, new_store: u128) -> Result<Self> {
        let shown = place.unwrap_or_else(|| Path::new(IN_MEMORY));
        schema::prepare(&mut connection, shown, new_store)?;
        let head = load::head(&connection)?;
        Ok(Table {
            connection,
            place: place.map(Path::to_owned),
            head,
            forgotten_to: [0; 16],
            lanes: LaneNames::default(),
            scratch: Vec::new(),
        })
    }

    /// All of the table, as [`Table::from_snapshot`] takes it.
    pub fn snapshot(&mut self) -> Result<Vec<u8>> {
        let bytes = self.connection.serialize(MAIN_DB);
        bytes.map(|bytes| bytes.to_vec()).map_err(failed("take a snapshot of the table"))
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        self.place.as_deref()
    }

    /// The id of the store.
    pub fn store(&self) -> u128 {
        self.head.store
    }

    /// How often the store has been opened, as far as the table knows.
    pub fn epoch(&self) -> u32 {
        self.head.epoch
    }

    /// The position of the newest group that was applied, perhaps but for jobs held back.
    pub fn position(&self) -> Position {
        self.head.position
    }

    /// The position up to which nothing is held back.
    pub fn whole(&self) -> Position {
        self.head.whole
    }

    /// Which jobs it lacks up to its position.
    pub fn held(&self) -> Result<Held> {
        Held::read(&self.connection, self.head.position)
    }

    /// The highest time that the store had seen.
    pub fn high_water(&self) -> Timestamp {
        self.head.high_water
    }

    /// The number that the next job gets.
    pub fn next_seq(&self) -> Seq {
        self.head.next_seq
    }

    /// Questions to the table.
    pub fn look(&mut self) -> Look<'_> {
        Look { connection: &self.connection, lanes: &mut self.lanes }
    }

    /// Notes durably how often the store has been opened.
    pub fn set_epoch(&mut self, epoch: u32) -> Result<()> {
        self.connection
            .execute("UPDATE meta SET epoch = ?1", [epoch])
            .map_err(failed("note the epoch in the table"))?;
        self.head.epoch = epoch;
        self.checkpoint(Checkpoint::Whole).map(|_| ())
    }

    /// Makes durable in the main file what was applied. Answers the position up to which it is whole:
    /// the journal may give up what lies below. `None` where a reader held it up: ask again later.
    pub fn checkpoint(&mut self, how: Checkpoint) -> Result<Option<Position>> {
        if self.place.is_none() {
            return Ok(Some(self.head.whole));
        }
        let how = match how {
            Checkpoint::Passive => "PASSIVE",
            Checkpoint::Whole => "TRUNCATE",
        };
        // SQLite syncs the log before it writes back, and the file once all is written back.
        let (busy, logged, written): (i64, i64, i64) = self
            .connection
            .query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .map_err(failed("write the table back"))?;
        Ok((busy == 0 && logged == written).then_some(self.head.whole))
    }

    /// Bytes that the next checkpoint writes back, about.
    pub fn unwritten_bytes(&self) -> Result<u64> {
        if self.place.is_none() {
            return Ok(0);
        }
        let pages: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
                Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
            })
            .map_err(failed("measure the table's log"))?;
        Ok(pages.max(0).cast_unsigned() * schema::PAGE_BYTES)
    }
}

#[cfg(test)]
#[path = "tests/table.rs"]
mod tests;
