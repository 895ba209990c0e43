//! Who is let in: nobody by default.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use support::{Running, TOKEN};
use taskwright_engine::Engine;
use taskwright_protocol::{OPENAPI, Operation};
use taskwright_server::{Credential, ServeError, Server, ServerOptions};
use taskwright_store::{NaiveStore, SystemClock};

const JOB: &str = r#"{"jobs":[{"task":"a"}]}"#;
const ID: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Every route of the description, and one that is not there.
fn routes() -> Vec<(String, String)> {
    let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
    let mut routes = vec![("GET".to_owned(), "/v1/no/such/path".to_owned())];
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path.replace("{id}", ID).replace("{queue}", "default");
        let methods = methods.as_object().unwrap().keys();
        routes.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    for operation in Operation::ALL {
        assert!(routes.contains(&("POST".to_owned(), format!("/v1/{operation}"))), "{operation}");
    }
    routes
}

#[tokio::test]
async fn every_route_of_the_description_is_there() {
    let server = Running::start().await;
    for (method, path) in routes().into_iter().skip(1) {
        let response = server.send(&method, &path, &[JSON], "{}").await;
        let detail = response.body["detail"].as_str().unwrap_or_default();
        assert!(!detail.contains("there is nothing at"), "{method} {path}: {response:?}");
        assert_ne!(response.status, 405, "{method} {path}");
    }
    assert_eq!(server.get("/v1/openapi.json").await.ok()["openapi"], "3.1.0");
}

#[tokio::test]
async fn no_route_answers_without_the_token() {
    let server = Running::start().await;
    let host = server.address.to_string();
    let wrong = format!("Bearer {}", TOKEN.replace('0', "1"));
    let longer = format!("Bearer {TOKEN}0");
    let basic = format!("Basic {TOKEN}");
    let attempts: [Option<&str>; 7] = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some(&wrong),
        Some(&longer),
        Some(&basic),
    ];
    for (method, path) in routes().into_iter().filter(|(_, path)| path != "/v1/health") {
        for authorization in attempts {
            let mut headers = vec![("Host", &*host), JSON];
            headers.extend(authorization.map(|value| ("Authorization", value)));
            let response = server.raw(&method, &path, &headers, JOB).await;
            response.problem(401, "denied", &["token"]);
            assert!(response.head.contains("www-authenticate: bearer"), "{response:?}");
            assert!(!response.body.to_string().contains(TOKEN));
        }
    }
    assert!(server.state().await.contains(r#"{"queues":[]}"#));
}

#[tokio::test]
async fn a_token_in_the_url_is_none() {
    let server = Running::start().await;
    let host = server.address.to_string();
    let path = format!("/v1/jobs?token={TOKEN}");
    server.raw("GET", &path, &[("Host", &host)], "").await.problem(401, "denied", &[]);
}

#[tokio::test]
async fn other_hosts_are_refused() {
    let server = Running::start().await;
    let port = server.address.port();
    let authorization = format!("Bearer {TOKEN}");
    for host in
        ["evil.example", "localhost.evil.example:80", "192.168.1.1", "", "[::2]:80", "a:b:c"]
    {
        for path in ["/v1/jobs", "/v1/health"] {
            let headers = [("Host", host), ("Authorization", &authorization), JSON];
            let response = server.raw("GET", path, &headers, "").await;
            response.problem(403, "denied", &["host"]);
        }
    }
    for host in
        [format!("localhost:{port}"), "LOCALHOST".into(), "127.0.0.1".into(), "[::1]:1".into()]
    {
        let headers = [("Host", &*host), ("Authorization", &authorization)];
        assert_eq!(server.raw("GET", "/v1/jobs", &headers, "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_host_name_can_be_allowed() {
    let server = Running::with(|options| options.host_names.push("queue.example".into())).await;
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Host", "queue.example:443"), ("Authorization", &authorization)];
    assert_eq!(server.raw("GET", "/v1/jobs", &headers, "").await.status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let server = Running::start().await;
    let own = format!("http://{}", server.address);
    for origin in ["http://evil.example", "null", "", "file://", "http://127.0.0.1:1"] {
        let headers = [("Origin", origin), JSON];
        let response = server.send("POST", "/v1/jobs", &headers, JOB).await;
        response.problem(403, "denied", &["pages of"]);
    }
    let headers = [("Origin", &*own), JSON];
    assert_eq!(server.send("POST", "/v1/jobs", &headers, JOB).await.status, 200);
}

#[tokio::test]
async fn only_json_is_taken() {
    let server = Running::start().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"]
    {
        let headers = [("Content-Type", content_type)];
        let response = server.send("POST", "/v1/jobs", &headers, JOB).await;
        response.problem(415, "invalid", &["application/json"]);
    }
    server.send("POST", "/v1/jobs", &[], JOB).await.problem(415, "invalid", &[]);
    assert!(server.state().await.contains(r#"{"queues":[]}"#));
    let headers = [("Content-Type", "application/json; charset=utf-8")];
    assert_eq!(server.send("POST", "/v1/jobs", &headers, JOB).await.status, 200);
}

async fn bind(address: &str, allow_plaintext: bool) -> Result<Server, ServeError> {
    let engine = Engine::start(Arc::new(NaiveStore::new(Arc::new(SystemClock)))).unwrap();
    let mut options = ServerOptions::new(Credential::of(TOKEN).unwrap());
    options.listen = address.parse().unwrap();
    options.allow_plaintext = allow_plaintext;
    Server::bind(engine, options).await
}

#[tokio::test]
async fn other_machines_are_not_listened_to_without_consent() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7600"] {
        let error = bind(address, false).await.unwrap_err().to_string();
        assert!(error.contains(address) && error.contains("TLS"), "{error}");
    }
    let server = bind("0.0.0.0:0", true).await.unwrap();
    assert_ne!(server.address().port(), 0);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = bind("127.0.0.1:0", false).await.unwrap();
    let address: SocketAddr = taken.address();
    let error = bind(&address.to_string(), false).await.unwrap_err().to_string();
    for words in [&address.to_string(), "another program", "another port"] {
        assert!(error.contains(words), "{error}");
    }
}
