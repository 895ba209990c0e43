//! How soon a running job is told that somebody asked it to stop.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::handlers::{DONE, Running, job, memory};
use common::{Faulty, bounded, on_each_store};
use taskwright::{Context, Job, StateName, StopReason, Taskwright, Worker};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A cancel is to be heard within 2 seconds; the rest is for a busy machine.
const SOON: Duration = Duration::from_millis(3_500);

/// A handler that completes only once it is told to stop, and what says that it runs.
fn until_told() -> (Running<impl Fn(Context) -> Told + Send + Sync>, Arc<Notify>) {
    let running = Arc::new(Notify::new());
    let begun = Arc::clone(&running);
    let handler = Running(move |context: Context| -> Told {
        begun.notify_one();
        Box::pin(async move {
            assert_eq!(context.cancelled().await, StopReason::Cancelled("enough".into()));
            DONE
        })
    });
    (handler, running)
}

type Told = std::pin::Pin<Box<dyn Future<Output = taskwright::Outcome> + Send>>;

fn worker(app: &Taskwright) -> (Worker, Arc<Notify>) {
    let (handler, running) = until_told();
    (app.worker().handler("long", handler), running)
}

/// With heartbeats alone it would take up to 5 seconds.
#[tokio::test]
async fn a_cancel_reaches_a_running_job_soon() {
    on_each_store(|app| async move {
        let (worker, running) = worker(&app);
        let worker = worker.start().unwrap();
        for _ in 0..3 {
            let handle = app.enqueue(job("long")).await.unwrap();
            bounded(running.notified()).await;
            handle.cancel("enough").await.unwrap();
            timeout(SOON, handle.result()).await.expect("it is told in time").unwrap();
        }
        worker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_cancel_reaches_a_consumer_by_hand_soon() {
    on_each_store(|app| async move {
        let consumer = app.consumer(["default"]).unwrap();
        let handle = app.enqueue(Job::<()>::new("long", &())).await.unwrap();
        let claimed = bounded(consumer.claim(1, Duration::from_secs(30))).await.unwrap();
        handle.cancel("enough").await.unwrap();
        let told = timeout(SOON, claimed[0].context().cancelled()).await;
        assert_eq!(told.expect("it is told in time"), StopReason::Cancelled("enough".into()));
        consumer.release(&claimed[0]).await.unwrap();
        assert_eq!(handle.status().await.unwrap(), Some(StateName::Cancelled));
        consumer.close().await;
    })
    .await;
}

/// No hint reaches this worker: what is between it and the store passes none on.
#[tokio::test]
async fn s8_a_cancel_whose_hint_is_lost_comes_with_a_heartbeat() {
    let app = memory().await;
    let (deaf, _) = Faulty::over(&app);
    let (worker, running) = worker(&deaf);
    let worker = worker.heartbeat_every("100ms").start().unwrap();
    let handle = app.enqueue(job("long")).await.unwrap();
    bounded(running.notified()).await;
    handle.cancel("enough").await.unwrap();
    bounded(handle.result()).await.unwrap();
    worker.stop().await.unwrap();
}
