//! What clients and load balancers hear while the database is away.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{PATIENCE, Response, Running};
use taskwright::Taskwright;
use taskwright_testbed::{Proxy, Schema, available, fresh_schema};

const JOB: &str = r#"{"task": "add", "args": [4, 4]}"#;
/// How long a call of the store may take here, in milliseconds.
const DEADLINE_MS: u64 = 2_000;

/// A server whose way to its database can be cut.
struct Place {
    server: Running,
    proxy: Proxy,
    app: Taskwright,
    _schema: Schema,
}

async fn place(test: &str) -> Option<Place> {
    let schema = available(&format!("postgres_ready::{test}"), fresh_schema())?;
    let mark = if schema.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{mark}schema={}&deadline_ms={DEADLINE_MS}", schema.url(), schema.name());
    let proxy = Proxy::before(&url).unwrap();
    let app = Taskwright::connect(&proxy.url(&url).unwrap()).await.unwrap();
    let server = Running::serving(Arc::clone(app.api()), |_| {}).await;
    Some(Place { server, proxy, app, _schema: schema })
}

impl Place {
    /// The first answer of the readiness check with this status.
    async fn ready_is(&self, status: u16) -> Response {
        let began = Instant::now();
        loop {
            let response = self.server.get("/v1/ready").await;
            if response.status == status {
                return response;
            }
            assert!(began.elapsed() < PATIENCE, "{response:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.server.stop().await.unwrap();
        self.app.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_database() {
    let Some(place) = place("follows").await else { return };
    place.ready_is(200).await;

    place.proxy.cut().unwrap();
    let red = place.ready_is(503).await;
    red.problem(503, "unavailable", &["PostgreSQL at 127.0.0.1"]);
    // Nobody calls: it becomes green by itself.
    place.proxy.heal().unwrap();
    place.ready_is(200).await;

    // A network that says nothing at all is noticed by the check itself.
    place.proxy.freeze().unwrap();
    place.ready_is(503).await;
    place.proxy.heal().unwrap();
    place.ready_is(200).await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueue_while_the_database_is_away_says_when_to_try_again() {
    let Some(place) = place("enqueue_away").await else { return };
    place.proxy.cut().unwrap();
    place.ready_is(503).await;
    let asked = Instant::now();
    let refused = place.server.post("/v1/jobs", JOB).await;
    let took = asked.elapsed();
    refused.problem(503, "unavailable", &["PostgreSQL at"]);
    assert!(refused.head.contains("retry-after: "), "{refused:?}");
    assert!(took < 2 * Duration::from_millis(DEADLINE_MS), "it took {took:?}");

    // One that is asked shortly before the database is back is done when it is.
    let (answer, ()) = tokio::join!(place.server.post("/v1/jobs", JOB), async {
        tokio::task::yield_now().await;
        place.proxy.heal().unwrap();
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    let size = place.server.get("/v1/queues/default/size").await.ok();
    assert_eq!(size["size"], 1, "what was refused was not done");
    place.end().await;
}
