//! A connection of its own to look into a table that is a file.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use taskwright_store::Result;

use super::failure::failed;
use super::look::{LaneNames, Look};
use super::schema;

/// Reads a table while its writer goes on. Each question sees what was applied when it began.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    lanes: LaneNames,
}

impl Reader {
    /// Opens a table to look into it.
    ///
    /// # Errors
    /// As [`Table::open`](super::Table::open).
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(failed("open the table to read"))?;
        schema::prepare_to_read(&connection, path)?;
        Ok(Reader { connection, lanes: LaneNames::default() })
    }

    /// Questions to the table.
    pub fn look(&mut self) -> Look<'_> {
        Look { connection: &self.connection, lanes: &mut self.lanes }
    }
}
