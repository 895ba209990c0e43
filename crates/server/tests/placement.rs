//! Labels and requirements over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::Running;

const ID: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";
const WORKER: &str = "019aa2f4-0000-7c51-8f0e-2b1c6d9e0a42";

async fn claim(server: &Running, seq: u64, labels: Value) -> Vec<Value> {
    let body = json!({ "worker": WORKER, "seq": seq, "max": 10, "labels": labels }).to_string();
    server.post("/v1/claim", &body).await.ok()["jobs"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_worker_is_offered_what_its_labels_match() {
    let server = Running::start().await;
    let job = json!({ "id": ID, "task": "train", "requires": " region in (us eu) , gpu >= 24" });
    server.post("/v1/jobs", &job.to_string()).await.ok();
    let requires = "gpu>=24,region in (eu us)";
    assert_eq!(server.get(&format!("/v1/jobs/{ID}")).await.ok()["requires"], requires);
    assert!(claim(&server, 1, json!([])).await.is_empty());
    assert!(claim(&server, 2, json!(["gpu=16", "region=eu"])).await.is_empty());

    let workers = server.get("/v1/workers").await.ok();
    assert_eq!(workers["workers"][0]["labels"], json!(["gpu=16", "region=eu"]));
    assert_eq!(workers["workers"][0]["queues"], json!(["default"]));
    assert!(workers["workers"][0]["tasks"].is_null(), "it serves every task");
    let question = json!({ "task": "train", "requires": requires }).to_string();
    let answer = server.post("/v1/place", &question).await.ok();
    assert_eq!(answer["verdict"], "no live worker has gpu>=24");
    let excluded = json!([{ "rule": "label", "detail": "gpu is 16, asked is gpu>=24" }]);
    assert_eq!(answer["workers"][0]["excluded"], excluded);
    assert_eq!(answer["workers"][0]["matches"], false);

    let given = claim(&server, 3, json!(["gpu=80", "region=us", "spot"])).await;
    assert_eq!((given.len(), &given[0]["requires"]), (1, &json!(requires)));
    let answer = server.post("/v1/place", &question).await.ok();
    assert_eq!(answer["workers"][0]["matches"], true);
    let elsewhere = json!({ "task": "train", "queue": "mail" }).to_string();
    let answer = server.post("/v1/place", &elsewhere).await.ok();
    assert_eq!(answer["verdict"], "no live worker serves queue mail");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = Running::start().await;
    let before = server.state().await;
    for (path, body, words) in [
        (
            "/v1/jobs",
            json!({ "jobs": [{ "task": "a" }, { "task": "a", "requires": "gpu>=many" }] }),
            ["jobs[1].requires", "compares numbers"],
        ),
        ("/v1/claim", json!({ "labels": ["gpu=1", "gpu=2"] }), ["labels", "given twice"]),
        ("/v1/work", json!({ "claim": { "labels": ["Gpu"] } }), ["labels", "not allowed"]),
        ("/v1/place", json!({ "task": "a", "requires": "!" }), ["requires", "it is empty"]),
        ("/v1/place", json!({ "queue": "a" }), ["place request", "`task`"]),
    ] {
        server.post(path, &body.to_string()).await.problem(400, "invalid", &words);
    }
    assert_eq!(server.state().await, before, "a refused request changed something");
}
