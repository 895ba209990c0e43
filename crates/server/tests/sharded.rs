//! One request as several jobs, over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::Running;

const ID: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";
const WORKER: &str = "019aa2f4-0000-7c51-8f0e-2b1c6d9e0a42";

async fn enqueue(server: &Running, body: Value) -> Vec<Value> {
    server.post("/v1/jobs", &body.to_string()).await.ok()["jobs"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_request_with_shards_is_as_many_jobs() {
    let server = Running::start().await;
    let request = json!({ "id": ID, "task": "scan", "args": "all", "shards": 3 });
    let made = enqueue(&server, request.clone()).await;
    assert_eq!((made.len(), &made[0]["new"]), (3, &json!(true)));
    let again = enqueue(&server, request).await;
    assert_eq!((again.len(), &again[0]["new"]), (3, &json!(false)));
    assert_eq!(again[2]["id"], made[2]["id"]);
    let other = json!({ "id": ID, "task": "scan", "args": "all", "shards": 4 }).to_string();
    server.post("/v1/jobs", &other).await.problem(409, "conflict", &[]);

    let body = json!({ "worker": WORKER, "seq": 1, "max": 10 }).to_string();
    let claimed = server.post("/v1/claim", &body).await.ok();
    for (index, job) in claimed["jobs"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&job["id"], &job["args"]), (&made[index]["id"], &json!("all")));
        assert_eq!((&job["shard_index"], &job["shard_total"]), (&json!(index), &json!(3)));
    }
    let shown = server.get(&format!("/v1/jobs/{}", made[2]["id"].as_str().unwrap())).await.ok();
    assert_eq!((&shown["shard_index"], &shown["shard_total"]), (&json!(2), &json!(3)));
    let mixed = json!({ "jobs": [{ "task": "a" }, { "task": "b", "shards": 2 }, { "task": "c" }] });
    assert_eq!(enqueue(&server, mixed).await.len(), 4);
}

#[tokio::test]
async fn shards_that_make_no_sense_are_refused() {
    let server = Running::start().await;
    let before = server.state().await;
    for (code, name, job, words) in [
        (400, "invalid", json!({ "shards": 0 }), ["jobs[1].shards", "give 1 to 1000"]),
        (400, "invalid", json!({ "shards": 2, "unique_key": "k" }), ["a shard", "unique key"]),
        (400, "invalid", json!({ "shard_index": 1 }), ["shard_index", "go together"]),
        (
            400,
            "invalid",
            json!({ "shard_index": 2, "shard_total": 2 }),
            ["is 2 of 2", "last one 1"],
        ),
        (
            400,
            "invalid",
            json!({ "shard_index": 0, "shard_total": 2, "shards": 2 }),
            ["jobs[1].shards", "already"],
        ),
        (413, "over_limit", json!({ "shards": 1_000 }), ["jobs[1].shards", "1001"]),
    ] {
        let mut job = job;
        job["task"] = json!("scan");
        let body = json!({ "jobs": [{ "task": "a" }, job] }).to_string();
        server.post("/v1/jobs", &body).await.problem(code, name, &words);
    }
    assert_eq!(server.state().await, before, "a refused request changed something");
}
