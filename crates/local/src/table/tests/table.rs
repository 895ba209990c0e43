pub mod samples;

use std::fs;

use rusqlite::Connection;
use taskwright_core::{State, StateName, limits};
use taskwright_store::ErrorKind;

use self::samples::*;
use super::*;
use crate::change::{Change, More, QueueSettings};

fn counted(table: &Table) -> u64 {
    table.load().unwrap().ended.iter().map(|(.., count)| count).sum()
}

#[test]
fn a_table_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut first = Table::open(&path, 42).unwrap();
    let mut fold = Fold::new();
    fold.push(1, at(1), names());
    let paused = QueueSettings { namespace: "default".into(), queue: "a".into(), paused: true };
    fold.push(2, at(9), vec![insert(1, 0), insert(2, 1), Change::Queue(paused.clone())]);
    let running = claimed(3, waiting(3));
    fold.push(3, at(5), vec![insert(3, 0), update(3, running, More::default())]);
    fold.push(3, at(5), vec![update(3, completed(running, 5), More::default())]);
    first.apply(&mut fold).unwrap();
    assert!(fold.is_empty());
    drop(first);

    let again = Table::open(&path, 43).unwrap();
    assert_eq!((again.store(), again.position(), again.next_seq()), (42, 3, 4));
    assert_eq!(again.high_water(), at(9));
    let loaded = again.load().unwrap();
    assert_eq!((loaded.lanes.len(), loaded.queues), (5, vec![paused]));
    assert_eq!(
        loaded.workers.iter().map(|(w, claim)| (w.number, *claim)).collect::<Vec<_>>(),
        [(0, 3), (1, 0)]
    );
    assert_eq!(loaded.next_worker, 2);
    assert_eq!(loaded.ended, [(0, StateName::Completed, 1)]);
    let mut live = Vec::new();
    again.live_jobs(|job| live.push((job.fixed.seq, job.args_len, job.vital))).unwrap();
    assert_eq!(live, [(1, 7, waiting(1)), (2, 7, waiting(2))]);
    let mut ids = Vec::new();
    again.ended_ids(|id, state| ids.push((id, state))).unwrap();
    assert_eq!(ids, [(id(3), StateName::Completed)]);
}

#[test]
fn live_jobs_come_in_order_from_all_lanes_with_what_is_seldom() {
    let mut table = table();
    let checkpoint = taskwright_core::Json::from_trusted("7");
    for seq in 1..=400 {
        // Every tenth lives, and there are gaps wider than what is read over.
        let changes = if seq % 10 == 0 && !(100..300).contains(&seq) {
            let more = More { checkpoint: Some(checkpoint.clone()), ..More::default() };
            vec![insert(seq, (seq % 4) as u32), update(seq, claimed(seq, waiting(seq)), more)]
        } else {
            ended(seq, 0, State::Completed, 1).into()
        };
        apply(&mut table, changes);
    }
    let mut live = Vec::new();
    table
        .live_jobs(|job| {
            assert_eq!(job.more.unwrap().checkpoint, Some(checkpoint.clone()));
            assert!(job.fixed.args.is_empty() && !job.has_attempts);
            live.push(job.fixed.seq);
        })
        .unwrap();
    let expected = (1..=400).filter(|seq| seq % 10 == 0 && !(100..300).contains(seq));
    assert_eq!(live, expected.collect::<Vec<_>>());
    assert_eq!(counted(&table), 400 - 20);
}

#[test]
fn a_snapshot_holds_everything_and_goes_its_own_way() {
    let mut table = table();
    apply(&mut table, vec![insert(1, 0)]);
    let mut copy = Table::from_snapshot(&table.snapshot().unwrap()).unwrap();
    assert_eq!((copy.position(), copy.store()), (2, 7));
    apply(&mut copy, vec![insert(2, 0)]);
    assert_eq!((copy.next_seq(), table.next_seq()), (3, 2));
    assert_eq!(copy.look().kept(1).unwrap(), table.look().kept(1).unwrap());
    assert_sound(&mut copy);
}

/// The machine stops between an apply and the checkpoint behind it: the log may be lost or whole.
#[test]
fn what_a_checkpoint_promised_survives_the_loss_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let log = directory.path().join("table.db-wal");
    let mut table = Table::open(&path, 1).unwrap();
    apply(&mut table, names());
    apply(&mut table, vec![insert(1, 0)]);
    assert!(table.unwritten_bytes().unwrap() > 0);
    assert_eq!(table.checkpoint(Checkpoint::Passive).unwrap(), Some(2));
    assert_eq!(table.unwritten_bytes().unwrap(), 0);
    apply(&mut table, ended(2, 0, State::Completed, 1).into());

    for keep_log in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let copy = place.path().join("table.db");
        fs::copy(&path, &copy).unwrap();
        if keep_log {
            fs::copy(&log, place.path().join("table.db-wal")).unwrap();
        }
        let mut recovered = Table::open(&copy, 1).unwrap();
        let position = recovered.position();
        assert_eq!(position, if keep_log { 3 } else { 2 });
        assert_eq!(recovered.next_seq(), position);
        assert_sound(&mut recovered);
    }
}

#[test]
fn a_checkpoint_that_a_reader_holds_up_promises_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut table = Table::open(&path, 1).unwrap();
    apply(&mut table, names());
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM jobs").unwrap();
    apply(&mut table, vec![insert(1, 0)]);
    assert_eq!(table.checkpoint(Checkpoint::Passive).unwrap(), None);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(table.checkpoint(Checkpoint::Passive).unwrap(), Some(2));
}

#[test]
fn the_epoch_is_noted_durably() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut table = Table::open(&path, 1).unwrap();
    table.set_epoch(3).unwrap();
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    assert_eq!(Table::open(&copy, 1).unwrap().epoch(), 3);
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    drop(Table::open(&path, 1).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    for error in [Table::open(&path, 1).err(), Reader::open(&path).err()] {
        let error = error.unwrap();
        assert_eq!(error.kind, ErrorKind::TooNew);
        assert!(error.message.contains("format 9"), "{error}");
        assert!(error.message.contains("format 7"), "{error}");
    }
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE songs (title)").unwrap();
    let text = directory.path().join("letter.txt");
    fs::write(&text, "Dear reader, this is no database at all. ".repeat(50)).unwrap();
    let missing = directory.path().join("missing").join("table.db");
    for path in [&foreign, &text, &missing] {
        let before = fs::read(path).ok();
        let error = Table::open(path, 1).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unusable, "{error}");
        assert_eq!(fs::read(path).ok(), before);
    }
}

#[test]
fn a_damaged_file_is_told_as_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut table = Table::open(&path, 1).unwrap();
    apply(&mut table, names());
    apply(&mut table, (1..=500).map(|seq| insert(seq, 0)).collect());
    table.checkpoint(Checkpoint::Passive).unwrap();
    drop(table);
    let mut bytes = fs::read(&path).unwrap();
    let from = 3 * schema::PAGE_BYTES as usize;
    bytes[from..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let error = match Table::open(&path, 1) {
        Err(error) => error,
        Ok(mut table) => table.look().kept(400).unwrap_err(),
    };
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert!(error.message.contains("fsck"), "{error}");
}

#[test]
fn a_change_of_a_job_that_is_not_there_is_told_and_changes_nothing() {
    let mut table = table();
    for change in [update(5, waiting(5), More::default()), Change::Delete(5)] {
        let mut fold = Fold::new();
        fold.push(2, at(1), vec![insert(1, 0), change]);
        let error = table.apply(&mut fold).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        assert_eq!((table.position(), fold.rows()), (1, 2));
    }
    assert_eq!(count(&mut table, StateName::Available), 0);
}

#[test]
fn people_read_names_words_and_times() {
    let mut table = table();
    let big = format!("\"{}\"", "z".repeat(schema::LONG_BYTES));
    let mut job = fixed(1, 3);
    job.args = taskwright_core::Json::from_trusted(big.clone());
    let [_, end] = ended(1, 3, dead(), 60);
    let more = More { error: failed_attempt(1).error, ..More::default() };
    apply(&mut table, vec![Change::Insert(job.into(), waiting(1)), end]);
    let vital = table.look().kept(1).unwrap().unwrap().vital;
    apply(&mut table, vec![update(1, vital, more)]);
    let shown = table.connection.query_row("SELECT * FROM job", [], |row| {
        let text = |column: &str| row.get::<_, String>(column);
        Ok([
            text("id")?,
            text("queue")?,
            text("task")?,
            text("state")?,
            text("finished_at")?,
            text("worker")?,
            text("error")?,
            text("args")?,
        ])
    });
    assert_eq!(
        shown.unwrap(),
        [
            id(1).to_string(),
            "b".to_owned(),
            "y".to_owned(),
            "dead".to_owned(),
            "2025-11-21T09:01:00.000Z".to_owned(),
            worker(0).to_string(),
            "failure 1".to_owned(),
            big,
        ]
    );
}

#[test]
fn the_table_has_a_place_for_the_first_and_last_attempts() {
    let mut table = table();
    apply(&mut table, vec![insert(1, 0)]);
    let last = 60;
    for attempt in 1..=last {
        let more = More { attempt: Some(failed_attempt(attempt)), ..More::default() };
        apply(&mut table, vec![update(1, waiting(1), more)]);
    }
    let job = table.look().get(&name("default"), &[id(1)]).unwrap().remove(0).unwrap();
    let kept: Vec<_> = job.attempts.iter().map(|attempt| attempt.attempt).collect();
    let first_of_last = last + 1 - limits::ATTEMPTS_KEPT_LAST as u32;
    assert_eq!(kept, (1..=5).chain(first_of_last..=last).collect::<Vec<_>>());
    assert_eq!(job.attempts[7], failed_attempt(kept[7]));
}
