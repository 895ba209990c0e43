//! A server on the naive store, and a client that writes its requests by hand.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use taskwright_engine::{Api, Engine};
use taskwright_server::{Credential, Server, ServerOptions};
use taskwright_store::{NaiveStore, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Far longer than anything here takes: it ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    pub api: Arc<dyn Api>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start() -> Running {
        Running::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ServerOptions)) -> Running {
        let store = NaiveStore::new(Arc::new(SystemClock));
        let api: Arc<dyn Api> = Engine::start(Arc::new(store)).unwrap();
        Running::serving(api, change).await
    }

    pub async fn serving(api: Arc<dyn Api>, change: impl FnOnce(&mut ServerOptions)) -> Running {
        let mut options = ServerOptions::new(Credential::of(TOKEN).unwrap());
        options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        change(&mut options);
        let server = Server::bind(Arc::clone(&api), options).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Running { address, api, stop: Some(stop), task }
    }

    /// Begins to stop; the task that ends with the server.
    pub fn stop(mut self) -> JoinHandle<()> {
        let _ = self.stop.take().unwrap().send(());
        self.task
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Response {
        self.send("POST", path, &[("Content-Type", "application/json")], body).await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, &[], "").await
    }

    /// Sends a request with the token and a good host.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let host = self.address.to_string();
        let authorization = format!("Bearer {TOKEN}");
        let mut all = vec![("Host", &*host), ("Authorization", &*authorization)];
        all.extend(headers);
        self.raw(method, path, &all, body).await
    }

    /// Sends a request with these headers only.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let request = [head.as_bytes(), body.as_bytes()].concat();
        // A server that refuses early does not read the rest.
        let write = async { drop(writer.write_all(&request).await) };
        let read = async {
            let mut reply = Vec::new();
            drop(reader.read_to_end(&mut reply).await);
            reply
        };
        let both = async { tokio::join!(write, read).1 };
        Response::parse(&tokio::time::timeout(PATIENCE, both).await.expect("a reply in time"))
    }

    /// Everything that the server knows: to show that a refused request changed nothing.
    pub async fn state(&self) -> String {
        let mut state = String::new();
        for path in ["/v1/jobs", "/v1/queues", "/v1/workers"] {
            let response = self.get(path).await;
            assert_eq!(response.status, 200, "{response:?}");
            state += &response.body.to_string();
        }
        state
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Response {
    pub fn parse(reply: &[u8]) -> Response {
        let text = String::from_utf8_lossy(reply);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Response { status, head: head.to_ascii_lowercase(), body }
    }

    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        self.body
    }

    /// Asserts that this is problem+json with this status and code, whose detail names all of `words`.
    pub fn problem(&self, status: u16, code: &str, words: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        assert_eq!(self.body["code"], code, "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        let detail = self.body["detail"].as_str().unwrap();
        for word in words {
            assert!(detail.contains(word), "{word:?} is not in {detail:?}");
        }
    }
}
