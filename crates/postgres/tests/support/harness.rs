//! The store under the conformance suite, on one server or another.

use std::any::Any;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use taskwright_core::Timestamp;
use taskwright_postgres::{PostgresOptions, PostgresStore};
use taskwright_store::conformance::Harness;
use taskwright_store::conformance::random::difference;
use taskwright_store::{Clock, ManualClock, Retention, Store};

/// The model test where the way to the server is what is tested: with a fifth of the random lives
/// that `TASKWRIGHT_CASES` asks for.
pub fn some_follow_the_model(harness: impl Fn() -> PostgresHarness) {
    let cases = std::env::var("TASKWRIGHT_CASES").ok().and_then(|cases| cases.parse().ok());
    if let Some(difference) = difference(harness, cases.unwrap_or(100_u32).div_ceil(5), 500) {
        panic!("{difference}");
    }
}

/// A store in a schema of its own, with the clock of a test.
pub struct PostgresHarness {
    clock: Arc<ManualClock>,
    retention: Mutex<Retention>,
    url: String,
    /// What goes with the test, such as its schema.
    _keep: Box<dyn Any + Send + Sync>,
}

impl PostgresHarness {
    /// In the schema of this name in the database of this URL, which are there as long as `keep`.
    pub fn new(url: &str, schema: &str, keep: impl Any + Send + Sync) -> Self {
        let separator = if url.contains('?') { '&' } else { '?' };
        PostgresHarness {
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_767_268_800_123))),
            retention: Mutex::default(),
            url: format!("{url}{separator}schema={schema}"),
            _keep: Box::new(keep),
        }
    }

    async fn opened(&self) -> Arc<dyn Store> {
        let options = PostgresOptions {
            retention: *self.retention.lock().expect("the harness"),
            node_name: "test".to_owned(),
            clock: Some(Arc::clone(&self.clock) as Arc<dyn Clock>),
        };
        PostgresStore::open(&self.url, options).await.expect("a store")
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    async fn open(&self, retention: Retention) -> Arc<dyn Store> {
        *self.retention.lock().expect("the harness") = retention;
        self.opened().await
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        store.close().await.expect("the store closes");
        drop(store);
        Some(self.opened().await)
    }
}
