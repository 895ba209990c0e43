//! One request as several jobs, each for its part.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::{Arc, Mutex};

use common::handlers::{DONE, Running, brisk, job};
use common::{bounded, on_each_store};
use taskwright::{Context, ErrorCode, Job, JobId, Shard};

const ID: JobId = JobId::from_u128(0x019a_a2f4_7d31_7c51_8f0e_2b1c_6d9e_0a42);

fn scan() -> Job<()> {
    job("scan").id(ID)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shard_runs_once_and_knows_its_part() {
    on_each_store(async |app| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&seen);
        let handler = Running(move |context: Context| {
            note.lock().unwrap().push((context.job_id(), context.shard()));
            async { DONE }
        });
        let handles = app.enqueue_all(scan().sharded(4)).await.unwrap();
        let alone = app.enqueue(job("scan")).await.unwrap();
        let worker = brisk(&app).handler("scan", handler).start().unwrap();
        let mut expected = vec![(alone.id(), None)];
        for (index, handle) in (0..4).zip(&handles) {
            bounded(handle.result()).await.unwrap();
            let shard = Some(Shard { index, total: 4 });
            assert_eq!(handle.job().await.unwrap().unwrap().extras.shard, shard);
            expected.push((handle.id(), shard));
        }
        bounded(alone.result()).await.unwrap();
        worker.stop().await.unwrap();
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_by_key(|(id, _)| *id);
        expected.sort_by_key(|(id, _)| *id);
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_makes_nothing_new() {
    on_each_store(async |app| {
        let first = app.enqueue_all(scan().sharded(3)).await.unwrap();
        let again = app.enqueue_all(scan().sharded(3)).await.unwrap();
        let ids = |handles: &[taskwright::Handle<()>]| {
            handles.iter().map(taskwright::Handle::id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&first), ids(&again));
        assert_eq!(app.size("default").await.unwrap(), 3);

        let error = app.enqueue_all(scan().sharded(5)).await.unwrap_err();
        assert_eq!((error.code, error.item), (ErrorCode::Conflict, Some(0)), "{error}");
        assert_eq!(app.size("default").await.unwrap(), 3, "all are written or none");

        let others = job("scan").sharded(2);
        let others = app.enqueue_all([others.clone(), others].concat()).await.unwrap();
        assert_eq!(others.len(), 4);
        assert_eq!(app.size("default").await.unwrap(), 7, "without an id each is a new job");
    })
    .await;
}

#[tokio::test]
async fn shards_that_make_no_sense_are_refused() {
    let app = common::handlers::memory().await;
    let many = app.enqueue_all(scan().sharded(1_000)).await.unwrap();
    assert_eq!(many.len(), 1_000);
    let twice = scan().sharded(2).remove(0).sharded(2);
    for (jobs, words) in [
        (scan().sharded(0), "0 shards were asked for; give 1 to 1000"),
        (scan().sharded(1_001), "1001 shards were asked for; give 1 to 1000"),
        (twice, "it is a shard already"),
        (scan().unique("scan").sharded(2), "it is a shard and has a unique key"),
    ] {
        let error = app.enqueue_all(jobs).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    app.close().await.unwrap();
}
