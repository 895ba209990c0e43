//! What is too large, too slow or too much.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use support::{PATIENCE, Response, Running, TOKEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(100);

/// Sends this and no more, and reads until the server closes the connection.
async fn converse(server: &Running, text: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    // A reset is an end as well.
    let read = timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
    drop(read.expect("the server closes the connection"));
    reply
}

fn head(server: &Running, length: usize) -> String {
    format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n",
        server.address
    )
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_not_read() {
    let server = Running::start().await;
    let text = head(&server, 16 * 1024 * 1024 + 1) + "Connection: close\r\n\r\n";
    Response::parse(&converse(&server, &text).await).problem(413, "over_limit", &["16777216"]);
}

#[tokio::test]
async fn a_body_that_does_not_say_how_long_it_is_is_cut() {
    let server = Running::with(|options| options.limits.body_bytes_max = 1_000).await;
    let text = head(&server, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    let text = text + "Connection: close\r\n\r\n" + &chunk;
    Response::parse(&converse(&server, &text).await).problem(413, "over_limit", &["1000 bytes"]);
    assert!(server.state().await.contains(r#"{"queues":[]}"#));
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server = Running::with(|options| options.limits.header_timeout = SHORT).await;
    for text in ["", "GET /v1/health HTTP/1.1\r\nHo"] {
        let reply = converse(&server, text).await;
        assert!(!String::from_utf8_lossy(&reply).contains("200 OK"));
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off() {
    let server = Running::with(|options| options.limits.body_timeout = SHORT).await;
    let text = head(&server, 100) + "Connection: close\r\n\r\n{\"jobs\":[";
    Response::parse(&converse(&server, &text).await).problem(408, "invalid", &["100ms"]);
    assert!(server.state().await.contains(r#"{"queues":[]}"#));
}

#[tokio::test]
async fn a_body_that_is_cut_short_does_nothing() {
    let server = Running::start().await;
    let body = r#"{"jobs":[{"task":"a"}]}"#;
    let text = head(&server, body.len() + 1) + "\r\n" + body;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut reply = Vec::new();
    drop(timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap());
    assert!(!String::from_utf8_lossy(&reply).contains("200 OK"));
    assert!(server.state().await.contains(r#"{"queues":[]}"#));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Running::start().await;
    let text = format!(
        "GET /v1/health HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let reply = converse(&server, &text).await;
    assert!(!String::from_utf8_lossy(&reply).contains("200 OK"));
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = Running::start().await;
    let reply = converse(&server, "\x16\x03\x01 hello\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&reply).contains("200 OK"));
    assert_eq!(server.get("/v1/ready").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = Running::with(|options| options.limits.connections_max = 1).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let second = server.get("/v1/ready");
    tokio::pin!(second);
    // The second connection is in the backlog, so nothing answers it as long as the first is there.
    assert!(timeout(SHORT, &mut second).await.is_err());
    drop(first);
    assert_eq!(second.await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = Running::with(|options| {
        options.limits.connections_max = 1;
        options.limits.write_timeout = SHORT;
    })
    .await;
    let request = format!(
        "GET /v1/openapi.json HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
        server.address
    );
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    // Far more replies than the buffers of both sides take; the server stops reading in the end.
    let talk = async { while deaf.write_all(request.as_bytes()).await.is_ok() {} };
    let (_, other) = tokio::join!(timeout(PATIENCE, talk), server.get("/v1/ready"));
    assert_eq!(other.status, 200);
}
