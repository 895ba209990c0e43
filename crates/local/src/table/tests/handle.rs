use std::sync::mpsc;

use taskwright_core::{State, StateName};

use super::*;
use crate::table::Reader;
use crate::table::tests::samples::*;

const LONG: Duration = Duration::from_secs(20);

fn everything() -> Filter {
    Filter {
        namespace: name("default"),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit: 10,
    }
}

/// A running table in a file and one in memory.
fn tables(directory: &tempfile::TempDir) -> [Table; 2] {
    let file = Table::open(&directory.path().join("table.db"), 1).unwrap();
    [file, Table::open_memory(1).unwrap()]
}

fn start(table: Table) -> (TableHandle, TableThread) {
    TableHandle::start(table, Box::new(|_| {})).unwrap()
}

#[tokio::test]
async fn readers_see_what_was_sent_before_they_asked() {
    let directory = tempfile::tempdir().unwrap();
    for table in tables(&directory) {
        let (handle, thread) = start(table);
        handle.send(1, at(1), names());
        for seq in 1..=20 {
            let position = seq + 1;
            handle.send(position, at(1), vec![insert(seq, 0)]);
            let jobs = handle.get(position, name("default"), vec![id(seq)]).await.unwrap();
            assert_eq!(jobs[0].as_ref().unwrap().seq, seq);
        }
        assert_eq!(handle.applied(), 21);
        let page = handle.list(21, everything()).await.unwrap();
        assert_eq!(page.jobs.len(), 10);
        let args = handle.args(21, vec![20, 99]).await.unwrap();
        assert_eq!(args, [Some(fixed(20, 0).args), None]);
        handle.close();
        assert_eq!(thread.join().unwrap().position(), 21);
    }
}

#[tokio::test]
async fn groups_are_folded_while_nobody_waits_and_room_is_given_back() {
    let (handle, thread) = start(Table::open_memory(1).unwrap());
    handle.send(1, at(1), names());
    for seq in 1..=1_000 {
        handle.send(seq + 1, at(1), vec![insert(seq, 0)]);
    }
    assert!(handle.wait_for_room(LONG));
    handle.wait_applied(1_001).await.unwrap();
    assert_eq!(handle.backlog(), 0);
    handle.close();
    let mut table = thread.join().unwrap();
    assert_eq!(count(&mut table, StateName::Available), 1_000);
}

#[test]
fn closing_applies_and_writes_back_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let (durable, told) = mpsc::channel();
    let on_durable = Box::new(move |position| durable.send(position).unwrap());
    let table = Table::open(&path, 1).unwrap();
    let (handle, thread) = TableHandle::start(table, on_durable).unwrap();
    handle.send(1, at(1), names());
    handle.send(2, at(1), vec![insert(1, 0)]);
    handle.close();
    drop(thread.join().unwrap());
    assert_eq!(told.try_iter().last(), Some(2));
    assert_eq!((handle.durable(), handle.trouble()), (2, None));
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(Table::open(&copy, 1).unwrap().position(), 2);
}

#[tokio::test]
async fn a_wanted_checkpoint_comes() {
    let directory = tempfile::tempdir().unwrap();
    let (durable, told) = mpsc::channel();
    let on_durable = Box::new(move |position| durable.send(position).unwrap_or(()));
    let table = Table::open(&directory.path().join("table.db"), 1).unwrap();
    let (handle, thread) = TableHandle::start(table, on_durable).unwrap();
    handle.send(1, at(1), names());
    handle.wait_applied(1).await.unwrap();
    handle.want_checkpoint();
    assert_eq!(told.recv_timeout(LONG), Ok(1));
    handle.close();
    drop(thread.join().unwrap());
}

#[tokio::test]
async fn a_table_that_cannot_write_keeps_all_and_goes_on_when_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut table = Table::open(&path, 1).unwrap();
    apply(&mut table, names());
    table.connection.busy_timeout(Duration::ZERO).unwrap();
    let (handle, thread) = start(table);
    // Another program holds the lock on writing.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    handle.send(2, at(1), vec![insert(1, 0)]);
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.wait_applied(2).await }
    });
    while handle.trouble().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(handle.trouble().unwrap().kind, ErrorKind::Busy);
    handle.send(3, at(1), vec![insert(2, 0)]);
    assert_eq!((handle.applied(), handle.backlog()), (1, 2));
    other.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    handle.wait_applied(3).await.unwrap();
    assert_eq!((handle.trouble(), handle.backlog()), (None, 0));
    handle.close();
    assert_eq!(thread.join().unwrap().position(), 3);
}

#[tokio::test]
async fn a_contradiction_stops_the_table_and_is_told() {
    let (handle, thread) = start(Table::open_memory(1).unwrap());
    handle.send(1, at(1), vec![crate::change::Change::Delete(5)]);
    handle.close();
    let error = thread.join().unwrap_err();
    assert_eq!((error.kind, handle.applied()), (ErrorKind::Corrupt, 0));
    assert_eq!(handle.trouble(), Some(error));
    assert_eq!(handle.wait_applied(1).await.unwrap_err().kind, ErrorKind::Closed);
}

#[tokio::test]
async fn pruning_comes_after_what_was_sent_and_spares_what_was_recalled() {
    let directory = tempfile::tempdir().unwrap();
    for table in tables(&directory) {
        let (handle, thread) = start(table);
        handle.send(1, at(1), names());
        for seq in 1..=5_000 {
            handle.send(seq + 1, at(1), ended(seq, 0, State::Completed, 1).into());
        }
        handle.spare(17);
        let nothing = Retention { count: 0, ..Retention::default() };
        let pruned = handle.prune(at(100), nothing, 10_000).await.unwrap();
        assert_eq!((pruned.ids.len(), pruned.more), (4_999, false));
        assert_eq!(pruned.counts, [(0, StateName::Completed, 4_999)]);
        assert_eq!(pruned.remembered, 5_000);
        let left = handle.list(0, everything()).await.unwrap();
        assert_eq!(left.jobs.iter().map(|job| job.seq).collect::<Vec<_>>(), [17]);
        handle.release(17);
        let pruned = handle.prune(at(100), nothing, 10_000).await.unwrap();
        assert_eq!(pruned.ids, [id(17)]);
        handle.close();
        assert_sound(&mut thread.join().unwrap());
    }
}

#[tokio::test]
async fn whoever_asks_a_closed_table_is_told() {
    let (handle, thread) = start(Table::open_memory(1).unwrap());
    handle.close();
    drop(thread.join().unwrap());
    let asked = handle.get(0, name("default"), vec![id(1)]).await;
    assert_eq!(asked.unwrap_err().kind, ErrorKind::Closed);
    assert_eq!(handle.wait_applied(9).await.unwrap_err().kind, ErrorKind::Closed);
}

#[test]
fn a_reader_is_no_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let mut table = Table::open(&path, 1).unwrap();
    apply(&mut table, names());
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.look().lane(4).unwrap().namespace, name("other"));
    let refused = reader.look().connection.execute_batch("DELETE FROM lanes");
    assert!(refused.is_err());
    assert_eq!(
        Reader::open(&directory.path().join("none.db")).unwrap_err().kind,
        ErrorKind::Unusable
    );
}
