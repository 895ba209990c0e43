//! Files that older versions wrote: every later version reads them, or refuses them as told here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskwright_core::Timestamp;
use taskwright_local::change::{Change, Position};
use taskwright_local::disk::{Disk, FileDisk};
use taskwright_local::journal::{
    Checked, Durability, Expect, Group, Journal, JournalOptions, Preparing, StoreId, check,
};
use taskwright_local::sim::Samples;
use taskwright_store::{Error, ErrorKind};

const STORE: StoreId = StoreId(*b"the golden store");
const OPTIONS: JournalOptions = JournalOptions {
    segment_bytes: 4096,
    durability: Durability::Fsync,
    preparing: Preparing::ByHand,
};
/// Where the first group of a segment begins, and the body in it.
const FIRST_GROUP: usize = 512;
const FIRST_BODY: usize = FIRST_GROUP + 48;

fn golden(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1").join(kind)
}

fn inspected(kind: &str) -> Result<Checked, Error> {
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(golden(kind)).expect("a golden directory"));
    check(&disk, Expect { store: STORE, table_position: 0, replay_after: 0 })
}

/// A group as `contents.txt` tells it.
fn told(position: Position, now: Timestamp, changes: &[Change]) -> String {
    let changes: Vec<_> = changes.iter().map(|change| format!("  {change:?}\n")).collect();
    format!("group {position} at {now}\n{}", changes.concat())
}

/// What a golden journal says, and up to which position.
fn read(kind: &str) -> (String, Position) {
    let directory = tempfile::tempdir().expect("a directory");
    for file in std::fs::read_dir(golden(kind)).expect("the golden journal") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), directory.path().join(file.file_name())).expect("a copy");
    }
    let disk = Arc::new(FileDisk::new(directory.path()).expect("a disk"));
    let mut found = String::new();
    let expect = Expect { store: STORE, table_position: 0, replay_after: 0 };
    let (journal, recovered) =
        Journal::open(disk, OPTIONS, expect, &mut |position, now, changes| {
            found.push_str(&told(position, now, &changes));
            Ok(())
        })
        .expect("an old journal opens");
    assert_eq!((recovered.epoch, recovered.cut, journal.epoch()), (1, None, 2));
    (found, journal.position())
}

#[test]
fn format_1_is_read() {
    let expected = std::fs::read_to_string(golden("contents.txt")).expect("the golden contents");
    assert_eq!(read("journal"), (expected, 26));
}

#[test]
fn what_waiting_jobs_were_given_is_read() {
    let expected = std::fs::read_to_string(golden("rewrites.txt")).expect("the golden contents");
    assert_eq!(read("rewrites"), (expected, 5));
}

#[test]
fn a_newer_format_is_refused() {
    let error = inspected("newer-format").expect_err("it is read");
    assert_eq!(error.kind, ErrorKind::TooNew);
    assert_eq!(
        error.message,
        "cannot open the journal: 0000000000000001.journal has format 2, written by Taskwright \
         9.0.0, and this version reads up to format 1; use the newer program"
    );
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    let error = inspected("unknown-field").expect_err("it is read");
    assert_eq!(error.kind, ErrorKind::TooNew);
    assert_eq!(
        error.message,
        "cannot read group 1 at byte 512 of 0000000000000001.journal: field 27 (kind 1) of a lane \
         is unknown to this version (format 1); it was written by a newer Taskwright: upgrade this \
         one"
    );
}

#[test]
fn a_whole_group_that_makes_no_sense_is_corruption() {
    let error = inspected("senseless").expect_err("it is read");
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.ends_with("a lane has no number"), "{error}");
}

#[test]
fn another_store_is_refused() {
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(golden("journal")).expect("a directory"));
    let expect = Expect { store: StoreId([1; 16]), table_position: 0, replay_after: 0 };
    assert_eq!(check(&disk, expect).expect_err("it is read").kind, ErrorKind::Unusable);
}

fn fresh(kind: &str) -> Journal {
    let path = golden(kind);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory");
    let disk = Arc::new(FileDisk::new(path).expect("a disk"));
    let expect = Expect { store: STORE, table_position: 0, replay_after: 0 };
    Journal::open(disk, OPTIONS, expect, &mut |_, _, _| Ok(())).expect("a new journal").0
}

/// Writes the golden journal of rewrites; run it by hand.
#[test]
#[ignore = "writes golden files"]
fn write_golden_rewrites() {
    let mut journal = fresh("rewrites");
    let mut samples = Samples::new(2026);
    let mut contents = told(1, Timestamp::ZERO, &[]);
    let now = Timestamp::from_millis(1_795_000_000_000);
    for position in 2..=4 {
        let changes: Vec<_> =
            (0..5).map(|_| Change::Rewrite(Box::new(samples.rewrite()))).collect();
        let mut group = Group::new(1, now);
        changes.iter().for_each(|change| group.push(change));
        assert_eq!(journal.commit(&mut group), Ok(position));
        contents.push_str(&told(position, now, &changes));
    }
    std::fs::write(golden("rewrites.txt"), contents).expect("written");
}

/// Writes the golden files of this format; run it by hand, once per format.
#[test]
#[ignore = "writes the golden files"]
fn write_golden_files() {
    let mut journal = fresh("journal");
    let mut samples = Samples::new(2026);
    let mut contents = told(1, Timestamp::ZERO, &[]);
    let now = Timestamp::from_millis(1_795_000_000_000);
    for position in 2..=25 {
        let changes: Vec<_> = (0..position % 4).map(|_| samples.change()).collect();
        let mut group = Group::new(1, now);
        changes.iter().for_each(|change| group.push(change));
        assert_eq!(journal.commit(&mut group), Ok(position));
        contents.push_str(&told(position, now, &changes));
    }
    std::fs::write(golden("contents.txt"), contents).expect("written");
    let first = |kind: &str| golden(kind).join("0000000000000001.journal");
    let edit = |kind: &str, edit: &dyn Fn(&mut Vec<u8>)| {
        drop(fresh(kind));
        let mut bytes = std::fs::read(first(kind)).expect("a segment");
        edit(&mut bytes);
        std::fs::write(first(kind), bytes).expect("written");
    };
    edit("newer-format", &|bytes| {
        bytes[8] = 2;
        bytes[48..53].copy_from_slice(b"9.0.0");
        let checksum = crc32fast::hash(&bytes[..508]).to_le_bytes();
        bytes[508..512].copy_from_slice(&checksum);
    });
    // A lane with field 27 (an unsigned number), and one with nothing.
    for (kind, body) in
        [("unknown-field", &[0x26, 0xd9, 0x01, 5, 0][..]), ("senseless", &[0x26, 0])]
    {
        edit(kind, &|bytes| {
            bytes[FIRST_BODY..FIRST_BODY + body.len()].copy_from_slice(body);
            bytes[FIRST_GROUP + 12] = body.len() as u8;
            bytes[FIRST_GROUP + 20] = 1;
            let sum = |bytes: &[u8]| crc32fast::hash(&[&STORE.0[..], bytes].concat()).to_le_bytes();
            let of_body = sum(&bytes[FIRST_BODY..FIRST_GROUP + 64]);
            bytes[FIRST_GROUP + 8..FIRST_GROUP + 12].copy_from_slice(&of_body);
            let of_header = sum(&bytes[FIRST_GROUP + 8..FIRST_BODY]);
            bytes[FIRST_GROUP + 4..FIRST_GROUP + 8].copy_from_slice(&of_header);
        });
    }
}
