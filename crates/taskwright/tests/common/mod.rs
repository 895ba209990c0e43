//! What the integration tests share.

#![allow(dead_code, clippy::unwrap_used, reason = "tests use a part of it, and end where it fails")]

pub mod handlers;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use taskwright::{Api, Error, ErrorCode, Name, Result, Taskwright};

/// The longest that anything in a test may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// An application on one store, which is there as long as this is.
struct Place {
    app: Taskwright,
    /// The process that has the store open, where that is another one.
    host: Option<Taskwright>,
    directory: Option<tempfile::TempDir>,
}

/// Runs a test on each store, and on one that another process has open.
pub async fn on_each_store<F: Future<Output = ()>>(test: impl Fn(Taskwright) -> F) {
    for place in [in_memory().await, file().await, socket().await] {
        bounded(test(place.app.clone())).await;
        place.app.close().await.unwrap();
        if let Some(host) = place.host {
            host.close().await.unwrap();
        }
        drop(place.directory);
    }
}

async fn in_memory() -> Place {
    let app = Taskwright::connect("memory:").await.unwrap();
    Place { app, host: None, directory: None }
}

async fn file() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file:{}", directory.path().join("data").display());
    let app = Taskwright::connect(&url).await.unwrap();
    Place { app, host: None, directory: Some(directory) }
}

async fn socket() -> Place {
    let file = file().await;
    let directory = file.directory.as_ref().unwrap().path();
    let url = format!("unix:{}", directory.join("data/control.sock").display());
    let app = Taskwright::connect(&url).await.unwrap();
    Place { app, host: Some(file.app), directory: file.directory }
}

/// Fails a test that hangs.
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, test).await.expect("the test has not ended in time")
}

/// Waits until a look at something gives a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(look: impl Fn() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    bounded(looking).await
}

/// An API with faults that a test turns on.
pub struct Faulty {
    inner: Arc<dyn Api>,
    /// Whether heartbeats are kept from arriving.
    pub heartbeats_fail: AtomicBool,
    /// How many of the next claims are carried out without their replies arriving.
    pub claim_replies_lost: AtomicUsize,
    /// How many of the next reports are carried out without their replies arriving.
    pub report_replies_lost: AtomicUsize,
    pub heartbeats: AtomicUsize,
}

impl Faulty {
    pub fn over(app: &Taskwright) -> (Taskwright, Arc<Faulty>) {
        let faulty = Arc::new(Faulty {
            inner: app.api().clone(),
            heartbeats_fail: AtomicBool::new(false),
            claim_replies_lost: AtomicUsize::new(0),
            report_replies_lost: AtomicUsize::new(0),
            heartbeats: AtomicUsize::new(0),
        });
        (Taskwright::over(faulty.clone(), Name::default_name(), true), faulty)
    }
}

fn lost() -> Error {
    Error::new(ErrorCode::Unavailable, "the reply was lost")
}

fn takes_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait::async_trait]
impl Api for Faulty {
    async fn enqueue(
        &self,
        jobs: Vec<taskwright::JobRequest>,
        partial: bool,
    ) -> Result<Vec<taskwright::Enqueued>> {
        self.inner.enqueue(jobs, partial).await
    }

    async fn claim(&self, claim: taskwright_store::Claim) -> Result<Vec<taskwright::ClaimedJob>> {
        let claimed = self.inner.claim(claim).await?;
        if !claimed.is_empty() && takes_one(&self.claim_replies_lost) {
            return Err(lost());
        }
        Ok(claimed)
    }

    async fn report(
        &self,
        reports: Vec<taskwright_store::Report>,
    ) -> Result<Vec<taskwright::Reported>> {
        let reported = self.inner.report(reports).await?;
        if takes_one(&self.report_replies_lost) {
            return Err(lost());
        }
        Ok(reported)
    }

    async fn heartbeat(
        &self,
        heartbeat: taskwright_store::Heartbeat,
    ) -> Result<taskwright_store::HeartbeatReply> {
        if self.heartbeats_fail.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorCode::Unavailable, "heartbeats fail"));
        }
        let reply = self.inner.heartbeat(heartbeat).await;
        self.heartbeats.fetch_add(1, Ordering::SeqCst);
        reply
    }

    async fn control(
        &self,
        actor: &str,
        commands: Vec<taskwright::Command>,
    ) -> Result<Vec<taskwright::Controlled>> {
        self.inner.control(actor, commands).await
    }

    async fn get(
        &self,
        namespace: &Name,
        ids: &[taskwright::JobId],
    ) -> Result<Vec<Option<taskwright::JobView>>> {
        self.inner.get(namespace, ids).await
    }

    async fn wait(
        &self,
        namespace: &Name,
        id: taskwright::JobId,
        wait: Duration,
    ) -> Result<Option<taskwright::JobView>> {
        self.inner.wait(namespace, id, wait).await
    }

    async fn list(&self, filter: taskwright::Filter) -> Result<taskwright::Page> {
        self.inner.list(filter).await
    }

    async fn peek(
        &self,
        namespace: &Name,
        queue: &Name,
        max: usize,
    ) -> Result<Vec<taskwright::JobView>> {
        self.inner.peek(namespace, queue, max).await
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<taskwright::QueueCounts>> {
        self.inner.counts(namespace).await
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<taskwright::WorkerView>> {
        self.inner.workers(namespace).await
    }

    async fn describe(&self) -> Result<taskwright::Description> {
        self.inner.describe().await
    }
}
