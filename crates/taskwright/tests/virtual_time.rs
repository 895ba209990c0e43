//! Days in milliseconds: the real engine with a clock of the test's own.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::sync::atomic::{AtomicU32, Ordering};

use taskwright::testing::TestApp;
use taskwright::{Context, NoResult, Outcome, Reported, StateName, TaskError, Taskwright, task};

#[task(retry = "16h", max_attempts = 4)]
async fn stubborn(ctx: &Context, succeeds_after: u32) -> Result<u32, TaskError> {
    if ctx.failures() < succeeds_after {
        return Err(TaskError::new("not yet"));
    }
    Ok(ctx.attempt())
}

#[task]
async fn later() -> u8 {
    1
}

#[task]
async fn again(ctx: &Context) -> Result<u8, TaskError> {
    if ctx.attempt() < 3 { Err(TaskError::snooze("1h")) } else { Ok(1) }
}

#[tokio::test]
async fn three_retries_over_two_days_with_a_worker_lost_in_between() {
    let app = TestApp::new().unwrap().serve(stubborn);
    let began = app.now();
    let handle = app.enqueue(stubborn::job(3)).await.unwrap();
    app.run_until_idle().await.unwrap();
    app.advance("16h").await.unwrap();
    let lost = app.lose_worker().await.unwrap().unwrap();
    assert_eq!((lost.id, lost.token.attempt), (handle.id(), 2));
    for _ in 0..2 {
        app.run_until_idle().await.unwrap();
        app.advance("16h").await.unwrap();
    }
    app.run_until_idle().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 5);
    let job = handle.job().await.unwrap().unwrap();
    assert_eq!((job.life.failures, job.life.losses), (3, 1));
    assert!(app.now().since(began).as_secs() >= 48 * 3_600);

    let late = Outcome::Completed { result: None };
    assert_eq!(app.report_late(&lost, late).await.unwrap(), Reported::Stale);
}

#[tokio::test]
async fn attempts_run_out() {
    let app = TestApp::new().unwrap().serve(stubborn);
    let handle = app.enqueue(stubborn::job(100)).await.unwrap();
    for _ in 0..4 {
        app.run_until_idle().await.unwrap();
        app.advance("16h").await.unwrap();
    }
    let Err(NoResult::Dead { cause, message, .. }) = handle.result().await else {
        panic!("the job is not dead")
    };
    assert_eq!((cause, &*message), ("exhausted", "not yet"));
    app.redrive(handle.id(), 0).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), Some(StateName::Available));
}

#[tokio::test]
async fn schedules_and_expiry_follow_the_clock() {
    let app = TestApp::new().unwrap().serve(later);
    let soon = app.enqueue(later::job().delay("1d")).await.unwrap();
    let at = app.now().plus(std::time::Duration::from_secs(3_600));
    let never = app.enqueue(later::job().delay("2d").expires_at(at)).await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().attempts, 0);
    app.advance("1d").await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().completed, 1);
    assert_eq!(soon.result().await.unwrap(), 1);
    assert!(matches!(never.result().await, Err(NoResult::Expired { .. })));
}

#[tokio::test]
async fn a_snooze_spends_no_attempt() {
    let app = TestApp::new().unwrap().serve(again);
    let handle = app.enqueue(again::job().max_attempts(1)).await.unwrap();
    for _ in 0..3 {
        app.run_until_idle().await.unwrap();
        app.advance("1h").await.unwrap();
    }
    assert_eq!(handle.result().await.unwrap(), 1);
    let job = handle.job().await.unwrap().unwrap();
    assert_eq!((job.life.snoozed, job.life.failures), (2, 0));
}

#[tokio::test]
async fn a_job_that_is_lost_three_times_is_quarantined() {
    let app = TestApp::new().unwrap().serve(later);
    let handle = app.enqueue(later::job()).await.unwrap();
    for _ in 0..3 {
        assert!(app.lose_worker().await.unwrap().is_some());
    }
    assert!(app.lose_worker().await.unwrap().is_none());
    let Err(NoResult::Dead { cause, error, .. }) = handle.result().await else {
        panic!("the job is not dead")
    };
    assert_eq!((cause, &*error.unwrap().kind), ("quarantined", "lost"));
}

#[tokio::test]
async fn a_report_that_is_sent_twice_counts_once() {
    let app = TestApp::new().unwrap().serve(stubborn);
    app.repeat_reports();
    let handle = app.enqueue(stubborn::job(1)).await.unwrap();
    app.run_until_idle().await.unwrap();
    app.advance("16h").await.unwrap();
    app.run_until_idle().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 2);
    assert_eq!(handle.job().await.unwrap().unwrap().life.failures, 1);
}

#[tokio::test]
async fn a_job_that_waits_for_another_runs_beside_it() {
    static APP: std::sync::OnceLock<Taskwright> = std::sync::OnceLock::new();

    #[task]
    async fn parent() -> Result<u8, TaskError> {
        let app = APP.get().ok_or_else(|| TaskError::fatal("no app"))?;
        let child = app.enqueue(later::job()).await.map_err(TaskError::new)?;
        Ok(child.result().await.map_err(TaskError::new)? + 1)
    }

    let app = TestApp::new().unwrap().serve(parent).serve(later);
    assert!(APP.set((*app).clone()).is_ok());
    let handle = app.enqueue(parent::job()).await.unwrap();
    app.run_until_idle().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 2);
}

#[tokio::test]
async fn jobs_run_in_the_order_of_their_rank() {
    static TURN: AtomicU32 = AtomicU32::new(0);

    #[task]
    async fn turn() -> u32 {
        TURN.fetch_add(1, Ordering::SeqCst)
    }

    let app = TestApp::new().unwrap().serve(turn);
    let priorities = [0, 10, -10, 5];
    let jobs = priorities.map(|priority| turn::job().priority(priority)).to_vec();
    let handles = app.enqueue_all(jobs).await.unwrap();
    app.run_until_idle().await.unwrap();
    let mut turns = Vec::new();
    for handle in handles {
        turns.push(handle.result().await.unwrap());
    }
    assert_eq!(turns, [2, 0, 3, 1]);
}

#[tokio::test]
async fn a_test_that_serves_no_task_is_told() {
    let app = TestApp::new().unwrap();
    let error = app.run_until_idle().await.unwrap_err();
    assert!(error.message.contains("no task is served"), "{error}");
}
