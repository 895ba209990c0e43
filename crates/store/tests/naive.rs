//! The naive model is held to what it judges others by.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use taskwright_core::Timestamp;
use taskwright_store::conformance::Harness;
use taskwright_store::{ManualClock, NaiveStore, Retention, Store};

struct NaiveHarness {
    clock: Arc<ManualClock>,
    opened: Mutex<Option<Arc<NaiveStore>>>,
}

impl NaiveHarness {
    fn new() -> Self {
        let noon = Timestamp::from_millis(1_767_268_800_123);
        NaiveHarness { clock: Arc::new(ManualClock::new(noon)), opened: Mutex::new(None) }
    }
}

#[async_trait]
impl Harness for NaiveHarness {
    async fn open(&self, retention: Retention) -> Arc<dyn Store> {
        let store = Arc::new(NaiveStore::with_retention(self.clock(), retention));
        *self.opened.lock().expect("the harness") = Some(Arc::clone(&store));
        store
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// The model knows what an opening does, although it never goes away.
    async fn reopen(&self, _: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        let store = self.opened.lock().expect("the harness").clone()?;
        store.reopened();
        Some(store)
    }
}

taskwright_store::conformance!(naive, NaiveHarness::new());
taskwright_store::model_test!(the_model_follows_itself, NaiveHarness::new());

/// A case that the macro does not list would never run.
#[test]
fn every_case_is_listed() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listing = std::fs::read_to_string(source.join("conformance.rs")).expect("the list");
    let listed: Vec<_> = listing.lines().map(str::trim).collect();
    let mut cases = 0;
    for file in std::fs::read_dir(source.join("conformance")).expect("the cases") {
        let path = file.expect("a file").path();
        if path.is_dir() || path.file_name().is_some_and(|name| name == "scene.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a file of cases");
        for case in text.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = case.split('(').next().unwrap_or(case);
            assert!(listed.contains(&name), "{name} in {} is not listed", path.display());
            cases += 1;
        }
    }
    assert!(cases > 90, "found {cases} cases");
}
