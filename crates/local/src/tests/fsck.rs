use std::sync::Arc;

use taskwright_store::{ErrorKind, SystemClock};

use super::fsck;
use crate::{FileOptions, LocalStore};

fn store(path: &std::path::Path) -> Arc<LocalStore> {
    LocalStore::open_file(path, FileOptions::default(), Arc::new(SystemClock)).unwrap()
}

#[test]
fn a_closed_store_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(store(&path));
    let found = fsck(&path).unwrap();
    assert_eq!(found.faults, Vec::<String>::new());
    assert_eq!(found.epoch, 1);
    assert!(found.segments > 0);
}

#[test]
fn an_open_store_and_no_store_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(fsck(directory.path()).unwrap_err().kind, ErrorKind::Unusable);
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "nothing was made");
    let path = directory.path().join("store");
    let open = store(&path);
    assert_eq!(fsck(&path).unwrap_err().kind, ErrorKind::Locked);
    drop(open);
}

#[test]
fn damage_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(store(&path));
    let journal = path.join("journal");
    let segment = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path()).min();
    let segment = segment.unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[..64].fill(0xa5);
    std::fs::write(&segment, bytes).unwrap();
    let found = fsck(&path).unwrap();
    assert_eq!(found.faults.len(), 1, "{found:?}");
}
