//! Whether the directory of a closed store is sound.

use std::path::Path;
use std::sync::Arc;

use taskwright_store::{Error, ErrorKind, Result};

use crate::directory::{Directory, is_store};
use crate::disk::{Disk, FileDisk};
use crate::journal::{self, Expect, StoreId};
use crate::table::Table;

/// What a check of a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Soundness {
    /// Segment files of the journal, spare ones not counted.
    pub segments: usize,
    /// Changes in the journal that the table has yet to apply, as opening does.
    pub changes_ahead: u64,
    /// How often the store has been opened.
    pub epoch: u32,
    /// What opening will cut off: a write that was torn by a crash, and never acknowledged.
    pub torn: Option<String>,
    /// What is wrong, one sentence each; none: the store is sound.
    pub faults: Vec<String>,
}

/// Reads all of the store in a directory that nobody has open, and repairs nothing.
///
/// # Errors
/// `Unusable`: there is no store, or it is not safe. `Locked`: a process has it open.
pub fn fsck(path: &Path) -> Result<Soundness> {
    if !is_store(path) {
        let message =
            format!("there is no store to check in {}; name its directory", path.display());
        return Err(Error::new(ErrorKind::Unusable, message));
    }
    let directory = Directory::open(path)?;
    let mut found = Soundness::default();
    match check(&directory, &mut found) {
        Err(error) if error.kind == ErrorKind::Corrupt => found.faults.push(error.message),
        checked => checked?,
    }
    Ok(found)
}

fn check(directory: &Directory, found: &mut Soundness) -> Result<()> {
    let mut table = Table::open(&directory.table(), crate::open::random()?)?;
    found.epoch = table.epoch();
    found.faults = table.look().check()?;
    let disk = FileDisk::new(directory.journal()).map_err(|error| {
        let place = directory.journal();
        Error::new(ErrorKind::Unusable, format!("cannot open {}: {error}", place.display()))
    })?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let expect = Expect {
        store: StoreId(table.store().to_be_bytes()),
        table_position: table.position(),
        replay_after: table.whole(),
    };
    let journal = journal::check(&disk, expect)?;
    found.segments = journal.segments;
    found.changes_ahead = journal.changes;
    found.epoch = found.epoch.max(journal.epoch);
    found.torn = journal
        .cut
        .map(|cut| format!("{} bytes at {} of segment {}", cut.bytes, cut.offset, cut.segment));
    Ok(())
}

#[cfg(test)]
#[path = "tests/fsck.rs"]
mod tests;
