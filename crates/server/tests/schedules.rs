//! Schedules and calendars over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Running;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PATIENCE: Duration = Duration::from_secs(30);

fn nightly() -> Value {
    json!({
        "name": "nightly", "cron": "0 3 * * *", "zone": "Europe/Berlin", "overlap": "allow",
        "job": { "task": "report", "args": { "day": "today" } },
    })
}

async fn put(server: &Running, path: &str, body: &Value) -> support::Response {
    server.send("PUT", path, &[JSON], &body.to_string()).await
}

#[tokio::test]
async fn a_schedule_is_made_seen_changed_and_removed() {
    let server = Running::start().await;
    let path = "/v1/schedules/nightly";
    server.get(path).await.problem(404, "not_found", &["nightly"]);
    assert_eq!(put(&server, path, &nightly()).await.ok(), json!({ "change": "created" }));
    assert_eq!(put(&server, path, &nightly()).await.ok(), json!({ "change": "unchanged" }));
    let mut later = nightly();
    later["cron"] = json!("0 4 * * *");
    assert_eq!(put(&server, path, &later).await.ok(), json!({ "change": "changed" }));

    let view = server.get(path).await.ok();
    assert_eq!(view["schedule"]["cron"], "0 4 * * *");
    assert_eq!(view["schedule"]["job"]["args"], json!({ "day": "today" }));
    assert!(view["next_at"].is_string(), "{view}");
    let listed = server.get("/v1/schedules").await.ok();
    assert_eq!(listed["schedules"], json!([view]));
    let behind = server.get("/v1/schedules?after=nightly&limit=1").await.ok();
    assert_eq!(behind["schedules"], json!([]));
    let elsewhere = server.get("/v1/schedules?namespace=shop").await.ok();
    assert_eq!(elsewhere["schedules"], json!([]));

    assert_eq!(server.post(&format!("{path}/pause"), "").await.ok(), json!({}));
    let paused = server.get(path).await.ok();
    assert_eq!((&paused["paused"], &paused["next_at"]), (&json!("operator"), &Value::Null));
    server.post(&format!("{path}/resume"), "").await.ok();
    assert!(server.get(path).await.ok()["next_at"].is_string());

    let id = server.post(&format!("{path}/trigger"), "").await.ok()["id"].clone();
    let jobs = server.get("/v1/jobs?tag=schedule:nightly").await.ok();
    assert_eq!(jobs["jobs"][0]["id"], id);
    let stretch = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-05T00:00:00Z" });
    let backfilled = server.post(&format!("{path}/backfill"), &stretch.to_string()).await.ok();
    assert_eq!(backfilled, json!({ "made": 4, "existing": 0 }));

    let removed = server.send("DELETE", path, &[], "").await.ok();
    assert_eq!(removed, json!({ "removed": true }));
    server.get(path).await.problem(404, "not_found", &["nightly"]);
}

#[tokio::test]
async fn what_cannot_be_a_schedule_is_refused() {
    let server = Running::start().await;
    let path = "/v1/schedules/nightly";
    for (field, value, told) in [
        ("cron", json!("0 0 31 2 *"), "never due"),
        ("cron", json!("0 3 * *"), "0 3 * *"),
        ("zone", json!("Mars/Base"), "Mars/Base"),
        ("exclude", json!(["holidays"]), "holidays"),
        ("every_ms", json!(5000), "one of cron, every_ms and at"),
        ("job", json!({ "task": "a", "delay_ms": 5 }), "delay"),
        ("job", json!({ "task": "A B" }), "task"),
        ("name", json!("other"), "the path says nightly"),
    ] {
        let mut wrong = nightly();
        wrong[field] = value;
        put(&server, path, &wrong).await.problem(400, "invalid", &[told]);
    }
    let unknown = json!({ "name": "nightly", "crom": "x", "job": { "task": "a" } });
    put(&server, path, &unknown).await.problem(400, "invalid", &["crom"]);
    assert_eq!(server.get("/v1/schedules").await.ok()["schedules"], json!([]));
}

#[tokio::test]
async fn a_calendar_leaves_days_out_of_a_preview() {
    let server = Running::start().await;
    let path = "/v1/calendars/holidays";
    let text = json!({ "text": "2026-12-25 # Christmas\n2026-12-26" });
    assert_eq!(put(&server, path, &text).await.ok(), json!({}));
    assert_eq!(server.get("/v1/calendars").await.ok(), json!({ "calendars": ["holidays"] }));
    let mut excluding = nightly();
    excluding["exclude"] = json!(["holidays"]);
    let preview = json!({
        "command": "preview", "schedule": excluding, "from": "2026-12-24T00:00:00Z", "max": 3,
    });
    let told = server.post("/v1/schedule", &preview.to_string()).await.ok();
    let instants = json!(["2026-12-24T02:00:00Z", "2026-12-27T02:00:00Z", "2026-12-28T02:00:00Z"]);
    assert_eq!(told, json!({ "instants": instants }));

    put(&server, "/v1/schedules/nightly", &excluding).await.ok();
    server.send("DELETE", path, &[], "").await.problem(409, "conflict", &["nightly"]);
    server.send("DELETE", "/v1/schedules/nightly", &[], "").await.ok();
    server.send("DELETE", path, &[], "").await.ok();
    server.send("DELETE", path, &[], "").await.problem(404, "not_found", &["holidays"]);
    put(&server, path, &json!({ "text": "tomorrow" })).await.problem(400, "invalid", &["line 1"]);
}

/// The server itself ticks, on time.
#[tokio::test]
async fn a_server_makes_the_jobs_of_a_schedule() {
    let server = Running::start().await;
    let every = json!({
        "name": "beat", "every_ms": 1000, "overlap": "allow", "job": { "task": "beat" },
    });
    put(&server, "/v1/schedules/beat", &every).await.ok();
    let began = Instant::now();
    while server.get("/v1/schedules/beat").await.ok()["made"].as_u64().unwrap() < 2 {
        assert!(began.elapsed() < PATIENCE, "no job is made");
        tokio::task::yield_now().await;
    }
    let jobs = server.get("/v1/jobs?task=beat").await.ok();
    assert!(jobs["jobs"].as_array().unwrap().len() >= 2);
}
