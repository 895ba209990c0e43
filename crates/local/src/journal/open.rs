//! Opening a journal: recovery, the cut of a torn end, and the first group of the new epoch.

use std::collections::VecDeque;
use std::sync::Arc;

use taskwright_core::Timestamp;
use taskwright_store::{Error, ErrorKind, Result};

use super::group::Group;
use super::scan::{Found, Scan, Tail, scan};
use super::shelf::{Preparer, Shelf};
use super::{Current, Journal, JournalOptions, Preparing, StoreId};
use crate::change::{Change, Position};
use crate::codec;
use crate::disk::Disk;

/// What the journal must fit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The store that it belongs to.
    pub store: StoreId,
    /// The position of the newest group that the table holds, perhaps but for some jobs; 0 for an
    /// empty table.
    pub table_position: Position,
    /// Up to here it lacks nothing, and nothing is replayed. At most `table_position`.
    pub replay_after: Position,
}

/// What opening a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The position of the newest group found; the journal's own is one more, as opening writes an
    /// empty group of the new epoch.
    pub position: Position,
    /// The highest epoch found; 0 in a new journal.
    pub epoch: u32,
    /// The time of the newest group: time must not go back behind it.
    pub high_water: Timestamp,
    /// Groups that were replayed.
    pub groups: u64,
    /// What was cut off the end.
    pub cut: Option<Cut>,
}

/// A group that was being written when the machine stopped, and was cut off. Nobody was told that
/// it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment file.
    pub segment: String,
    /// Where the group began.
    pub offset: u64,
    /// Its bytes, as far as they can be told.
    pub bytes: u64,
}

impl Cut {
    pub(super) fn of(tail: &Tail) -> Option<Cut> {
        let bytes = tail.torn? as u64;
        Some(Cut { segment: tail.name.clone(), offset: tail.end as u64, bytes })
    }
}

/// A group on its way to the replay.
type Decoded = (Position, Timestamp, Vec<Change>);

impl Journal {
    /// Opens the journal in a directory, or begins one. Groups beyond the table go to `replay` in
    /// order, each once it is durable; the epoch is raised durably before this returns.
    ///
    /// # Errors
    /// `Corrupt`, with the place, when what was durable is damaged or gone; `TooNew` when a newer
    /// version wrote it; `Unusable` when it belongs to another store; `Full` when the disk has no
    /// space to go on; `Unavailable` when the disk fails; whatever `replay` returns. A journal
    /// that is refused is not changed.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        expect: Expect,
        replay: &mut dyn FnMut(Position, Timestamp, Vec<Change>) -> Result<()>,
    ) -> Result<(Journal, Recovered)> {
        let options = options.checked()?;
        // A group is handed over once it is durable: the table must not get ahead of the journal.
        let mut unsynced = VecDeque::new();
        let scan = scan(&*disk, expect, &mut |found| {
            let synced = found.header.synced;
            while unsynced.front().is_some_and(|(position, ..): &Decoded| *position <= synced)
                && let Some((position, now, changes)) = unsynced.pop_front()
            {
                replay(position, now, changes)?;
            }
            unsynced.push_back((found.header.position, found.header.now, decoded(&found)?));
            Ok(())
        })?;
        // A name may be visible and not yet durable, if the last process ended at a bad moment.
        disk.sync_names().map_err(failed)?;
        let current = scan.tail.as_ref().map(|tail| settle(&*disk, tail)).transpose()?;
        unsynced
            .into_iter()
            .try_for_each(|(position, now, changes)| replay(position, now, changes))?;
        let names = disk.list().map_err(failed)?;
        let shelf = Shelf::new(Arc::clone(&disk), options.segment_bytes, &names).map_err(failed)?;
        let preparer = match options.preparing {
            Preparing::ByHand => None,
            Preparing::OnThread => Some(Preparer::start(Arc::clone(&shelf)).map_err(failed)?),
        };
        let recovered = Recovered {
            position: scan.position,
            epoch: scan.epoch,
            high_water: scan.high_water,
            groups: scan.fresh,
            cut: scan.tail.as_ref().and_then(Cut::of),
        };
        let Scan { segments, position, epoch, high_water, .. } = scan;
        let mut journal = Journal {
            disk,
            store: expect.store,
            options,
            epoch: epoch.checked_add(1).ok_or_else(too_often)?,
            position,
            synced: position,
            segments: VecDeque::from(segments),
            current,
            shelf,
            preparer,
            stopped: None,
        };
        journal.write(&mut Group::new(journal.epoch, high_water), true)?;
        Ok((journal, recovered))
    }
}

/// Makes the end of the newest segment what was read of it: groups that may only be in memory are
/// written again (after a failed sync the operating system can hold as clean what no disk has),
/// and a torn end becomes zeros.
fn settle(disk: &dyn Disk, tail: &Tail) -> Result<Current> {
    let mut file = disk.open(&tail.name).map_err(failed)?;
    let length = tail.bytes.len();
    let mut bytes = tail.bytes[tail.unsynced..tail.end].to_vec();
    if tail.torn.is_some() {
        bytes.resize(length - tail.unsynced, 0);
    }
    file.write_at(tail.unsynced as u64, &bytes).map_err(failed)?;
    file.sync().map_err(failed)?;
    // A segment that lost its end is not written on: its space is no longer taken.
    let length = if length as u64 == tail.whole { length } else { tail.end };
    Ok(Current { file, name: tail.name.clone(), offset: tail.end as u64, length: length as u64 })
}

/// The changes of a group whose checksum is right.
pub(super) fn decoded(found: &Found<'_>) -> Result<Vec<Change>> {
    let Found { header, segment, offset, .. } = found;
    let refusal = |kind, why: &dyn std::fmt::Display| {
        Error::new(
            kind,
            format!("cannot read group {} at byte {offset} of {segment}: {why}", header.position),
        )
    };
    let mut rest = found.body;
    // A change takes two bytes at least.
    let mut changes = Vec::with_capacity((header.count as usize).min(rest.len() / 2));
    while !rest.is_empty() {
        let change = codec::decode_change(&mut rest, header.base()).map_err(|error| {
            let newer = error.is_newer();
            refusal(if newer { ErrorKind::TooNew } else { ErrorKind::Corrupt }, &error)
        })?;
        changes.push(change);
    }
    if changes.len() != header.count as usize {
        let why = format!("it holds {} changes and says {}", changes.len(), header.count);
        return Err(refusal(ErrorKind::Corrupt, &why));
    }
    Ok(changes)
}

fn failed(error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("cannot open the journal ({error}): check the disk and its permissions"),
    )
}

fn too_often() -> Error {
    Error::new(
        ErrorKind::Unusable,
        "cannot open the journal: it was opened 4294967295 times; move its jobs to a new store",
    )
}
