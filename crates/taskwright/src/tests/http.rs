use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taskwright_engine::{Api, ErrorCode};
use taskwright_store::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::open;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What a server of these tests does with the request that it has read.
#[derive(Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    /// Answers, and then closes although it did not say so.
    AnswerAndClose(&'static str),
    Close,
}

/// A server that does one act after another and counts its connections.
async fn server(acts: Vec<Act>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        let mut acts = acts.into_iter();
        let mut next = acts.next();
        while next.is_some() {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            while let Some(act) = next {
                if !read_request(&mut stream).await {
                    break;
                }
                next = acts.next();
                match act {
                    Act::Answer(status, body) => answer(&mut stream, status, body).await,
                    Act::AnswerAndClose(body) => {
                        answer(&mut stream, 200, body).await;
                        break;
                    }
                    Act::Close => break,
                }
            }
        }
    });
    (address, connections)
}

async fn read_request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() == length {
                assert!(head.contains(&format!("Bearer {TOKEN}")), "{head}");
                return true;
            }
        }
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

async fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
}

const QUEUES: &str = r#"{"queues":[]}"#;

async fn counts(address: SocketAddr, times: usize) -> taskwright_engine::Result<()> {
    let api = open(&format!("http://{address}"), Some(TOKEN)).unwrap();
    for _ in 0..times {
        api.counts(&taskwright_core::Name::default_name()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (address, connections) = server(vec![Act::Answer(200, QUEUES); 3]).await;
    counts(address, 3).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let (address, connections) = server(vec![Act::AnswerAndClose(QUEUES); 3]).await;
    counts(address, 3).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_replaced_for_what_may_be_repeated() {
    let acts = vec![Act::Answer(200, QUEUES), Act::Close, Act::Answer(200, QUEUES)];
    let (address, _) = server(acts.clone()).await;
    counts(address, 2).await.unwrap();

    let (address, _) = server(acts).await;
    let api = open(&format!("http://{address}"), Some(TOKEN)).unwrap();
    let namespace = taskwright_core::Name::default_name();
    api.counts(&namespace).await.unwrap();
    let queue = namespace.clone();
    let error = api.control("", vec![Command::Pause { namespace, queue }]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("may have been done"), "{error}");
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_an_error() {
    let (address, _) = server(vec![Act::Close]).await;
    let error = counts(address, 1).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn problems_keep_their_code_and_item() {
    let problem = r#"{"title":"t","status":409,"code":"conflict","detail":"taken","item":3}"#;
    let (address, _) = server(vec![Act::Answer(409, problem)]).await;
    let error = counts(address, 1).await.unwrap_err();
    assert_eq!((error.code, error.item), (ErrorCode::Conflict, Some(3)));
    assert_eq!(error.message, "taken");
}

#[tokio::test]
async fn another_program_at_the_port_is_recognised() {
    for act in [Act::Answer(404, "<html>"), Act::Answer(500, ""), Act::Answer(302, "{}")] {
        let (address, _) = server(vec![act]).await;
        let error = counts(address, 1).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(error.message.contains("not as Taskwright does"), "{error}");
    }
    let (address, _) = server(vec![Act::Answer(200, "hello")]).await;
    let error = counts(address, 1).await.unwrap_err();
    assert!(error.message.contains("queues reply"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = counts(address, 1).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains(&address.to_string()), "{error}");
    assert!(error.message.contains("taskwright serve"), "{error}");
}

#[test]
fn addresses_that_name_no_server_are_refused() {
    for (url, why) in [
        ("https://localhost:1", "TLS"),
        ("http://", "not a URL"),
        ("http://localhost:1/v1", "path"),
        ("http://localhost:1?token=x", "path"),
        ("http://token@localhost:1", "token"),
        ("ftp://localhost", "not http"),
    ] {
        let error = open(url, Some(TOKEN)).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains(why), "{url}: {error}");
    }
    for url in ["http://localhost:7600", "http://[::1]:7600/", "http://queue.example"] {
        open(url, Some(TOKEN)).unwrap();
    }
    assert!(open("http://localhost", Some("a\nb")).is_err());
}

#[test]
fn the_token_is_not_shown() {
    let shown = format!("{:?}", open("http://localhost", Some(TOKEN)).unwrap());
    assert!(!shown.contains("0123"), "{shown}");
}
