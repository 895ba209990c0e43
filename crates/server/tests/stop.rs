//! Stopping gracefully, and stores that do not answer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use support::{PATIENCE, Running};
use taskwright_core::{Job, JobId, Name};
use taskwright_engine::{Api, Enqueued, Error, ErrorCode, JobRequest, Result};
use taskwright_store::{
    Claim, ClaimedJob, Command, Controlled, Description, Filter, Heartbeat, HeartbeatReply, Page,
    QueueCounts, Report, Reported, WorkerView,
};
use tokio::sync::Notify;
use tokio::time::timeout;

/// An API whose answers come when the test says so, and then are errors.
#[derive(Default)]
struct Held {
    asked: Notify,
    answer: Notify,
}

impl Held {
    async fn hold<T>(&self) -> Result<T> {
        self.asked.notify_one();
        self.answer.notified().await;
        let error = Error::new(ErrorCode::Busy, "the store has too much to do");
        Err(Error { retry_after: Some(Duration::from_millis(1_500)), ..error })
    }
}

#[async_trait]
impl Api for Held {
    async fn enqueue(&self, _: Vec<JobRequest>, _: bool) -> Result<Vec<Enqueued>> {
        self.hold().await
    }
    async fn claim(&self, _: Claim) -> Result<Vec<ClaimedJob>> {
        self.hold().await
    }
    async fn report(&self, _: Vec<Report>) -> Result<Vec<Reported>> {
        self.hold().await
    }
    async fn heartbeat(&self, _: Heartbeat) -> Result<HeartbeatReply> {
        self.hold().await
    }
    async fn control(&self, _: &str, _: Vec<Command>) -> Result<Vec<Controlled>> {
        self.hold().await
    }
    async fn get(&self, _: &Name, _: &[JobId]) -> Result<Vec<Option<Job>>> {
        self.hold().await
    }
    async fn wait(&self, _: &Name, _: JobId, _: Duration) -> Result<Option<Job>> {
        self.hold().await
    }
    async fn list(&self, _: Filter) -> Result<Page> {
        self.hold().await
    }
    async fn peek(&self, _: &Name, _: &Name, _: usize) -> Result<Vec<Job>> {
        self.hold().await
    }
    async fn counts(&self, _: &Name) -> Result<Vec<QueueCounts>> {
        self.hold().await
    }
    async fn workers(&self, _: &Name) -> Result<Vec<WorkerView>> {
        self.hold().await
    }
    async fn describe(&self) -> Result<Description> {
        self.hold().await
    }
}

const JOB: &str = r#"{"jobs":[{"task":"a"}]}"#;

#[tokio::test]
async fn errors_of_the_store_are_told_with_the_time_to_come_back() {
    let api = Arc::new(Held::default());
    let server = Running::serving(api.clone(), |_| {}).await;
    api.answer.notify_one();
    let response = server.post("/v1/jobs", JOB).await;
    response.problem(429, "busy", &["too much to do"]);
    assert_eq!(response.body["retry_after_ms"], 1_500);
    assert!(response.head.contains("retry-after: 2\r\n"), "{response:?}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unavailable() {
    let api = Arc::new(Held::default());
    let server = Running::serving(api, |options| {
        options.limits.answer_timeout = Duration::from_millis(50);
    })
    .await;
    server.post("/v1/jobs", JOB).await.problem(503, "unavailable", &["50ms", "ask again"]);
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_takes_no_more() {
    let api = Arc::new(Held::default());
    let server = Running::serving(api.clone(), |_| {}).await;
    let address = server.address;
    let request = tokio::spawn(enqueue_by_hand(address));
    timeout(PATIENCE, api.asked.notified()).await.unwrap();
    let stopped = server.stop();
    api.answer.notify_one();
    request.await.unwrap().problem(429, "busy", &[]);
    timeout(PATIENCE, stopped).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stop_ends_waits_at_once() {
    let api = Arc::new(Held::default());
    let server = Running::serving(api.clone(), |_| {}).await;
    let address = server.address;
    let waiting = tokio::spawn(ask_by_hand(address));
    timeout(PATIENCE, api.asked.notified()).await.unwrap();
    timeout(PATIENCE, server.stop()).await.unwrap().unwrap();
    let response = waiting.await.unwrap();
    response.problem(503, "unavailable", &["stopping"]);
}

#[tokio::test]
async fn a_stop_waits_for_a_request_and_gives_up_in_the_end() {
    let api = Arc::new(Held::default());
    let server = Running::serving(api.clone(), |options| {
        options.limits.drain_timeout = Duration::from_millis(50);
    })
    .await;
    let address = server.address;
    let waiting = tokio::spawn(enqueue_by_hand(address));
    timeout(PATIENCE, api.asked.notified()).await.unwrap();
    timeout(PATIENCE, server.stop()).await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().status, 0, "the connection was closed without an answer");
}

async fn ask_by_hand(address: std::net::SocketAddr) -> support::Response {
    by_hand(address, "/v1/claim", r#"{"wait_ms":60000}"#).await
}

async fn enqueue_by_hand(address: std::net::SocketAddr) -> support::Response {
    by_hand(address, "/v1/jobs", JOB).await
}

async fn by_hand(address: std::net::SocketAddr, path: &str, body: &str) -> support::Response {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        support::TOKEN,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    drop(timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("an end in time"));
    support::Response::parse(&reply)
}
