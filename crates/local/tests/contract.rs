//! The local stores are held to the contract and compared with the naive model.

use std::sync::Arc;

use async_trait::async_trait;
use taskwright_core::Timestamp;
use taskwright_local::{FileOptions, LocalStore, MemoryOptions};
use taskwright_store::conformance::Harness;
use taskwright_store::{ManualClock, Retention, Store};
use tempfile::TempDir;

fn noon() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_767_268_800_123)))
}

struct MemoryHarness(Arc<ManualClock>);

#[async_trait]
impl Harness for MemoryHarness {
    async fn open(&self, retention: Retention) -> Arc<dyn Store> {
        LocalStore::open_memory(MemoryOptions { retention }, self.clock()).expect("a memory store")
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.0)
    }

    async fn reopen(&self, _: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        None
    }
}

struct FileHarness {
    clock: Arc<ManualClock>,
    directory: TempDir,
    retention: std::sync::Mutex<Retention>,
}

impl FileHarness {
    fn new() -> Self {
        FileHarness {
            clock: noon(),
            directory: tempfile::tempdir().expect("a directory"),
            retention: std::sync::Mutex::default(),
        }
    }

    fn opened(&self) -> Arc<dyn Store> {
        let retention = *self.retention.lock().expect("the harness");
        let options = FileOptions { retention, ..FileOptions::default() };
        let place = self.directory.path().join("data");
        LocalStore::open_file(&place, options, self.clock()).expect("a file store")
    }
}

#[async_trait]
impl Harness for FileHarness {
    async fn open(&self, retention: Retention) -> Arc<dyn Store> {
        *self.retention.lock().expect("the harness") = retention;
        self.opened()
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        store.close().await.expect("the store closes");
        drop(store);
        Some(self.opened())
    }
}

taskwright_store::conformance!(memory, MemoryHarness(noon()));
taskwright_store::conformance!(file, FileHarness::new());
taskwright_store::model_test!(the_memory_store_follows_the_model, MemoryHarness(noon()));
taskwright_store::model_test!(the_file_store_follows_the_model, FileHarness::new());
