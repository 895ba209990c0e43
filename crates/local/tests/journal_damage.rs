//! Every byte cut off, every byte flipped: a journal tells a torn end from corruption, and never
//! serves what was not written.

use std::sync::Arc;

use taskwright_core::Timestamp;
use taskwright_local::change::{Change, Position};
use taskwright_local::disk::Disk;
use taskwright_local::journal::{
    Durability, Expect, Group, Journal, JournalOptions, Preparing, Recovered, StoreId,
};
use taskwright_local::sim::{Samples, SimDisk};
use taskwright_store::{Error, ErrorKind};

const STORE: StoreId = StoreId(*b"a damaged store!");
const OPTIONS: JournalOptions = JournalOptions {
    segment_bytes: 2048,
    durability: Durability::Fsync,
    preparing: Preparing::ByHand,
};
/// The block at the beginning of a segment.
const BLOCK_BYTES: usize = 512;

type Groups = Vec<(Position, Vec<Change>)>;

fn open(disk: &SimDisk, table_position: Position) -> Result<(Journal, Recovered, Groups), Error> {
    let mut groups = Vec::new();
    let expect = Expect { store: STORE, table_position, replay_after: table_position };
    let disk = Arc::new(disk.clone());
    let (journal, recovered) =
        Journal::open(disk, OPTIONS, expect, &mut |position, _, changes| {
            groups.push((position, changes));
            Ok(())
        })?;
    Ok((journal, recovered, groups))
}

/// A disk with a journal of some segments, the last with several groups; their contents, and where
/// each group of the last segment begins and ends.
struct Written {
    disk: SimDisk,
    groups: Groups,
    last: String,
    ends: Vec<usize>,
}

fn written(samples: &mut Samples) -> Written {
    let disk = SimDisk::new(1);
    let (mut journal, ..) = open(&disk, 0).expect("a new journal opens");
    let mut groups: Groups = vec![(1, Vec::new())];
    let (mut last, mut ends) = (String::new(), Vec::new());
    while journal.segments() < 3 || ends.len() < 5 {
        let mut group = Group::new(journal.epoch(), Timestamp::from_millis(5));
        let changes: Vec<_> = (0..2).map(|_| samples.change()).collect();
        changes.iter().for_each(|change| group.push(change));
        if group.size() > 320 {
            continue;
        }
        let size = group.size() as usize;
        let segments = journal.segments();
        groups.push((journal.commit(&mut group).expect("there is room"), changes));
        if journal.segments() > segments {
            last = format!("{:016x}.journal", journal.position());
            ends = vec![BLOCK_BYTES];
        }
        if let Some(end) = ends.last().copied() {
            ends.push(end + size);
        }
    }
    Written { disk, groups, last, ends }
}

#[test]
fn the_last_segment_can_be_cut_at_every_byte() {
    let Written { disk, groups, last, ends } = written(&mut Samples::new(7));
    let length = disk.bytes(&last).len();
    let before = groups.len() - (ends.len() - 1);
    for cut in 0..length {
        let disk = disk.copy();
        disk.edit(&last, |bytes| bytes.truncate(cut));
        // A segment has its name from the moment that its first group is durable.
        if cut < ends[1] {
            let error = open(&disk, 0).expect_err("a segment without a group opens");
            assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
            assert!(error.message.contains(&last), "{error}");
            continue;
        }
        let whole = before + ends.iter().filter(|end| **end <= cut).count() - 1;
        let (journal, recovered, found) = open(&disk, 0).expect("the end is cut off");
        assert_eq!(found, groups[..whole], "cut at {cut}");
        assert_eq!(recovered.position, whole as u64);
        let inside = cut < ends[ends.len() - 1] && !ends.contains(&cut);
        assert_eq!(recovered.cut.is_some(), inside, "cut at {cut}: {recovered:?}");
        drop(journal);
        let (_, again, mut found) = open(&disk, 0).expect("it opens again");
        assert_eq!(again.cut, None, "cut at {cut}");
        assert_eq!(found.pop(), Some((whole as u64 + 1, Vec::new())));
        assert_eq!(found, groups[..whole]);
    }
}

#[test]
fn a_journal_that_ends_before_the_table_is_refused() {
    let Written { disk, groups, last, ends } = written(&mut Samples::new(8));
    let newest = groups.len() as u64;
    disk.edit(&last, |bytes| bytes.truncate(ends[ends.len() - 1] - 1));
    assert!(open(&disk.copy(), newest - 1).is_ok());
    let error = open(&disk, newest).expect_err("the table is ahead");
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.contains(&format!("group {newest} at byte")), "{error}");
    let error = open(&SimDisk::new(1), 3).expect_err("the journal is gone");
    assert_eq!(error.kind, ErrorKind::Corrupt);
}

#[test]
fn every_flipped_byte_is_corruption_or_cuts_the_last_group_only() {
    let Written { disk, groups, last, ends } = written(&mut Samples::new(9));
    let newest = ends[ends.len() - 2];
    for at in 0..disk.bytes(&last).len() {
        for bit in [0x01, 0x80] {
            let disk = disk.copy();
            disk.edit(&last, |bytes| bytes[at] ^= bit);
            match open(&disk, 0) {
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Corrupt, "byte {at}: {error}");
                    assert!(error.message.contains(&last), "byte {at}: {error}");
                    assert!(at < newest, "byte {at}: {error}");
                }
                Ok((_, recovered, found)) => {
                    assert!(at >= newest, "byte {at} is flipped and nobody noticed");
                    let kept = groups.len() - usize::from(at < ends[ends.len() - 1]);
                    assert_eq!(found, groups[..kept], "byte {at}");
                    assert!(kept == groups.len() || recovered.cut.is_some(), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn every_flipped_byte_of_an_older_segment_is_corruption() {
    let Written { disk, .. } = written(&mut Samples::new(10));
    let first = "0000000000000001.journal";
    let length = disk.bytes(first).len();
    let used = (0..length).rev().find(|at| disk.bytes(first)[*at] != 0).expect("it is written");
    for at in 0..=used {
        let disk = disk.copy();
        disk.edit(first, |bytes| bytes[at] ^= 0x10);
        let error = open(&disk, 0).err().unwrap_or_else(|| panic!("byte {at} goes unnoticed"));
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.contains(first), "byte {at}: {error}");
    }
}

#[test]
fn a_missing_segment_is_corruption() {
    let Written { disk, groups, last, .. } = written(&mut Samples::new(11));
    let names = disk.list().expect("names");
    for name in names.iter().filter(|name| !name.starts_with("spare") && **name != last) {
        let disk = disk.copy();
        disk.remove(name).expect("removed");
        let error = open(&disk, 0).expect_err("a segment is gone");
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    }
    let disk = disk.copy();
    disk.remove(&last).expect("removed");
    let error = open(&disk, groups.len() as u64).expect_err("the last segment is gone");
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
}

/// Damages the group at a position, wherever it stands.
fn damage(disk: &SimDisk, position: Position) {
    let names = disk.list().expect("names");
    let mut damaged = 0;
    for name in names.iter().filter(|name| !name.starts_with("spare")) {
        disk.edit(name, |bytes| {
            let at = (BLOCK_BYTES..bytes.len()).step_by(64).find(|at| {
                bytes[*at..].starts_with(b"TWgr")
                    && bytes[at + 24..at + 32] == position.to_le_bytes()
            });
            if let Some(at) = at {
                bytes[at + 50] ^= 4;
                damaged += 1;
            }
        });
    }
    assert_eq!(damaged, 1, "group {position} stands in {damaged} places");
}

#[test]
fn old_contents_of_a_recycled_segment_never_come_back() {
    let mut damaged = 0;
    for seed in 0..60 {
        let mut samples = Samples::new(seed);
        let disk = SimDisk::new(seed);
        let mut known: Groups = Vec::new();
        let mut table = 0;
        for _ in 0..12 {
            let (mut journal, recovered, found) = open(&disk, table as u64).expect("it opens");
            assert_eq!(recovered.position, known.len() as u64);
            assert_eq!(found, known[table..], "seed {seed}");
            known.push((journal.position(), Vec::new()));
            let first = known.len();
            for _ in 0..samples.random.below(40) {
                let mut group = Group::new(journal.epoch(), Timestamp::from_millis(5));
                let change = samples.change();
                group.push(&change);
                let position = journal.commit(&mut group).expect("there is room");
                known.push((position, vec![change]));
            }
            let behind = samples.random.below(6);
            table = table.max(known.len().saturating_sub(behind));
            journal.recycle(table as u64);
            journal.tend().expect("there is room");
            let begun_with_it = known.len() == first || journal.segments() == 1;
            drop(journal);
            if table < known.len() && !begun_with_it {
                // Behind the newest group stands what the file held before.
                let copy = disk.copy();
                damage(&copy, known.len() as u64);
                if let Ok((_, _, found)) = open(&copy, table as u64) {
                    assert_eq!(found, known[table..known.len() - 1], "seed {seed}");
                    damaged += 1;
                }
            }
        }
    }
    assert!(damaged > 50, "only {damaged} damaged journals could be opened");
}
