use std::io;

use taskwright_core::Timestamp;

use super::*;
use crate::change::Change;
use crate::disk::FileDisk;
use crate::sim::{Faults, Samples, SimDisk};

const STORE: StoreId = StoreId(*b"a store to test!");

fn options() -> JournalOptions {
    JournalOptions {
        segment_bytes: 2048,
        durability: Durability::Fsync,
        preparing: Preparing::ByHand,
    }
}

type Groups = Vec<(Position, Vec<Change>)>;

fn open_with(
    disk: Arc<dyn Disk>,
    options: JournalOptions,
    table_position: Position,
) -> Result<(Journal, Groups)> {
    let expect = Expect { store: STORE, table_position, replay_after: table_position };
    let mut groups = Vec::new();
    let (journal, _) = Journal::open(disk, options, expect, &mut |position, _, changes| {
        groups.push((position, changes));
        Ok(())
    })?;
    Ok((journal, groups))
}

fn open(disk: &SimDisk) -> Journal {
    open_with(Arc::new(disk.clone()), options(), 0).expect("it opens").0
}

fn group_of(journal: &Journal, number: u64) -> Group {
    let mut group = Group::new(journal.epoch(), Timestamp::from_micros(number.cast_signed()));
    group.push(&Change::Delete(number));
    group
}

#[test]
fn what_was_committed_is_found_again() {
    let disk = SimDisk::new(1);
    let mut journal = open(&disk);
    assert_eq!((journal.position(), journal.epoch()), (1, 1));
    let mut samples = Samples::new(1);
    let mut written = vec![(1, Vec::new())];
    for _ in 0..100 {
        let mut group = Group::new(1, Timestamp::from_millis(9));
        let changes: Vec<_> = (0..samples.random.below(3)).map(|_| samples.change()).collect();
        changes.iter().for_each(|change| group.push(change));
        assert_eq!(group.count() as usize, changes.len());
        written.push((journal.commit(&mut group).expect("committed"), changes));
    }
    drop(journal);
    let (journal, found) = open_with(Arc::new(disk), options(), 40).expect("it opens");
    assert_eq!(found, written[40..]);
    assert_eq!((journal.position(), journal.epoch()), (102, 2));
}

#[test]
fn a_failed_write_or_sync_stops_the_journal() {
    let mut failures = 0;
    for operation in 1..=2 {
        let disk = SimDisk::new(2);
        let mut journal = open(&disk);
        let fail_at = Some(disk.operations() + operation);
        disk.set_faults(Faults { fail_at, ..Faults::default() });
        let error = journal.commit(&mut group_of(&journal, 1)).expect_err("the disk fails");
        assert_eq!(error.kind, ErrorKind::Stopped, "{error}");
        assert!(error.message.contains("0000000000000001.journal"), "{error}");
        disk.set_faults(Faults::default());
        let operations = disk.operations();
        for error in [
            journal.commit(&mut group_of(&journal, 2)).expect_err("it goes on"),
            journal.sync_pending().expect_err("it goes on"),
            journal.reserve(1).expect_err("it goes on"),
        ] {
            assert_eq!(error.kind, ErrorKind::Stopped);
        }
        assert_eq!(disk.operations(), operations, "the disk was touched again");
        assert_eq!((journal.position(), journal.synced()), (1, 1));
        failures += 1;
    }
    assert_eq!(failures, 2);
}

#[test]
fn a_full_disk_refuses_before_anything_is_written() {
    let disk = SimDisk::new(3);
    let mut journal = open(&disk);
    disk.set_faults(Faults { capacity: Some(2 * 2048), ..Faults::default() });
    journal.tend().expect("a second segment fits");
    let mut number = 0;
    let error = loop {
        let size = group_of(&journal, number).size();
        let fits = journal.reserve(size);
        match journal.commit(&mut group_of(&journal, number)) {
            Ok(_) => assert!(fits.is_ok()),
            Err(error) => {
                assert!(fits.is_err() && journal.room() < size, "there was room");
                break error;
            }
        }
        number += 1;
    };
    assert_eq!(error.kind, ErrorKind::Full);
    assert!(error.is_retryable());
    assert_eq!(journal.tend().expect_err("the disk is full").kind, ErrorKind::Full);
    let newest = journal.position();

    // Freed segments make room without any new space.
    journal.recycle(newest);
    journal.tend().expect("a segment was freed");
    let position = journal.commit(&mut group_of(&journal, number)).expect("there is room again");
    assert_eq!(position, newest + 1);
    drop(journal);
    let (_, found) = open_with(Arc::new(disk), options(), newest).expect("it opens");
    assert_eq!(found, [(newest + 1, vec![Change::Delete(number)])]);
}

#[test]
fn a_group_longer_than_a_segment_is_refused() {
    let mut journal = open(&SimDisk::new(4));
    let mut group = Group::new(1, Timestamp::ZERO);
    while group.size() <= journal.group_bytes_max() {
        group.push(&Change::Delete(u64::MAX));
    }
    let error = journal.commit(&mut group).expect_err("it does not fit");
    assert_eq!(error.kind, ErrorKind::Invalid);
    group.restart(Timestamp::ZERO);
    assert_eq!(journal.commit(&mut group), Ok(2));
}

#[test]
fn a_group_of_another_epoch_is_refused() {
    let mut journal = open(&SimDisk::new(5));
    let error = journal.commit(&mut Group::new(7, Timestamp::ZERO)).expect_err("epoch 7");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(journal.commit(&mut group_of(&journal, 1)).is_ok());
}

#[test]
fn segments_below_the_table_are_used_again_and_the_current_one_never() {
    let disk = SimDisk::new(6);
    let mut journal = open(&disk);
    while journal.segments() < 8 {
        journal.commit(&mut group_of(&journal, 1)).expect("there is room");
    }
    let third = journal.segments[2].first;
    journal.recycle(third - 2);
    assert_eq!(journal.segments(), 7, "the second one is needed for its last group");
    journal.recycle(third - 1);
    assert_eq!(journal.segments(), 6);
    journal.recycle(u64::MAX);
    assert_eq!(journal.segments(), 1);
    assert!(journal.commit(&mut group_of(&journal, 1)).is_ok());
}

#[test]
fn as_many_spare_segments_are_kept_as_the_pace_needs() {
    let disk = SimDisk::new(6);
    let mut journal = open(&disk);
    let mut spares_after = |begun: usize| {
        while journal.segments() < begun + 1 {
            journal.commit(&mut group_of(&journal, 1)).expect("there is room");
        }
        journal.recycle(u64::MAX);
        disk.list().expect("names").len() - 1
    };
    assert_eq!(spares_after(7), 7);
    assert_eq!(spares_after(7), 7, "segments that the pace needs are used again");
    for _ in 0..8 {
        spares_after(1);
    }
    assert!(spares_after(1) <= 3, "freed segments beyond need are removed");
}

#[test]
fn another_store_is_refused_by_name() {
    let disk = SimDisk::new(7);
    drop(open(&disk));
    let expect = Expect { store: StoreId([0xab; 16]), table_position: 0, replay_after: 0 };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let error = check(&disk, expect).expect_err("it is another store's");
    assert_eq!(error.kind, ErrorKind::Unusable);
    for id in ["abababab", "6120"] {
        assert!(error.message.contains(id), "{error}");
    }
}

#[test]
fn without_fsync_groups_are_synced_when_asked() {
    for durability in [Durability::Interval(Duration::from_secs(1)), Durability::Os] {
        let disk = SimDisk::new(8);
        let options = JournalOptions { durability, ..options() };
        let (mut journal, _) = open_with(Arc::new(disk), options, 0).expect("it opens");
        assert_eq!(journal.synced(), 1, "the epoch is durable at once");
        assert_eq!(journal.commit(&mut group_of(&journal, 1)), Ok(2));
        assert_eq!(journal.synced(), 1);
        assert_eq!(journal.sync_pending(), Ok(2));
        assert_eq!(journal.synced(), 2);
    }
}

#[test]
fn an_error_of_the_replay_stops_the_opening() {
    let disk = SimDisk::new(9);
    drop(open(&disk));
    let expect = Expect { store: STORE, table_position: 0, replay_after: 0 };
    let refused = Journal::open(Arc::new(disk), options(), expect, &mut |_, _, _| {
        Err(Error::new(ErrorKind::Busy, "no"))
    });
    assert_eq!(refused.expect_err("replay failed").kind, ErrorKind::Busy);
}

#[test]
fn options_that_cannot_work_are_refused() {
    for segment_bytes in [0, 1000, 1025, 1 << 40] {
        let options = JournalOptions { segment_bytes, ..options() };
        let error = open_with(Arc::new(SimDisk::new(1)), options, 0).expect_err("it opens");
        assert_eq!(error.kind, ErrorKind::Invalid);
    }
}

#[test]
fn a_real_directory_with_the_preparing_thread() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = JournalOptions { preparing: Preparing::OnThread, ..options() };
    let mut table = 0;
    for life in 1..=3 {
        let disk = Arc::new(FileDisk::new(directory.path()).expect("a disk"));
        let (mut journal, found) = open_with(disk, options, table).expect("it opens");
        assert_eq!(journal.epoch(), life);
        assert_eq!(found.len() as u64, journal.position() - 1 - table);
        for number in 0..300 {
            journal.commit(&mut group_of(&journal, number)).expect("there is room");
            if number % 7 == 0 {
                table = journal.position();
                journal.recycle(table);
            }
        }
        table = journal.position() - 3;
    }
    let names = FileDisk::new(directory.path()).and_then(|disk| disk.list()).expect("names");
    assert!(names.len() <= 18, "{names:?}");
}

#[test]
fn a_real_disk_refuses_what_exists_and_takes_space() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let disk = FileDisk::new(directory.path())?;
    let mut file = disk.create("a", 3 * 1024 * 1024 + 5)?;
    assert_eq!(file.len()?, 3 * 1024 * 1024 + 5);
    assert!(!file.is_empty()?);
    file.write_at(7, b"seven")?;
    file.sync()?;
    let mut read = [0; 6];
    file.read_at(6, &mut read)?;
    assert_eq!(&read, b"\0seven");
    assert!(file.read_at(3 * 1024 * 1024, &mut [0; 9]).is_err());
    assert_eq!(
        disk.create("a", 1).err().map(|error| error.kind()),
        Some(io::ErrorKind::AlreadyExists)
    );
    disk.create("b", 64)?;
    assert_eq!(
        disk.rename("a", "b").err().map(|error| error.kind()),
        Some(io::ErrorKind::AlreadyExists)
    );
    disk.remove("b")?;
    disk.rename("a", "b")?;
    disk.sync_names()?;
    assert_eq!(disk.list()?, ["b"]);
    disk.open("b")?.read_at(6, &mut read)?;
    assert_eq!(&read, b"\0seven");
    Ok(())
}
