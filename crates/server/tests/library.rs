//! The library against a server: the same program as on a store of its own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{PATIENCE, Running, TOKEN};
use taskwright::{Context, ErrorCode, Options, StateName, TaskError, Taskwright, task};
use taskwright_engine::{Api, Engine};
use taskwright_store::{NaiveStore, SystemClock};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A cancel is to be heard within 2 seconds; the rest is for a busy machine.
const SOON: Duration = Duration::from_millis(3_500);

#[task]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

static STARTED: Notify = Notify::const_new();
static GO_ON: Notify = Notify::const_new();

#[task]
async fn wait_for_the_test(ctx: &Context) -> u32 {
    STARTED.notify_one();
    GO_ON.notified().await;
    ctx.attempt()
}

async fn connect(server: &Running) -> Taskwright {
    Options::new().token(TOKEN).connect(&format!("http://{}", server.address)).await.unwrap()
}

#[tokio::test]
async fn jobs_run_over_http() {
    let server = Running::start().await;
    let app = connect(&server).await;
    let worker = app.worker().serve(add).start().unwrap();
    let jobs = (0..2_500).map(|number| add::job(number, 1)).collect();
    let handles = app.enqueue_all(jobs).await.unwrap();
    for (number, handle) in handles.iter().enumerate().step_by(499) {
        let sum = timeout(PATIENCE, handle.result()).await.unwrap().unwrap();
        assert_eq!(sum, number as i64 + 1);
    }
    timeout(PATIENCE, app.join("default")).await.unwrap().unwrap();
    assert!(app.is_empty("default").await.unwrap());
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_said_to_be_so() {
    let server = Running::start().await;
    let wrong = Options::new().token("not the token of this server, is it");
    let result = async {
        let app = wrong.connect(&format!("http://{}", server.address)).await?;
        app.enqueue(add::job(1, 2)).await
    };
    let error = result.await.map(drop).unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied, "{error}");
    assert!(error.message.contains("token"), "{error}");
}

static RUNNING: Notify = Notify::const_new();

#[task]
async fn run_until_told(ctx: &Context) -> Result<(), TaskError> {
    RUNNING.notify_one();
    ctx.cancelled().await;
    Err(TaskError::new("it was told to stop"))
}

/// With heartbeats alone it would take up to 5 seconds.
#[tokio::test]
async fn a_cancel_reaches_a_job_of_a_worker_over_http_soon() {
    let server = Running::start().await;
    let app = connect(&server).await;
    let worker = app.worker().serve(run_until_told).start().unwrap();
    let handle = app.enqueue(run_until_told::job()).await.unwrap();
    timeout(PATIENCE, RUNNING.notified()).await.unwrap();
    handle.cancel("enough").await.unwrap();
    timeout(SOON, handle.result()).await.expect("it is told in time").unwrap_err();
    assert_eq!(handle.status().await.unwrap(), Some(StateName::Cancelled));
    worker.stop().await.unwrap();
}

/// The server goes away while a job runs and comes back: the worker goes on, nothing runs twice.
#[tokio::test]
async fn a_restart_of_the_server_is_survived() {
    let store = Arc::new(NaiveStore::new(Arc::new(SystemClock)));
    let engine: Arc<dyn Api> = Engine::start(store).unwrap();
    let server = Running::serving(Arc::clone(&engine), |_| {}).await;
    let address = server.address;
    let app = connect(&server).await;
    let worker = app.worker().serve(wait_for_the_test).start().unwrap();
    let handle = app.enqueue(wait_for_the_test::job()).await.unwrap();
    timeout(PATIENCE, STARTED.notified()).await.unwrap();

    timeout(PATIENCE, server.stop()).await.unwrap().unwrap();
    GO_ON.notify_one();
    let again = Running::serving(engine, |options| options.listen = address).await;
    assert_eq!(again.address, address);

    assert_eq!(timeout(PATIENCE, handle.result()).await.unwrap().unwrap(), 1);
    assert_eq!(handle.status().await.unwrap(), Some(StateName::Completed));
    worker.stop().await.unwrap();
}
