//! Directories that a store must not touch: each refusal is one clear sentence, and nothing changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};
use taskwright_store::{ErrorKind, Store};

use crate::scene::{Place, look};

/// Where the first group of a segment begins, and the body in it.
const FIRST_GROUP: usize = 512;
const FIRST_BODY: usize = FIRST_GROUP + 48;

/// Everything in a directory, but the lock, in which stands who had it last, and what SQLite has
/// there only while it looks: its shared memory and an empty log.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // What SQLite removes just now is not there.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let mode = metadata.permissions().mode();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, (mode, Vec::new()));
        } else {
            let (name, bytes) = (path.to_string_lossy(), fs::read(&path).unwrap_or_default());
            let is_passing = name.ends_with("-shm") || (name.ends_with("-wal") && bytes.is_empty());
            if !is_passing && !name.ends_with("/lock") {
                found.insert(path, (mode, bytes));
            }
        }
    }
    found
}

/// Opening is refused with this, names all these words, and changes nothing.
#[track_caller]
fn refuses(place: &Place, kind: ErrorKind, words: &[&str]) {
    let root = place.data.parent().unwrap();
    let before = contents(root);
    let error = place.try_open().err().expect("it opens");
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in {:?}", error.message);
    }
    assert!(!error.message.contains('\n') && error.message.len() < 400, "{error}");
    let after = contents(root);
    assert!(before.keys().eq(after.keys()), "{:?}\n{:?}", before.keys(), after.keys());
    for (path, contents) in before {
        assert!(after[&path] == contents, "{} changed", path.display());
    }
}

fn first_segment(place: &Place) -> PathBuf {
    place.data.join("journal/0000000000000001.journal")
}

fn edit(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn in_table<T>(place: &Place, what: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
    let connection = Connection::open(place.data.join("table.db")).unwrap();
    let answer = what(&connection).unwrap();
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    checkpoint.unwrap();
    connection.close().unwrap();
    answer
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let place = Place::new();
    fs::create_dir(&place.data).unwrap();
    fs::set_permissions(&place.data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(place.data.join("letter.txt"), "dear reader").unwrap();
    refuses(
        &place,
        ErrorKind::Unusable,
        &["not a Taskwright data directory", "letter.txt", "choose"],
    );
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let place = Place::new();
    fs::write(&place.data, "a file").unwrap();
    refuses(&place, ErrorKind::Unusable, &["is not a directory", "choose another place"]);
}

#[test]
fn a_database_of_another_program_is_refused() {
    let place = Place::new();
    fs::create_dir_all(place.data.join("journal")).unwrap();
    fs::set_permissions(&place.data, fs::Permissions::from_mode(0o700)).unwrap();
    in_table(&place, |table| table.execute_batch("CREATE TABLE songs (title)"));
    refuses(&place, ErrorKind::Unusable, &["SQLite database of another program", "choose"]);
}

#[tokio::test]
async fn a_table_that_is_no_database_is_refused() {
    let place = Place::with_jobs(3).await;
    fs::write(place.data.join("table.db"), "this is no database, and never was one".repeat(200))
        .unwrap();
    refuses(&place, ErrorKind::Unusable, &["no table of Taskwright"]);
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_refused() {
    let place = Place::with_jobs(3).await;
    for mode in [0o777, 0o702, 0o720] {
        fs::set_permissions(&place.data, fs::Permissions::from_mode(mode)).unwrap();
        refuses(&place, ErrorKind::Unusable, &["can be written by other users", "chmod 700"]);
    }
    fs::set_permissions(&place.data, fs::Permissions::from_mode(0o700)).unwrap();
    place.open().close().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_another_process_has_open_is_refused() {
    let place = Place::with_jobs(3).await;
    // The lock goes with the file that the child has as its standard input.
    let lock = File::options().read(true).write(true).open(place.data.join("lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut holder = Command::new("sleep").arg("600").stdin(lock).spawn().unwrap();
    refuses(&place, ErrorKind::Locked, &["is open in process", "choose another directory"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let store = place.open();
    refuses(&place, ErrorKind::Locked, &[&format!("is open in process {}", std::process::id())]);
    store.close().await.unwrap();
    place.open().close().await.unwrap();
}

#[tokio::test]
async fn a_table_of_a_newer_version_is_refused() {
    let place = Place::with_jobs(3).await;
    in_table(&place, |table| table.pragma_update(None, "user_version", 99));
    refuses(
        &place,
        ErrorKind::TooNew,
        &["table.db has format 99", "up to format 7", "newer version"],
    );
}

#[tokio::test]
async fn a_journal_of_a_newer_version_is_refused() {
    let place = Place::with_jobs(3).await;
    edit(&first_segment(&place), |bytes| {
        bytes[8] = 2;
        bytes[48..53].copy_from_slice(b"9.0.0");
        let checksum = crc32fast::hash(&bytes[..508]).to_le_bytes();
        bytes[508..512].copy_from_slice(&checksum);
    });
    refuses(
        &place,
        ErrorKind::TooNew,
        &["has format 2, written by Taskwright 9.0.0", "use the newer"],
    );
}

#[tokio::test]
async fn a_tag_that_this_version_does_not_know_is_refused_by_name() {
    let place = Place::with_jobs(0).await;
    let store: [u8; 16] = in_table(&place, |table| {
        // So that the first group is read again.
        table.execute_batch("UPDATE meta SET position = 0; UPDATE held SET whole = 0")?;
        table.query_row("SELECT store FROM meta", [], |row| row.get(0))
    });
    edit(&first_segment(&place), |bytes| {
        // A lane with the field 27, an unsigned number.
        let body = [0x26, 0xd9, 0x01, 5, 0];
        bytes[FIRST_BODY..FIRST_BODY + body.len()].copy_from_slice(&body);
        bytes[FIRST_GROUP + 12] = body.len() as u8;
        bytes[FIRST_GROUP + 20] = 1;
        let sum = |bytes: &[u8]| crc32fast::hash(&[&store[..], bytes].concat()).to_le_bytes();
        let of_body = sum(&bytes[FIRST_BODY..FIRST_GROUP + 64]);
        bytes[FIRST_GROUP + 8..FIRST_GROUP + 12].copy_from_slice(&of_body);
        let of_header = sum(&bytes[FIRST_GROUP + 8..FIRST_BODY]);
        bytes[FIRST_GROUP + 4..FIRST_GROUP + 8].copy_from_slice(&of_header);
    });
    refuses(
        &place,
        ErrorKind::TooNew,
        &["group 1", "field 27", "of a lane is unknown", "upgrade this one"],
    );
}

#[tokio::test]
async fn a_journal_of_another_store_is_refused() {
    let (place, other) = (Place::with_jobs(3).await, Place::with_jobs(5).await);
    fs::remove_dir_all(place.data.join("journal")).unwrap();
    fs::rename(other.data.join("journal"), place.data.join("journal")).unwrap();
    refuses(
        &place,
        ErrorKind::Unusable,
        &["belongs to store", "put the files of one store together again"],
    );
}

#[tokio::test]
async fn a_store_without_its_journal_or_its_table_is_refused() {
    let place = Place::with_jobs(3).await;
    let aside = place.data.with_file_name("aside");
    fs::rename(first_segment(&place), &aside).unwrap();
    refuses(&place, ErrorKind::Corrupt, &["a part of the journal is gone", "restore a backup"]);
    fs::rename(&aside, first_segment(&place)).unwrap();
    let store = place.open();
    assert_eq!(look(&store, 0..3).await.iter().flatten().count(), 3);
    store.close().await.unwrap();
}
