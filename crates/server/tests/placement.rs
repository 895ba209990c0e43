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

#[tokio::test]
async fn a_worker_says_what_it_has_of_resources_and_what_is_free() {
    let server = Running::start().await;
    let job = json!({ "id": ID, "task": "train", "takes": { "memory": 8, "gpu": 1 }, "cost": 2 });
    server.post("/v1/jobs", &job.to_string()).await.ok();
    let takes = json!({ "gpu": 1, "memory": 8 });
    let shown = server.get(&format!("/v1/jobs/{ID}")).await.ok();
    assert_eq!((&shown["takes"], &shown["cost"]), (&takes, &json!(2)));
    assert_eq!(shown["requires"], "1 of gpu,8 of memory,slots>=2");
    let claim = async |seq: u64, free: Value| {
        let all = json!({ "gpu": 2, "memory": 16 });
        let claim = json!({
            "worker": WORKER, "seq": seq, "max": 4, "labels": ["slots=4"], "resources": all,
            "free": free, "wait_ms": 20_000,
        });
        let reply = server.post("/v1/claim", &claim.to_string()).await.ok();
        reply["jobs"].as_array().unwrap().clone()
    };
    assert_eq!(claim(1, json!({ "gpu": 2, "memory": 7 })).await, [json!(null); 0]);
    let given = claim(2, json!({ "gpu": 1, "memory": 16 })).await;
    assert_eq!((given.len(), &given[0]["takes"]), (1, &takes));
    let worker = server.get("/v1/workers").await.ok()["workers"][0].clone();
    assert_eq!(worker["resources"], json!({ "gpu": 2, "memory": 16 }));
    assert_eq!((&worker["resources_taken"], &worker["slots_taken"]), (&takes, &json!(2)));
    assert_eq!(worker["labels"], json!(["slots=4"]));

    let question = json!({ "task": "train", "takes": { "memory": 17 } }).to_string();
    let answer = server.post("/v1/place", &question).await.ok();
    assert_eq!(answer["verdict"], "no live worker has 17 of memory in all, the most is 16");
    assert_eq!(answer["workers"][0]["resources_taken"], takes);
}

#[tokio::test]
async fn resources_that_make_no_sense_are_refused() {
    let server = Running::start().await;
    let before = server.state().await;
    for (path, body, words) in [
        ("/v1/jobs", json!({ "task": "a", "takes": { "memory": 0 } }), ["takes", "0 of memory"]),
        ("/v1/jobs", json!({ "task": "a", "takes": { "memory": 1.5 } }), ["takes", "u64"]),
        ("/v1/jobs", json!({ "task": "a", "takes": { "slots": 2 } }), ["takes", "is its cost"]),
        ("/v1/claim", json!({ "resources": { "memory": 8 } }), ["memory", "is free"]),
        ("/v1/claim", json!({ "free": { "memory": 8 } }), ["memory", "none of its resources"]),
        ("/v1/claim", json!({ "resources": { "Memory": 8 } }), ["resources", "Memory"]),
        (
            "/v1/work",
            json!({ "claim": { "resources": { "m": 8 }, "free": { "m": 9 } } }),
            ["9 of m are free", "8 in all"],
        ),
    ] {
        server.post(path, &body.to_string()).await.problem(400, "invalid", &words);
    }
    assert_eq!(server.state().await, before, "a refused request changed something");
}
