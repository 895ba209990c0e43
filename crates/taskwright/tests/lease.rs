//! What a worker does when the network or the machine misbehaves. Leases are served by a clock that
//! the test moves.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::handlers::{DONE, Running, brisk, completions, job, memory};
use common::{Faulty, bounded, eventually};
use taskwright::testing::TestApp;
use taskwright::{Attempt, Context, Handler, Json, Reported, StateName, StopReason};
use tokio::sync::{Notify, oneshot};

#[tokio::test]
async fn a_claim_whose_reply_was_lost_is_repeated() {
    let app = memory().await;
    let (faulty_app, faulty) = Faulty::over(&app);
    faulty.claim_replies_lost.store(1, Ordering::SeqCst);
    let handle = app.enqueue(job("short")).await.unwrap();
    let worker = brisk(&faulty_app).handler("short", Running(|_| async { DONE })).start().unwrap();
    bounded(handle.result()).await.unwrap();
    let job = handle.job().await.unwrap().unwrap();
    assert_eq!((job.life.attempt, job.life.losses, job.life.released), (1, 0, 0));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn jobs_of_a_claim_whose_reply_never_comes_are_given_back_by_a_stop() {
    let app = memory().await;
    let (faulty_app, faulty) = Faulty::over(&app);
    faulty.claim_replies_lost.store(usize::MAX, Ordering::SeqCst);
    let handle = app.enqueue(job("short")).await.unwrap();
    let worker = brisk(&faulty_app).handler("short", Running(|_| async { DONE })).start().unwrap();
    eventually(|| async { (handle.status().await.unwrap()? == StateName::Running).then_some(()) })
        .await;
    bounded(worker.stop()).await.unwrap();
    let job = handle.job().await.unwrap().unwrap();
    assert_eq!(job.state().name(), StateName::Available);
    assert_eq!((job.life.attempt, job.life.released, job.life.failures), (1, 1, 0));
}

#[tokio::test]
async fn a_report_whose_reply_was_lost_counts_once() {
    let app = memory().await;
    let (faulty_app, faulty) = Faulty::over(&app);
    faulty.report_replies_lost.store(1, Ordering::SeqCst);
    let (ended, hook) = completions();
    let handle = app.enqueue(job("short")).await.unwrap();
    let worker = brisk(&faulty_app)
        .handler("short", Running(|_| async { DONE }))
        .on_complete(hook)
        .start()
        .unwrap();
    bounded(handle.result()).await.unwrap();
    bounded(worker.stop()).await.unwrap();
    let ended = ended.lock().unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].reported, Some(Reported::Already));
}

/// Serves so much time of leases that a worker without heartbeats would be lost.
async fn serve_a_lease(app: &TestApp) {
    app.advance("20s").await.unwrap();
}

#[tokio::test]
async fn a_worker_that_was_asleep_is_told_that_its_job_is_lost_and_its_report_is_refused() {
    let app = TestApp::new().unwrap();
    let (faulty_app, faulty) = Faulty::over(&app);
    let (ended, hook) = completions();
    let (started, begun) = oneshot::channel();
    let started = Mutex::new(Some(started));
    let handler = Running(move |context: Context| {
        let started = started.lock().unwrap().take();
        async move {
            if let Some(started) = started {
                started.send(()).unwrap();
                assert_eq!(context.cancelled().await, StopReason::Lost);
            }
            DONE
        }
    });
    let worker = brisk(&faulty_app)
        .slots(1)
        .cancel_grace("30s")
        .handler("long", handler)
        .on_complete(hook)
        .start()
        .unwrap();
    let handle = app.enqueue(job("long")).await.unwrap();
    bounded(begun).await.unwrap();
    faulty.heartbeats_fail.store(true, Ordering::SeqCst);
    serve_a_lease(&app).await;
    let lost = handle.job().await.unwrap().unwrap();
    assert_eq!((lost.state().name(), lost.life.losses), (StateName::Available, 1));

    faulty.heartbeats_fail.store(false, Ordering::SeqCst);
    bounded(handle.result()).await.unwrap();
    bounded(worker.stop()).await.unwrap();
    let ended = ended.lock().unwrap();
    let fates: Vec<_> = ended.iter().map(|end| (end.attempt, end.reported.clone())).collect();
    assert_eq!(fates[0], (1, Some(Reported::Stale)));
    assert_eq!(fates[1], (2, Some(Reported::Applied { state: StateName::Completed })));
}

#[tokio::test]
async fn unfenced_attempts_are_stopped_when_the_lease_cannot_be_renewed() {
    struct Unfenced(Arc<Notify>);
    impl Handler for Unfenced {
        fn start(&self, _args: Json, context: Context) -> Attempt {
            let told = Arc::clone(&self.0);
            Attempt::future(async move {
                assert_eq!(context.cancelled().await, StopReason::Lost);
                told.notify_one();
                DONE
            })
        }

        fn stops_with_lease(&self) -> bool {
            true
        }
    }
    tokio::time::timeout(Duration::from_secs(60), async {
        let app = memory().await;
        let (faulty_app, faulty) = Faulty::over(&app);
        let told = Arc::new(Notify::new());
        let worker = brisk(&faulty_app).handler("command", Unfenced(told.clone())).start().unwrap();
        app.enqueue(job("command")).await.unwrap();
        eventually(|| async {
            (app.counts_of("default").await.unwrap().running == 1).then_some(())
        })
        .await;
        faulty.heartbeats_fail.store(true, Ordering::SeqCst);
        told.notified().await;
        worker.stop().await.unwrap();
    })
    .await
    .unwrap();
}

#[test]
fn a_worker_whose_jobs_block_every_thread_keeps_its_lease() {
    let jobs =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let watch = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = TestApp::new().unwrap();
    let (let_go, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (over, begun) = (Arc::clone(&let_go), Arc::clone(&is_over));
    let spinning = Running(move |_| {
        let (over, begun) = (Arc::clone(&over), Arc::clone(&begun));
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            while !over.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            DONE
        }
    });
    let worker = brisk(&app).slots(4).handler("spin", spinning);
    let running = jobs.block_on(async { worker.start() }).unwrap();
    let id = running.id();
    watch.block_on(bounded(async {
        app.enqueue_all((0..4).map(|_| job("spin")).collect()).await.unwrap();
        eventually(|| async { (is_over.load(Ordering::SeqCst) == 2).then_some(()) }).await;
        // Ten leases long no thread of the runtime is free.
        for _ in 0..15 {
            app.advance("10s").await.unwrap();
            let now = app.now();
            eventually(|| async {
                let workers = app.workers().await.unwrap();
                let seen = workers.iter().find(|worker| worker.id == id)?.last_seen_at;
                (seen >= now).then_some(())
            })
            .await;
        }
        assert_eq!(app.counts_of("default").await.unwrap().running, 4);
    }));
    let_go.store(true, Ordering::SeqCst);
    jobs.block_on(bounded(async {
        app.join("default").await.unwrap();
        running.stop().await.unwrap();
    }));
    let all = watch.block_on(app.list(app.filter())).unwrap().jobs;
    let attempts: HashMap<u32, usize> = all.iter().fold(HashMap::new(), |mut counts, job| {
        *counts.entry(job.life.attempt).or_default() += 1;
        counts
    });
    assert_eq!(attempts, HashMap::from([(1, 4)]));
}
