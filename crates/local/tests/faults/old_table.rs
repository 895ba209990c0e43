//! A table from yesterday beside the journal of today, as a careless restore leaves it.

use std::fs;
use std::path::Path;

use taskwright_core::Job;
use taskwright_store::{ErrorKind, Reported, Store};

use crate::scene::{Hand, Place, complete, insert, jobs, look, until};

/// What SQLite keeps beside the table's file.
const LOGS: [&str; 2] = ["table.db-wal", "table.db-shm"];

fn put_back(old: &Path, data: &Path) {
    fs::copy(old, data.join("table.db")).unwrap();
    for log in LOGS {
        let _ = fs::remove_file(data.join(log));
    }
}

#[tokio::test]
async fn a_table_rolled_back_is_brought_up_to_date_from_the_journal() {
    let place = Place::with_jobs(50).await;
    let old = place.data.with_file_name("old.db");
    fs::copy(place.data.join("table.db"), &old).unwrap();

    let store = place.open();
    let mut worker = Hand::new(1);
    let claimed = worker.claim(&store, 20).await.unwrap();
    complete(&store, &claimed[..10]).await.unwrap();
    insert(&store, jobs(50..80, 6_000)).await.unwrap();
    let before = look(&store, 0..80).await;
    store.close().await.unwrap();
    drop(store);

    put_back(&old, &place.data);
    let store = place.open();
    assert_eq!(look(&store, 0..80).await, before);
    let again = complete(&store, &claimed).await.unwrap();
    let (first, rest) = again.split_at(10);
    assert!(first.iter().all(|answer| *answer == Reported::Already));
    assert!(rest.iter().all(|answer| matches!(answer, Reported::Applied { .. })));
    let left = worker.claim(&store, 100).await.unwrap();
    assert_eq!(left.len(), 60);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_table_older_than_the_journal_is_refused_and_nothing_changed() {
    let place = Place::with_jobs(50).await;
    let old = place.data.with_file_name("old.db");
    fs::copy(place.data.join("table.db"), &old).unwrap();
    let first_segment = place.data.join("journal/0000000000000001.journal");
    assert!(first_segment.exists());

    let store = place.open();
    let count = 50 + until_recycled(&store, &first_segment).await;
    let before: Vec<Option<Job>> = look(&store, 0..count).await;
    store.close().await.unwrap();
    drop(store);
    let new = place.data.with_file_name("new.db");
    fs::copy(place.data.join("table.db"), &new).unwrap();

    put_back(&old, &place.data);
    let journal = contents(&place.data.join("journal"));
    let error = place.try_open().err().unwrap();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert!(error.message.contains("the table is too old or a segment is gone"), "{error}");
    assert_eq!(contents(&place.data.join("journal")), journal);

    put_back(&new, &place.data);
    let store = place.open();
    assert_eq!(look(&store, 0..count).await, before);
    store.close().await.unwrap();
}

/// Inserts until the first segment of the journal is used again; how many jobs that took.
async fn until_recycled(store: &taskwright_local::LocalStore, first_segment: &Path) -> u128 {
    let mut next = 50;
    until("the first segment is used again", || {
        let batch = jobs(next..next + 100, 16_000);
        next += 100;
        async move {
            insert(store, batch).await.unwrap();
            (!first_segment.exists()).then_some(())
        }
    })
    .await;
    next - 50
}

fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}
