//! The journal: the only commit point.
//!
//! A group of changes is one write and one sync into a segment file whose space was taken before.
//! Full segments stay until the table has what they hold, then they are used again.
//!
//! **The rule of recovery.** A group is written only after the one before it is synced, and says up
//! to where the journal is known to be synced. So a bad group with one behind it that says that the
//! bad one had been synced, or with the table beyond it, is corruption: the journal refuses to
//! open. A bad group with nothing of that kind behind it was being written when the machine
//! stopped, and nobody was told that it is durable: it is cut off.

mod group;
mod open;
mod scan;
mod segment;
mod shelf;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use taskwright_store::{Error, ErrorKind, Result};

use crate::change::Position;
use crate::disk::{Disk, DiskFile};

pub use group::Group;
pub use open::{Cut, Expect, Recovered};
pub use scan::{Checked, check};
use segment::BLOCK_BYTES;
use shelf::{Preparer, Shelf};

/// The id of a store: 16 random bytes, given once.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct StoreId(pub [u8; 16]);

impl StoreId {
    /// The CRC-32 of `bytes`, begun with this id.
    fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.0);
        hasher.update(bytes);
        hasher.finalize()
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When a group counts as committed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is synced: nothing acknowledged is lost with the power.
    #[default]
    Fsync,
    /// When it is written; [`Journal::sync_pending`] is called about so often.
    Interval(Duration),
    /// When it is written; the operating system syncs when it likes.
    Os,
}

/// How segments to come are prepared.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Preparing {
    /// On a thread of the journal.
    #[default]
    OnThread,
    /// When [`Journal::recycle`] or [`Journal::tend`] is called: for the simulator.
    ByHand,
}

/// How a journal works.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Bytes of a segment, a multiple of 64 from 1 KiB to 1 GiB; existing segments keep theirs.
    pub segment_bytes: u64,
    /// When a group counts as committed.
    pub durability: Durability,
    /// How segments to come are prepared.
    pub preparing: Preparing,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            segment_bytes: 16 * 1024 * 1024,
            durability: Durability::default(),
            preparing: Preparing::default(),
        }
    }
}

/// The longest file that is read as a segment.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

impl JournalOptions {
    fn checked(self) -> Result<Self> {
        let fits = (1024..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes);
        if fits && self.segment_bytes.is_multiple_of(group::BLOCK as u64) {
            return Ok(self);
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "segments of {} bytes cannot be used: choose a multiple of 64 from 1 KiB to 1 GiB",
                self.segment_bytes
            ),
        ))
    }
}

/// A segment file with the positions from `first` on.
#[derive(Debug)]
struct Segment {
    first: Position,
    name: String,
}

/// The segment that is being written.
struct Current {
    file: Box<dyn DiskFile>,
    name: String,
    /// Where the next group goes.
    offset: u64,
    length: u64,
}

/// The journal of an open store.
pub struct Journal {
    disk: Arc<dyn Disk>,
    store: StoreId,
    options: JournalOptions,
    epoch: u32,
    position: Position,
    synced: Position,
    /// Oldest first; the last one is the current.
    segments: VecDeque<Segment>,
    current: Option<Current>,
    shelf: Arc<Shelf>,
    #[expect(dead_code, reason = "its thread ends with the journal")]
    preparer: Option<Preparer>,
    stopped: Option<String>,
}

impl Journal {
    /// The position of the newest group.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The position of the newest group that is known to be synced. A table that is durable beyond
    /// it would be refused after a crash.
    pub fn synced(&self) -> Position {
        self.synced
    }

    /// How often the journal has been opened.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// When a group counts as committed.
    pub fn durability(&self) -> Durability {
        self.options.durability
    }

    /// The most bytes that one group can take ([`Group::size`]).
    pub fn group_bytes_max(&self) -> u64 {
        self.options.segment_bytes - BLOCK_BYTES as u64
    }

    /// Bytes for groups: the rest of the current segment, the spare ones and, unless the disk was
    /// found full, one more.
    pub fn room(&self) -> u64 {
        let (spares, one_more) = self.shelf.outlook();
        self.rest() + (spares as u64 + u64::from(one_more)) * self.group_bytes_max()
    }

    fn rest(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.length - current.offset)
    }

    /// Makes sure that a group of `bytes` can be committed in space that is already taken; takes
    /// more if it must.
    ///
    /// # Errors
    /// `Full` if the disk has no space; nothing has changed then.
    pub fn reserve(&mut self, bytes: u64) -> Result<()> {
        self.running()?;
        if bytes > self.group_bytes_max() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a group of {bytes} bytes does not fit a segment of {}: send less at once, or \
                     set longer segments",
                    self.options.segment_bytes
                ),
            ));
        }
        if bytes > self.rest() { self.shelf.ensure() } else { Ok(()) }
    }

    /// Makes a group durable, as the durability says. On success the group is acknowledged; call
    /// [`Group::restart`] before its next use.
    ///
    /// # Errors
    /// `Full` or `Invalid` before anything is written: the group is as it was. `Stopped` when a
    /// write or sync failed, and ever after: whether the group is durable is not known.
    pub fn commit(&mut self, group: &mut Group) -> Result<Position> {
        self.write(group, self.options.durability == Durability::Fsync)
    }

    /// Syncs what is written and not yet synced.
    pub fn sync_pending(&mut self) -> Result<Position> {
        self.running()?;
        if self.synced < self.position {
            let outcome = match &mut self.current {
                Some(current) => current.file.sync(),
                None => Ok(()),
            };
            outcome.map_err(|error| self.stop("sync", error))?;
            self.synced = self.position;
        }
        Ok(self.synced)
    }

    /// Frees segments of which the table durably has all groups, which are those up to `upto`. They
    /// become spare ones, or are removed, off this thread.
    pub fn recycle(&mut self, upto: Position) {
        while self.segments.get(1).is_some_and(|next| next.first <= upto.saturating_add(1)) {
            if let Some(segment) = self.segments.pop_front() {
                self.shelf.release(segment.name);
            }
        }
        if self.options.preparing == Preparing::ByHand {
            // What fails here is tried again, and stops a commit where it matters.
            let _ = self.shelf.tend();
        }
    }

    /// Prepares segments to come, where no thread does.
    ///
    /// # Errors
    /// `Full` when the disk has no space for one, `Unavailable` when the disk fails. The journal
    /// goes on in the space it has.
    pub fn tend(&self) -> Result<()> {
        self.shelf.tend()
    }

    /// The number of segment files in use, spare ones not counted.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    fn write(&mut self, group: &mut Group, sync: bool) -> Result<Position> {
        self.reserve(group.size())?;
        if group.epoch() != self.epoch {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("a group of epoch {} is not of this one, {}", group.epoch(), self.epoch),
            ));
        }
        let size = group.size();
        let bytes = group.seal(self.store, self.position + 1, self.synced);
        let outcome = match &mut self.current {
            Some(current) if size <= current.length - current.offset => {
                current.write(bytes, size, sync).map_err(|error| ("write to", error))
            }
            _ => self.switch(bytes, size).map_err(|error| ("begin a segment after", error)),
        };
        outcome.map_err(|(action, error)| self.stop(action, error))?;
        self.position += 1;
        if sync {
            self.synced = self.position;
        }
        Ok(self.position)
    }

    /// Begins a segment with its first group. All is synced before the file gets its name, and the
    /// name before the group counts.
    fn switch(&mut self, bytes: &[u8], size: u64) -> std::io::Result<()> {
        let first = self.position + 1;
        if self.synced < self.position
            && let Some(current) = &mut self.current
        {
            current.file.sync()?;
        }
        let mut spare = self.shelf.take()?;
        let length = self.options.segment_bytes;
        let block = segment::Block::new(self.store, self.epoch, first, length);
        spare.file.write_at(0, &block.encode())?;
        let name = segment::name(first);
        let mut next =
            Current { file: spare.file, name: name.clone(), offset: BLOCK_BYTES as u64, length };
        next.write(bytes, size, true)?;
        self.disk.rename(&spare.name, &name)?;
        self.disk.sync_names()?;
        self.synced = self.position;
        self.segments.push_back(Segment { first, name });
        self.current = Some(next);
        Ok(())
    }

    fn running(&self) -> Result<()> {
        match &self.stopped {
            None => Ok(()),
            Some(message) => Err(Error::new(ErrorKind::Stopped, message.clone())),
        }
    }

    /// After a failed write or sync nobody knows what the disk holds: nothing is tried again.
    fn stop(&mut self, action: &str, error: std::io::Error) -> Error {
        let name = self.current.as_ref().map_or("the first segment", |current| &current.name);
        let message = format!(
            "the journal could not {action} {name} ({error}), and has stopped: what was asked may \
             have been done; check the disk and open the store again"
        );
        self.stopped = Some(message.clone());
        Error::new(ErrorKind::Stopped, message)
    }
}

impl Current {
    fn write(&mut self, bytes: &[u8], size: u64, sync: bool) -> std::io::Result<()> {
        // The block of zeros behind the group has no place at the very end.
        let rest = usize::try_from(self.length - self.offset).unwrap_or(usize::MAX);
        self.file.write_at(self.offset, &bytes[..bytes.len().min(rest)])?;
        if sync {
            self.file.sync()?;
        }
        self.offset += size;
        Ok(())
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("epoch", &self.epoch)
            .field("position", &self.position)
            .field("synced", &self.synced)
            .field("segments", &self.segments)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests/journal.rs"]
mod tests;
