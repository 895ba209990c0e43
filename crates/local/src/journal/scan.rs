//! Reading a journal, and telling a torn end from corruption. Nothing here writes.

use std::sync::Arc;

use taskwright_core::Timestamp;
use taskwright_store::{Error, ErrorKind, Result};

use super::group::{BLOCK, HEADER_BYTES, Header};
use super::open::{Cut, Expect, decoded};
use super::segment::{self, BLOCK_BYTES, Block};
use super::{SEGMENT_BYTES_MAX, Segment};
use crate::change::Position;
use crate::disk::Disk;

/// What a journal holds, from the segment that the table needs next.
pub struct Scan {
    /// All segments, oldest first.
    pub segments: Vec<Segment>,
    /// The position of the newest whole group.
    pub position: Position,
    /// The highest epoch.
    pub epoch: u32,
    /// The time of the newest group.
    pub high_water: Timestamp,
    /// Groups beyond the table.
    pub fresh: u64,
    /// The end of the newest segment; `None` in a journal without segments.
    pub tail: Option<Tail>,
}

/// The end of the newest segment.
pub struct Tail {
    pub name: String,
    /// The segment, as read.
    pub bytes: Vec<u8>,
    /// The length that the segment had when it was written.
    pub whole: u64,
    /// Where the newest whole group ends.
    pub end: usize,
    /// Where the first group begins that may not be synced.
    pub unsynced: usize,
    /// Bytes at the end that were being written.
    pub torn: Option<usize>,
}

/// A group and where it stands.
pub struct Found<'a> {
    pub header: Header,
    pub body: &'a [u8],
    pub segment: &'a str,
    pub offset: usize,
}

/// Reads all groups beyond the table and hands them to `visit`.
pub fn scan(
    disk: &dyn Disk,
    expect: Expect,
    visit: &mut dyn FnMut(Found<'_>) -> Result<()>,
) -> Result<Scan> {
    let names = disk.list().map_err(|error| unreadable("the directory", &error))?;
    let mut segments: Vec<_> = names
        .into_iter()
        .filter_map(|name| segment::first_of(&name).map(|first| Segment { first, name }))
        .collect();
    segments.sort_by_key(|segment| segment.first);
    let next = expect.replay_after + 1;
    let Some(start) = segments.iter().rposition(|segment| segment.first <= next) else {
        return match segments.first() {
            Some(oldest) => Err(missing(next, oldest.first)),
            None if expect.table_position > 0 => Err(beyond(expect.table_position, 0)),
            None => Ok(Chain::new(1, expect).into_scan(segments, None)),
        };
    };
    let mut chain = Chain::new(segments[start].first, expect);
    let mut tail: Option<Tail> = None;
    for segment in &segments[start..] {
        if let Some(before) = &tail
            && chain.next != segment.first
        {
            return Err(damaged(&before.name, before.end, chain.next, "a later segment follows"));
        }
        let bytes = read(disk, &segment.name)?;
        let block = Block::read(&segment.name, &bytes, expect.store)?;
        chain.epoch = chain.epoch.max(block.epoch);
        tail = Some(chain.walk(&segment.name, bytes, block.length, visit)?);
    }
    if let Some(tail) = &tail {
        chain.check_end(tail)?;
    }
    Ok(chain.into_scan(segments, tail))
}

fn read(disk: &dyn Disk, name: &str) -> Result<Vec<u8>> {
    let unreadable = |error| unreadable(name, &error);
    let file = disk.open(name).map_err(unreadable)?;
    let length = file.len().map_err(unreadable)?;
    let length = usize::try_from(length.min(SEGMENT_BYTES_MAX)).unwrap_or_default();
    let mut bytes = vec![0; length];
    file.read_at(0, &mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The groups as they follow each other.
struct Chain {
    expect: Expect,
    next: Position,
    epoch: u32,
    high_water: Timestamp,
    synced: Position,
    fresh: u64,
}

impl Chain {
    fn new(next: Position, expect: Expect) -> Self {
        Chain { expect, next, epoch: 0, high_water: Timestamp::ZERO, synced: 0, fresh: 0 }
    }

    fn into_scan(self, segments: Vec<Segment>, tail: Option<Tail>) -> Scan {
        let Chain { next, epoch, high_water, fresh, .. } = self;
        Scan { segments, position: next - 1, epoch, high_water, fresh, tail }
    }

    /// Follows the groups of a segment up to the first that is none.
    fn walk(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        whole: u64,
        visit: &mut dyn FnMut(Found<'_>) -> Result<()>,
    ) -> Result<Tail> {
        let mut offset = BLOCK_BYTES;
        let mut offsets = Vec::new();
        while let Some(header) = self.header(bytes.get(offset..)) {
            let Some(body) = header.body(&bytes[offset..], self.expect.store) else { break };
            if header.position > self.expect.replay_after {
                visit(Found { header, body, segment: name, offset })?;
                self.fresh += 1;
            }
            offsets.push((header.position, offset));
            self.next += 1;
            self.epoch = header.epoch;
            self.high_water = self.high_water.max(header.now);
            self.synced = header.synced;
            offset += header.size();
        }
        if offsets.is_empty() {
            return Err(damaged(name, offset, self.next, "the segment began with it"));
        }
        let unsynced = offsets.iter().find(|(position, _)| *position > self.synced);
        let unsynced = unsynced.map_or(offset, |(_, offset)| *offset);
        let torn = self.torn(&bytes, offset);
        Ok(Tail { name: name.to_owned(), bytes, whole, end: offset, unsynced, torn })
    }

    /// The header of the next group of the chain, if that stands at the front of `bytes`.
    fn header(&self, bytes: Option<&[u8]>) -> Option<Header> {
        let header = Header::decode(bytes?, self.expect.store)?;
        (header.position == self.next && header.epoch >= self.epoch).then_some(header)
    }

    /// How many bytes behind the last whole group look as if they were being written.
    fn torn(&self, bytes: &[u8], end: usize) -> Option<usize> {
        let rest = bytes.get(end..).filter(|rest| !rest.is_empty())?;
        let bytes = match self.header(Some(rest)) {
            Some(header) => header.size().min(rest.len()),
            // Behind the newest group stands a block of zeros.
            None => {
                let used =
                    rest.chunks(BLOCK).take_while(|block| block.iter().any(|byte| *byte != 0));
                used.map(<[u8]>::len).sum()
            }
        };
        (bytes > 0).then_some(bytes)
    }

    /// Nothing may tell that the group missing at the end had been durable.
    fn check_end(&self, tail: &Tail) -> Result<()> {
        let Tail { name, bytes, end, .. } = tail;
        if self.next <= self.expect.table_position {
            return Err(match tail.torn {
                Some(_) => damaged(name, *end, self.next, "the table holds later ones"),
                None => beyond(self.expect.table_position, self.next - 1),
            });
        }
        let later = (*end..bytes.len()).step_by(BLOCK).any(|offset| {
            let header = Header::decode(&bytes[offset..], self.expect.store);
            header.is_some_and(|header| {
                header.position > self.next
                    && header.synced >= self.next
                    && header.epoch >= self.epoch
            })
        });
        if later {
            return Err(damaged(name, *end, self.next, "later ones were written behind it"));
        }
        Ok(())
    }
}

const HELP: &str = "nothing was changed; run `taskwright fsck`, or restore a backup";

fn damaged(name: &str, offset: usize, position: Position, evidence: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "cannot open the journal: group {position} at byte {offset} of {name} is damaged, and \
             it had been durable ({evidence}); {HELP}"
        ),
    )
}

fn missing(next: Position, first: Position) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "cannot open the journal: it begins with group {first}, and the table needs group \
             {next} next, so the table is too old or a segment is gone; {HELP}"
        ),
    )
}

fn beyond(table: Position, journal: Position) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "cannot open the journal: the table holds group {table}, and the journal ends with \
             group {journal}, so a part of the journal is gone; {HELP}"
        ),
    )
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("cannot read {what} of the journal ({error}): check the disk and its permissions"),
    )
}

/// What a check of a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Segment files, spare ones not counted.
    pub segments: usize,
    /// Whole groups beyond the table.
    pub groups: u64,
    /// Changes in them.
    pub changes: u64,
    /// The position of the newest group.
    pub position: Position,
    /// The highest epoch.
    pub epoch: u32,
    /// What opening would cut off.
    pub cut: Option<Cut>,
}

/// Reads a journal as opening would, and changes nothing.
///
/// # Errors
/// As opening: `Corrupt`, `TooNew`, `Unusable`, `Unavailable`.
pub fn check(disk: &Arc<dyn Disk>, expect: Expect) -> Result<Checked> {
    let mut changes = 0;
    let found = scan(&**disk, expect, &mut |found| {
        changes += decoded(&found)?.len() as u64;
        Ok(())
    })?;
    Ok(Checked {
        segments: found.segments.len(),
        groups: found.fresh,
        changes,
        position: found.position,
        epoch: found.epoch,
        cut: found.tail.as_ref().and_then(Cut::of),
    })
}

const _: () = assert!(HEADER_BYTES <= BLOCK);
