//! A disk without space: new jobs are refused, running ones can still be finished.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use taskwright_core::StateName;
use taskwright_local::LocalStore;
use taskwright_store::{ErrorKind, Reported, Store};

use crate::scene::{Hand, complete, insert, jobs, look, noon, open, until};

const MIB: usize = 1024 * 1024;
const DISK: usize = 112 * MIB;
const ARGS: usize = 8_000;

/// A small file system in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount one; says so where skips are counted.
    fn mount(test: &str) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={DISK},mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(directory.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(directory));
        }
        let line = format!("{test}: a small file system cannot be mounted here\n");
        if let Some(list) = std::env::var_os("TASKWRIGHT_SKIPS") {
            let mut list = File::options().append(true).open(list).unwrap();
            list.write_all(line.as_bytes()).unwrap();
        }
        print!("skipped: {line}");
        None
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Takes a part of the space.
    fn take(&self, bytes: usize) -> PathBuf {
        let ballast = self.0.path().join("ballast");
        fs::write(&ballast, vec![1; bytes]).unwrap();
        ballast
    }

    /// Takes all of the space that is left.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.path().join("last");
        let mut file = File::create(&ballast).unwrap();
        let bytes = vec![1; 64 * 1024];
        while file.write_all(&bytes).is_ok() {}
        while file.write_all(&bytes[..512]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Inserts batches of a hundred from this number on until one is refused; how far it came.
async fn insert_until_full(store: &LocalStore, first: u128) -> u128 {
    let mut next = first;
    loop {
        match insert(store, jobs(next..next + 100, ARGS)).await {
            Ok(_) => next += 100,
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Full, "{error}");
                assert!(error.message.contains("free some space"), "{error}");
                return next;
            }
        }
        assert!(next < 100_000, "the disk is never full");
    }
}

/// Claims and completes jobs while the disk is full.
async fn finish(store: &LocalStore, worker: &mut Hand, batches: usize) -> usize {
    let mut done = 0;
    for _ in 0..batches {
        let claimed = worker.claim(store, 50).await.unwrap();
        assert_eq!(claimed.len(), 50);
        let reported = complete(store, &claimed).await.unwrap();
        assert!(reported.iter().all(|answer| matches!(answer, Reported::Applied { .. })));
        assert_eq!(worker.heartbeat(store, &[]).await.unwrap().lost, []);
        done += claimed.len();
    }
    done
}

async fn check(store: &LocalStore, stored: u128, completed: usize) {
    let found = look(store, 0..stored).await;
    let found: Vec<_> = found.into_iter().map(|job| job.expect("an acknowledged job")).collect();
    for (number, job) in found.iter().enumerate() {
        assert_eq!(job.args, Some(crate::scene::args(number as u128, ARGS)));
    }
    let is_completed = |job: &&taskwright_core::Job| job.state().name() == StateName::Completed;
    assert_eq!(found.iter().filter(is_completed).count(), completed);
}

#[tokio::test]
async fn a_full_disk_refuses_new_jobs_and_lets_running_ones_be_finished() {
    let test = "a_full_disk_refuses_new_jobs_and_lets_running_ones_be_finished";
    let Some(disk) = SmallDisk::mount(test) else { return };
    let clock = noon();
    let store = open(&disk.data(), &clock).unwrap();
    insert(&store, jobs(0..500, ARGS)).await.unwrap();
    let ballast = [disk.take(16 * MIB), disk.fill()];
    let stored = insert_until_full(&store, 500).await;
    let mut worker = Hand::new(1);
    let mut completed = finish(&store, &mut worker, 10).await;
    check(&store, stored, completed).await;

    ballast.iter().for_each(|file| fs::remove_file(file).unwrap());
    until("there is room again", || {
        let store = &store;
        async move { insert(store, jobs(stored..stored + 100, ARGS)).await.ok() }
    })
    .await;
    completed += finish(&store, &mut worker, 2).await;
    check(&store, stored + 100, completed).await;
    store.close().await.unwrap();
    drop(store);
    let store = open(&disk.data(), &clock).unwrap();
    check(&store, stored + 100, completed).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_closed_on_a_full_disk_opens_again_with_everything_once_there_is_space() {
    let test = "a_store_closed_on_a_full_disk_opens_again_with_everything_once_there_is_space";
    let Some(disk) = SmallDisk::mount(test) else { return };
    let clock = noon();
    let store = open(&disk.data(), &clock).unwrap();
    insert(&store, jobs(0..500, ARGS)).await.unwrap();
    let ballast = disk.fill();
    let stored = insert_until_full(&store, 500).await;
    let completed = finish(&store, &mut Hand::new(1), 20).await;
    // The table may have found no space; the journal has it all.
    let closed = store.close().await;
    println!("{stored} jobs stored, {completed} completed; closed: {closed:?}");
    assert!(closed.as_ref().err().is_none_or(|error| error.kind == ErrorKind::Full), "{closed:?}");
    drop(store);
    if let Err(error) = open(&disk.data(), &clock) {
        assert_eq!(error.kind, ErrorKind::Full, "{error}");
    }
    remove(&ballast);
    let store = open(&disk.data(), &clock).unwrap();
    check(&store, stored, completed).await;
    insert(&store, jobs(stored..stored + 100, ARGS)).await.unwrap();
    store.close().await.unwrap();
}

fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}
