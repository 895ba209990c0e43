//! What a worker does when jobs or people misbehave.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use common::handlers::{Blocking, DONE, Running, brisk, job, memory};
use common::{Faulty, bounded, eventually};
use taskwright::testing::TestApp;
use taskwright::{Context, Handler, Json, NoResult, Outcome, StateName, StopReason};
use tokio::sync::{Notify, oneshot};

#[tokio::test]
async fn a_panic_is_the_failure_of_its_job_alone() {
    let app = memory().await;
    let worker = app
        .worker()
        .handler("awaiting", Running(|_| async { panic!("it {}", "burst") }))
        .handler("blocking", Blocking(|_: &Context| panic!("it stuck")))
        .handler("calm", Running(|_| async { DONE }))
        .start()
        .unwrap();
    for (task, message) in [("awaiting", "it burst"), ("blocking", "it stuck")] {
        let handle = app.enqueue(job(task).max_attempts(1)).await.unwrap();
        let Err(NoResult::Dead { error: Some(error), .. }) = bounded(handle.result()).await else {
            panic!("the job is not dead")
        };
        assert_eq!((&*error.kind, &*error.message), ("panic", message));
    }
    let calm = app.enqueue(job("calm")).await.unwrap();
    bounded(calm.result()).await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn an_attempt_beyond_its_timeout_is_told_then_ended() {
    let app = memory().await;
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let handler = Running(move |context: Context| {
        let tell = Arc::clone(&tell);
        async move {
            *tell.lock().unwrap() = Some(context.cancelled().await);
            std::future::pending().await
        }
    });
    let worker = brisk(&app).handler("slow", handler).start().unwrap();
    let handle = app.enqueue(job("slow").timeout("20ms").max_attempts(1)).await.unwrap();
    let Err(NoResult::Dead { error: Some(error), .. }) = bounded(handle.result()).await else {
        panic!("the job is not dead")
    };
    assert_eq!(&*error.kind, "timeout");
    assert_eq!(*told.lock().unwrap(), Some(StopReason::TimedOut));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_blocking_attempt_beyond_its_timeout_keeps_its_slot_until_it_returns() {
    let app = memory().await;
    let (let_go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let stuck = Blocking(move |context: &Context| {
        if context.failures() == 0 {
            // An error means that the test is over.
            let _ = held.lock().unwrap().recv();
        }
        DONE
    });
    let worker = brisk(&app).slots(1).handler("stuck", stuck).start().unwrap();
    let job = job("stuck").timeout("20ms").retry(taskwright::RetryPolicy::Fixed { delay_ms: 0 });
    let handle = app.enqueue(job).await.unwrap();
    // The first attempt has failed, and the second one waits for the slot.
    eventually(|| async {
        let job = handle.job().await.unwrap().unwrap();
        (job.life.failures == 1).then_some(())
    })
    .await;
    assert_eq!(handle.status().await.unwrap(), Some(StateName::Available));
    let_go.send(()).unwrap();
    bounded(handle.result()).await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_running_job_is_cancelled_with_the_reason() {
    let app = memory().await;
    let handler = Running(|context: Context| async move {
        context.progress(&"half way").unwrap();
        context.cancelled().await;
        std::future::pending().await
    });
    let worker = brisk(&app).handler("long", handler).start().unwrap();
    let handle = app.enqueue(job("long")).await.unwrap();
    let progress = eventually(|| async { handle.job().await.unwrap().unwrap().progress }).await;
    assert_eq!(progress.as_str(), "\"half way\"");
    handle.cancel("wrong customer").await.unwrap();
    let Err(NoResult::Cancelled { reason, .. }) = bounded(handle.result()).await else {
        panic!("the job is not cancelled")
    };
    assert_eq!(&*reason, "wrong customer");
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_completion_wins_over_a_cancel_that_comes_later() {
    let app = memory().await;
    let handler = Running(|context: Context| async move {
        context.cancelled().await;
        DONE
    });
    let worker = brisk(&app).handler("long", handler).start().unwrap();
    let handle = app.enqueue(job("long")).await.unwrap();
    eventually(|| async { (handle.status().await.unwrap()? == StateName::Running).then_some(()) })
        .await;
    handle.cancel("too late").await.unwrap();
    bounded(handle.result()).await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_is_there_for_the_next_attempt() {
    let app = TestApp::new().unwrap();
    let handler = Running(|context: Context| async move {
        match context.last_checkpoint::<u32>().unwrap() {
            None => {
                context.checkpoint(&41).await.unwrap();
                panic!("after the checkpoint")
            }
            Some(saved) => {
                Outcome::Completed { result: Some(Json::from_trusted((saved + 1).to_string())) }
            }
        }
    });
    let app = app.handler("long", handler).unwrap();
    let handle = app.enqueue(job("long").output_as::<u32>()).await.unwrap();
    app.run_until_idle().await.unwrap();
    app.advance("1h").await.unwrap();
    app.run_until_idle().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 42);
}

#[tokio::test]
async fn a_checkpoint_through_a_worker_is_durable_when_it_returns() {
    let app = memory().await;
    let (saved, seen) = oneshot::channel();
    let saved = Mutex::new(Some(saved));
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let handler = Running(move |context: Context| {
        let saved = saved.lock().unwrap().take().unwrap();
        let wait = Arc::clone(&wait);
        async move {
            context.checkpoint(&"here").await.unwrap();
            saved.send(()).unwrap();
            wait.notified().await;
            DONE
        }
    });
    let worker = brisk(&app).handler("long", handler).start().unwrap();
    let handle = app.enqueue(job("long")).await.unwrap();
    bounded(seen).await.unwrap();
    let checkpoint = handle.job().await.unwrap().unwrap().checkpoint;
    assert_eq!(checkpoint.unwrap().as_str(), "\"here\"");
    go_on.notify_one();
    bounded(handle.result()).await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_there_are_slots() {
    let app = memory().await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
    let handler = Running(move |_| {
        let (running, highest) = (Arc::clone(&running), Arc::clone(&highest));
        async move {
            highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            DONE
        }
    });
    let worker = app.worker().slots(3).handler("short", handler).start().unwrap();
    app.enqueue_all((0..200).map(|_| job("short")).collect()).await.unwrap();
    bounded(app.join("default")).await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(app.counts_of("default").await.unwrap().completed, 200);
    worker.stop().await.unwrap();
}

/// A handler that says when it was started and why it was told to stop, and what it does then.
fn patient(ends: bool) -> (impl Handler, tokio::sync::mpsc::UnboundedReceiver<&'static str>) {
    let (say, said) = tokio::sync::mpsc::unbounded_channel();
    let handler = Running(move |context: Context| {
        let say = say.clone();
        async move {
            say.send("started").unwrap();
            assert_eq!(context.cancelled().await, StopReason::Stopping);
            say.send("told").unwrap();
            if !ends {
                std::future::pending::<()>().await;
            }
            DONE
        }
    });
    (handler, said)
}

#[tokio::test]
async fn a_stop_tells_jobs_and_waits_for_them() {
    let app = memory().await;
    let (handler, mut said) = patient(true);
    let worker = app.worker().handler("long", handler).stop_grace("0s").start().unwrap();
    let handle = app.enqueue(job("long")).await.unwrap();
    assert_eq!(bounded(said.recv()).await, Some("started"));
    bounded(worker.stop()).await.unwrap();
    assert_eq!(said.recv().await, Some("told"));
    assert_eq!(handle.status().await.unwrap(), Some(StateName::Completed));
}

#[tokio::test]
async fn a_stop_gives_back_what_does_not_end() {
    let app = memory().await;
    let (handler, mut said) = patient(false);
    let worker = app
        .worker()
        .handler("long", handler)
        .stop_grace("0s")
        .stop_deadline("20ms")
        .start()
        .unwrap();
    let id = worker.id();
    let handle = app.enqueue(job("long")).await.unwrap();
    assert_eq!(bounded(said.recv()).await, Some("started"));
    bounded(worker.stop()).await.unwrap();
    let job = handle.job().await.unwrap().unwrap();
    assert_eq!(job.state().name(), StateName::Available);
    assert_eq!((job.life.released, job.life.failures), (1, 0));
    let stopped = app.workers().await.unwrap().into_iter().find(|worker| worker.id == id);
    assert!(stopped.is_none_or(|worker| worker.info.stopping && worker.running == 0));
}

#[tokio::test]
async fn a_stop_gives_back_blocking_jobs_that_do_not_end() {
    let app = memory().await;
    let (let_go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let started = Arc::new(Notify::new());
    let start = Arc::clone(&started);
    let stuck = Blocking(move |_: &Context| {
        start.notify_one();
        // An error means that the test is over.
        let _ = held.lock().unwrap().recv();
        DONE
    });
    let worker = app.worker().handler("stuck", stuck).start().unwrap();
    let handle = app.enqueue(job("stuck")).await.unwrap();
    bounded(started.notified()).await;
    bounded(worker.stop_now()).await.unwrap();
    let job = handle.job().await.unwrap().unwrap();
    assert_eq!((job.state().name(), job.life.failures), (StateName::Available, 0));
    // The claim that waited for more when it was told to stop may still have been given the job.
    assert!((1..=2).contains(&job.life.released), "{:?}", job.life);
    drop(let_go);
}

#[tokio::test]
async fn a_result_over_the_limit_is_a_final_failure() {
    let app = memory().await;
    let handler = Running(|_| async {
        let text = format!("\"{}\"", "x".repeat(taskwright::limits::PAYLOAD_BYTES_MAX));
        Outcome::Completed { result: Some(Json::from_trusted(text)) }
    });
    let worker = app.worker().handler("large", handler).start().unwrap();
    let handle = app.enqueue(job("large")).await.unwrap();
    let Err(NoResult::Dead { cause, message, .. }) = bounded(handle.result()).await else {
        panic!("the job is not dead")
    };
    assert_eq!(cause, "final");
    assert!(message.contains("at most 1048576"), "{message}");
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_ends_with_an_error_when_its_store_is_closed() {
    let app = memory().await;
    let worker = app.worker().handler("short", Running(|_| async { DONE })).start().unwrap();
    app.close().await.unwrap();
    let error = bounded(worker.ended()).await.unwrap_err();
    assert_eq!(error.code, taskwright::ErrorCode::Closed);
}

#[tokio::test]
async fn a_worker_that_makes_no_sense_does_not_start() {
    let app = memory().await;
    let short = || Running(|_| async { DONE });
    let wrong = [
        app.worker(),
        app.worker().handler("short", short()).slots(0),
        app.worker().handler("Short", short()),
        app.worker().handler("short", short()).handler("short", short()),
        app.worker().handler("short", short()).queues(["Mail"]),
        app.worker().handler("short", short()).stop_grace("soon"),
    ];
    for worker in wrong {
        let error = worker.start().unwrap_err();
        assert_eq!(error.code, taskwright::ErrorCode::Invalid);
        assert!(error.message.starts_with("cannot "), "{error}");
    }
}

#[tokio::test]
async fn a_worker_that_cannot_report_says_at_its_end_of_how_many_jobs() {
    let app = memory().await;
    let (faulty_app, faulty) = Faulty::over(&app);
    let running = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&running);
    let handler = Running(move |_| {
        begun.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    });
    let worker = brisk(&faulty_app).slots(3).handler("long", handler).start().unwrap();
    app.enqueue_all((0..3).map(|_| job("long")).collect()).await.unwrap();
    eventually(|| async { (running.load(Ordering::SeqCst) == 3).then_some(()) }).await;
    faulty.report_replies_lost.store(usize::MAX, Ordering::SeqCst);
    // The patience of the worker is over at once.
    tokio::time::pause();
    let error = worker.stop_now().await.unwrap_err();
    assert!(error.message.contains("the outcome of 3 jobs,"), "{error}");
}
