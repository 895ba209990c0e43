//! Unique keys, groups, limits and adjusted jobs over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::Running;

const ID: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";
const OTHER: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a43";
const WORKER: &str = "019aa2f4-0000-7c51-8f0e-2b1c6d9e0a42";
const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn enqueue(server: &Running, job: Value) -> Value {
    server.post("/v1/jobs", &job.to_string()).await.ok()["jobs"][0].clone()
}

async fn claim(server: &Running, seq: u64) -> Vec<Value> {
    let body = json!({ "worker": WORKER, "seq": seq, "max": 10 }).to_string();
    server.post("/v1/claim", &body).await.ok()["jobs"].as_array().unwrap().clone()
}

async fn set(server: &Running, policy: Value) -> Value {
    server.send("PUT", "/v1/policies", &[JSON], &policy.to_string()).await.ok()
}

async fn policies(server: &Running) -> Value {
    server.get("/v1/policies").await.ok()["policies"].clone()
}

#[tokio::test]
async fn a_duplicate_answers_with_the_holder() {
    let server = Running::start().await;
    let job = json!({ "id": ID, "task": "add", "args": 1, "unique_key": "sum" });
    assert_eq!(enqueue(&server, job).await["new"], true);
    let duplicate = enqueue(&server, json!({ "task": "add", "unique_key": "sum" })).await;
    let kept = json!({
        "id": ID, "new": false, "duplicate": true, "replaced": false, "state": "available",
    });
    assert_eq!(duplicate, kept);

    let newer = json!({
        "task": "add", "args": 2, "unique_key": "sum", "on_conflict": "replace", "replace": ["args"],
    });
    assert_eq!(enqueue(&server, newer).await["replaced"], true);
    let job = server.get(&format!("/v1/jobs/{ID}")).await.ok();
    assert_eq!((&job["args"], &job["unique_key"]), (&json!(2), &json!("sum")));
    assert_eq!(job["unique_until"], "finished");

    let strict = json!({ "task": "add", "unique_key": "sum", "on_conflict": "refuse" });
    let refused = server.post("/v1/jobs", &strict.to_string()).await;
    refused.problem(409, "conflict", &["\"sum\"", ID]);
    let partial = json!({ "partial": true, "jobs": [strict] }).to_string();
    let reply = server.post("/v1/jobs", &partial).await.ok();
    assert_eq!(reply["jobs"][0]["refused"]["code"], "unique_taken");
    assert_eq!(reply["jobs"][0]["refused"]["holder"], ID);
}

#[tokio::test]
async fn a_limit_holds_jobs_back_until_it_is_taken_away() {
    let server = Running::start().await;
    assert_eq!(set(&server, json!({ "key": "api:*", "concurrency": 1 })).await["status"], "done");
    set(
        &server,
        json!({ "queue": "default", "group": "a", "rate": { "count": 3, "period_ms": 60000 } }),
    )
    .await;
    let listed = json!([
        { "queue": "default", "group": "a", "rate": { "count": 3, "period_ms": 60000, "burst": 1 } },
        { "key": "api:*", "concurrency": 1 },
    ]);
    assert_eq!(policies(&server).await, listed);
    assert_eq!(server.post("/v1/policies", "{}").await.ok()["policies"], listed);
    let elsewhere = server.get("/v1/policies?namespace=shop").await.ok();
    assert_eq!(elsewhere, json!({ "policies": [] }));

    for id in [ID, OTHER] {
        let keys = json!(["api:stripe"]);
        enqueue(&server, json!({ "id": id, "task": "pay", "limit_keys": keys, "group": "b" }))
            .await;
    }
    assert_eq!(claim(&server, 1).await.len(), 1, "one at once");
    let queue = server.get("/v1/queues/default").await.ok();
    assert_eq!((&queue["running"], &queue["in_line"]), (&json!(1), &json!(1)), "{queue}");
    let waiting = server.get("/v1/jobs?state=available").await.ok()["jobs"][0].clone();
    assert_eq!((&waiting["place"], &waiting["group"]), (&json!("line"), &json!("b")));

    set(&server, json!({ "key": "api:*" })).await;
    assert_eq!(policies(&server).await.as_array().unwrap().len(), 1);
    assert_eq!(claim(&server, 2).await.len(), 1, "nothing limits it any more");
}

#[tokio::test]
async fn a_waiting_job_is_adjusted() {
    let server = Running::start().await;
    let path = format!("/v1/jobs/{ID}/adjust");
    server.post(&path, r#"{"priority":1}"#).await.problem(404, "not_found", &[ID]);
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let done = json!({ "status": "done", "state": "available" });
    let later = r#"{"priority":7,"run_at":"2030-01-01T00:00:00Z"}"#;
    assert_eq!(server.post(&path, later).await.ok(), done);
    let job = server.get(&format!("/v1/jobs/{ID}")).await.ok();
    assert_eq!((&job["priority"], &job["place"]), (&json!(7), &json!("until")));
    assert_eq!(job["run_at"], "2030-01-01T00:00:00Z");

    assert_eq!(server.post(&path, r#"{"run_at":"2020-01-01T00:00:00Z"}"#).await.ok(), done);
    assert_eq!(claim(&server, 1).await.len(), 1, "it was due at once");
    server.post(&path, r#"{"priority":1}"#).await.problem(409, "conflict", &[ID, "running"]);
}

#[tokio::test]
async fn the_commands_come_in_batches_too() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add", "unique_key": "k" })).await;
    let body = json!({ "commands": [
        { "command": "adjust", "id": ID, "priority": 5 },
        { "command": "adjust", "id": OTHER, "priority": 5 },
        { "command": "cancel", "id": ID },
        { "command": "set_policy", "task": "add", "concurrency": 0 },
        { "command": "set_policy", "task": "never.set" },
    ] });
    let reply = server.post("/v1/control", &body.to_string()).await.ok();
    let statuses: Vec<_> =
        reply["commands"].as_array().unwrap().iter().map(|done| done["status"].clone()).collect();
    assert_eq!(statuses, ["done", "not_found", "done", "done", "done"]);

    enqueue(&server, json!({ "id": OTHER, "task": "add", "unique_key": "k" })).await;
    let redrive = server.post(&format!("/v1/jobs/{ID}/redrive"), "").await;
    redrive.problem(409, "conflict", &[ID, OTHER]);
    let body = json!({ "commands": [{ "command": "redrive", "id": ID }] }).to_string();
    let taken = server.post("/v1/control", &body).await.ok()["commands"][0].clone();
    assert_eq!(taken, json!({ "status": "taken", "holder": OTHER }));
}

#[tokio::test]
async fn a_full_queue_answers_429() {
    let server = Running::start().await;
    let policy =
        json!({ "queue": "default", "waiting": 1, "retries": { "count": 9, "period_ms": 500 } });
    set(&server, policy).await;
    let retries = json!({ "count": 9, "period_ms": 500, "burst": 1 });
    let listed = json!([{ "queue": "default", "retries": retries, "waiting": 1 }]);
    assert_eq!(policies(&server).await, listed);
    assert_eq!(enqueue(&server, json!({ "id": ID, "task": "add" })).await["new"], true);
    let second = json!({ "id": OTHER, "task": "add" });
    let refused = server.post("/v1/jobs", &second.to_string()).await;
    assert!(refused.head.contains("retry-after: 1\r\n"), "{refused:?}");
    refused.problem(429, "waiting_full", &["queue default", "1 jobs"]);
    let partial = json!({ "partial": true, "jobs": [{ "id": ID, "task": "add" }, second] });
    let reply = server.post("/v1/jobs", &partial.to_string()).await.ok();
    assert_eq!(reply["jobs"][0]["new"], false, "what is known is no new job");
    let told = reply["jobs"][1]["refused"].clone();
    assert_eq!((&told["code"], &told["queue"]), (&json!("waiting_full"), &json!("default")));
    assert_eq!(told["max"], 1);
    assert_eq!(claim(&server, 1).await.len(), 1);
    assert_eq!(enqueue(&server, json!({ "id": OTHER, "task": "add" })).await["new"], true);
}

#[tokio::test]
async fn a_strict_queue_gives_its_most_urgent_job() {
    let server = Running::start().await;
    let policy = json!({ "queue": "default", "strict": true });
    set(&server, policy.clone()).await;
    assert_eq!(policies(&server).await, json!([policy]));
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    enqueue(&server, json!({ "id": OTHER, "task": "add", "priority": 1 })).await;
    let one = json!({ "worker": WORKER, "seq": 1, "max": 1 }).to_string();
    assert_eq!(server.post("/v1/claim", &one).await.ok()["jobs"][0]["id"], OTHER);
    let not = json!({ "commands": [{ "command": "set_policy", "queue": "default" }] });
    server.post("/v1/control", &not.to_string()).await.ok();
    assert_eq!(policies(&server).await, json!([]));
    assert_eq!(claim(&server, 2).await[0]["id"], ID);
}

#[tokio::test]
async fn bad_input_is_refused_and_changes_nothing() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add", "unique_key": "held" })).await;
    let long = "x".repeat(257);
    let before = (server.state().await, policies(&server).await);
    for (field, value, word) in [
        ("unique_key", json!(""), "unique key is empty"),
        ("unique_for_ms", json!(5), "unique_key"),
        ("unique_until", json!("claimed"), "unique_key"),
        ("on_conflict", json!("refuse"), "no unique key"),
        ("on_conflict", json!("ignore"), "`keep`"),
        ("replace", json!(["args"]), "replace"),
        ("group", json!(""), "group is empty"),
        ("group", json!("a*"), "ends in *"),
        ("limit_keys", json!([""]), "limit key is empty"),
    ] {
        let body = json!({ "task": "add", field: value }).to_string();
        server.post("/v1/jobs", &body).await.problem(400, "invalid", &[word]);
    }
    for (field, value) in [
        ("unique_key", json!(long)),
        ("group", json!(long)),
        ("limit_keys", json!([long])),
        ("limit_keys", json!(["a", "b", "c", "d", "e"])),
    ] {
        let body = json!({ "task": "add", field: value }).to_string();
        server.post("/v1/jobs", &body).await.problem(413, "over_limit", &[]);
    }
    for (policy, words) in [
        (json!({}), &["name a queue"][..]),
        (json!({ "queue": "q", "task": "t" }), &["name a queue"]),
        (json!({ "queue": "Q" }), &["\"Q\""]),
        (json!({ "key": "" }), &["key is empty"]),
        (json!({ "key": "k", "concurrency": -1 }), &["concurrency"]),
        (json!({ "key": "k", "rate": { "count": 1 } }), &["period_ms"]),
        (json!({ "key": "k", "rate": { "count": 0, "period_ms": 1 } }), &["zero"]),
        (json!({ "key": "k", "colour": 3 }), &["`colour`"]),
        (json!({ "key": "k", "waiting": 3 }), &["only a queue"]),
        (json!({ "task": "t", "retries": { "count": 1, "period_ms": 1 } }), &["only a queue"]),
        (json!({ "queue": "q", "retries": { "count": 0, "period_ms": 1 } }), &["budget", "zero"]),
        (json!({ "queue": "q", "waiting": -1 }), &["waiting"]),
        (json!({ "key": "k", "strict": true }), &["only a queue"]),
        (json!({ "queue": "q", "strict": true, "fair": true }), &["fair or strict"]),
    ] {
        let refused = server.send("PUT", "/v1/policies", &[JSON], &policy.to_string()).await;
        refused.problem(400, "invalid", words);
    }
    let untyped = server.send("PUT", "/v1/policies", &[], r#"{"key":"k","concurrency":1}"#).await;
    untyped.problem(415, "invalid", &["application/json"]);
    let path = format!("/v1/jobs/{ID}/adjust");
    for (body, word) in [
        ("", "adjust request"),
        ("{}", "give a priority"),
        (r#"{"priority":11}"#, "11"),
        (r#"{"run_at":"soon"}"#, "run_at"),
        (r#"{"delay":5}"#, "`delay`"),
    ] {
        server.post(&path, body).await.problem(400, "invalid", &[word]);
    }
    let far = r#"{"run_at":"9999-01-01T00:00:00Z"}"#;
    server.post(&path, far).await.problem(413, "over_limit", &[ID, "run_at"]);
    assert_eq!((server.state().await, policies(&server).await), before);
}

#[tokio::test]
async fn a_job_tells_why_it_waits() {
    let server = Running::start().await;
    let path = format!("/v1/jobs/{ID}/why");
    server.get(&path).await.problem(404, "not_found", &[ID]);
    set(&server, json!({ "queue": "default", "concurrency": 0 })).await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let why = server.get(&path).await.ok();
    let kinds: Vec<_> = why["blockers"].as_array().unwrap().iter().map(|b| &b["kind"]).collect();
    assert_eq!(kinds, [&json!("limit"), &json!("placement")], "{why}");
    assert_eq!((&why["id"], &why["ahead"]), (&json!(ID), &json!(0)), "{why}");
    assert_eq!(why["verdict"], "queue default runs 0, and at most 0 at once");
}
