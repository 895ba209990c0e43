//! Bad input: each a clear problem that names what and where, and nothing has changed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use support::Running;

const ID: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";

/// Posts what must be refused, and shows that nothing has changed.
async fn refused(path: &str, body: &str, status: u16, code: &str, words: &[&str]) {
    let server = Running::start().await;
    server.post("/v1/jobs", &json!({ "id": ID, "task": "add", "args": 1 }).to_string()).await.ok();
    let before = server.state().await;
    server.post(path, body).await.problem(status, code, words);
    assert_eq!(server.state().await, before, "a refused request changed something: {body:.200}");
}

#[tokio::test]
async fn malformed_json() {
    for body in ["", "{", "nonsense", r#"{"jobs":[{"task":"a"}]"#, r#"{"jobs":[{"task":"a",}]}"#] {
        refused("/v1/jobs", body, 400, "invalid", &["enqueue request", "is not JSON", "line 1"])
            .await;
    }
}

#[tokio::test]
async fn json_that_is_too_deep() {
    let deep = "[".repeat(129) + &"]".repeat(129);
    let body = format!(r#"{{"jobs":[{{"task":"a"}},{{"task":"a","args":{deep}}}]}}"#);
    refused("/v1/jobs", &body, 413, "over_limit", &["jobs[1].args", "129", "128"]).await;
    let body = format!(r#"{{"jobs":{}"#, "[".repeat(100_000));
    refused("/v1/jobs", &body, 400, "invalid", &["jobs[0]"]).await;
}

#[tokio::test]
async fn args_and_results_over_the_limit() {
    let long = "x".repeat(1024 * 1024);
    let body = format!(r#"{{"jobs":[{{"task":"a"}},{{"task":"a","args":"{long}"}}]}}"#);
    refused("/v1/jobs", &body, 413, "over_limit", &["jobs[1].args", "1048576"]).await;
    let body = format!(
        r#"{{"reports":[{{"id":"{ID}","token":"1.1.1","outcome":"completed","result":"{long}"}}]}}"#
    );
    refused("/v1/report", &body, 413, "over_limit", &["reports[0].result", "1048576"]).await;
}

#[tokio::test]
async fn unknown_fields() {
    let job = r#"{"jobs":[{"task":"a"},{"task":"a","prioritty":3}]}"#;
    refused("/v1/jobs", job, 400, "invalid", &["jobs[1]", "`prioritty`", "`priority`"]).await;
    refused("/v1/claim", r#"{"maxx":3}"#, 400, "invalid", &["claim request", "`maxx`"]).await;
    let work = r#"{"claim":{"maxx":3}}"#;
    refused("/v1/work", work, 400, "invalid", &["work request", "claim.maxx"]).await;
    refused("/v1/jobs?replly=summary", r#"{"jobs":[]}"#, 400, "invalid", &["\"replly\""]).await;
    let cancel = format!("/v1/jobs/{ID}/cancel");
    refused(&cancel, r#"{"why":"x"}"#, 400, "invalid", &["cancel request", "`why`"]).await;
}

#[tokio::test]
async fn bad_names() {
    let job = r#"{"jobs":[{"task":"a","queue":"My Queue"}]}"#;
    refused("/v1/jobs", job, 400, "invalid", &["jobs[0].queue", "\"My Queue\"", "'M'"]).await;
    let job = r#"{"jobs":[{"task":""}]}"#;
    refused("/v1/jobs", job, 400, "invalid", &["jobs[0].task", "empty"]).await;
    let long = format!(r#"{{"jobs":[{{"task":"{}"}}]}}"#, "a".repeat(129));
    refused("/v1/jobs", &long, 400, "invalid", &["jobs[0].task", "129 bytes"]).await;
    let claim = r#"{"queues":["good","Bad"]}"#;
    refused("/v1/claim", claim, 400, "invalid", &["queues[1]", "\"Bad\""]).await;
    refused("/v1/queues/Bad/pause", "", 400, "invalid", &["queue in the path", "\"Bad\""]).await;
}

#[tokio::test]
async fn bad_values() {
    for (job, words) in [
        (json!({ "task": "a", "priority": 11 }), ["priority", "11"]),
        (json!({ "task": "a", "priority": 1000 }), ["jobs[0].priority", "1000"]),
        (json!({ "task": "a", "id": "one" }), ["jobs[0].id", "\"one\""]),
        (json!({ "task": "a", "run_at": "tomorrow" }), ["jobs[0].run_at", "\"tomorrow\""]),
        (json!({ "task": "a", "delay_ms": "10m" }), ["jobs[0].delay_ms", "\"10m\""]),
        (json!({ "task": "a", "delay_ms": -5 }), ["jobs[0].delay_ms", "-5"]),
        (json!({ "task": "a", "timeout_ms": 0 }), ["timeout", "zero"]),
        (json!({ "task": "a", "max_attempts": 0 }), ["max_attempts", "0"]),
        (json!({ "task": "a", "retry": { "kind": "fixed" } }), ["jobs[0].retry", "delay_ms"]),
        (json!({ "task": 7 }), ["jobs[0].task", "7"]),
    ] {
        let body = json!({ "jobs": [job] }).to_string();
        refused("/v1/jobs", &body, 400, "invalid", &words).await;
    }
}

#[tokio::test]
async fn the_same_id_with_another_body() {
    for other in [
        json!({ "id": ID, "task": "other", "args": 1 }),
        json!({ "id": ID, "task": "add", "args": 2 }),
        json!({ "id": ID, "task": "add", "args": 1, "queue": "other" }),
    ] {
        let body = json!({ "jobs": [{ "task": "fine" }, other] }).to_string();
        refused("/v1/jobs", &body, 409, "conflict", &[ID]).await;
    }
}

#[tokio::test]
async fn a_batch_with_one_bad_item_names_it() {
    let server = Running::start().await;
    let good = json!({ "task": "a" });
    for bad in [json!({ "task": "A" }), json!({ "task": "a", "priority": 99 }), json!({})] {
        let body = json!({ "jobs": [good, good, bad, good] }).to_string();
        let response = server.post("/v1/jobs", &body).await;
        response.problem(400, "invalid", &[]);
        assert_eq!(response.body["item"], 2, "{response:?}");
    }
    let counts = server.get("/v1/queues").await.ok();
    assert_eq!(counts["queues"], json!([]));
}

#[tokio::test]
async fn a_batch_that_is_too_long() {
    let jobs = vec![json!({ "task": "a" }); 1_001];
    let body = json!({ "jobs": jobs }).to_string();
    refused("/v1/jobs", &body, 413, "over_limit", &["1001", "1000"]).await;
}

#[tokio::test]
async fn a_summary_without_ids() {
    let body = r#"{"jobs":[{"task":"a"}]}"#;
    refused("/v1/jobs?reply=summary", body, 400, "invalid", &["jobs[0].id", "summary"]).await;
}

#[tokio::test]
async fn bad_paths_methods_and_parameters() {
    let server = Running::start().await;
    server.get("/v1/nothing").await.problem(404, "not_found", &["/v1/nothing"]);
    server.delete("/v1/claim").await.problem(405, "invalid", &["DELETE", "/v1/claim"]);
    server.get("/v1/jobs/seven").await.problem(400, "invalid", &["id in the path", "\"seven\""]);
    server.get("/v1/jobs?state=done").await.problem(400, "invalid", &["state=done", "completed"]);
    server.get("/v1/jobs?limit=many").await.problem(400, "invalid", &["limit=many"]);
    server.get("/v1/jobs?colour=red").await.problem(400, "invalid", &["\"colour\""]);
    server.get(&format!("/v1/jobs/{ID}")).await.problem(404, "not_found", &[ID]);
    let cancel = server.post(&format!("/v1/jobs/{ID}/cancel"), "").await;
    cancel.problem(404, "not_found", &[ID]);
}
