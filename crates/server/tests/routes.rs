//! Every route with good input.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::Running;

const ID: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";
const WORKER: &str = "019aa2f4-0000-7c51-8f0e-2b1c6d9e0a42";

async fn enqueue(server: &Running, job: Value) -> Value {
    server.post("/v1/jobs", &json!({ "jobs": [job] }).to_string()).await.ok()
}

async fn claim(server: &Running, seq: u64, max: usize) -> Vec<Value> {
    let body = json!({ "worker": WORKER, "seq": seq, "max": max }).to_string();
    let reply = server.post("/v1/claim", &body).await.ok();
    assert_eq!(reply["worker"], WORKER);
    reply["jobs"].as_array().unwrap().clone()
}

async fn report(server: &Running, id: &str, token: &Value, rest: Value) -> Value {
    let mut report = json!({ "id": id, "token": token });
    report.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let body = json!({ "reports": [report] }).to_string();
    server.post("/v1/report", &body).await.ok()["reports"][0].clone()
}

#[tokio::test]
async fn an_enqueue_answers_with_the_id() {
    let server = Running::start().await;
    let reply = enqueue(&server, json!({ "id": ID, "task": "add", "args": [4, 4] })).await;
    assert_eq!(reply, json!({ "jobs": [{ "id": ID, "new": true }] }));
}

#[tokio::test]
async fn a_repeated_enqueue_answers_as_before() {
    let server = Running::start().await;
    let job = json!({ "id": ID, "task": "add", "args": [4, 4] });
    enqueue(&server, job.clone()).await;
    let again = enqueue(&server, job).await;
    let expected = json!({ "jobs": [{ "id": ID, "new": false, "state": "available" }] });
    assert_eq!(again, expected);
}

#[tokio::test]
async fn enqueue_claim_report_get() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add", "args": [4, 4], "tags": ["sum"] })).await;

    let jobs = claim(&server, 1, 10).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["id"], ID);
    assert_eq!(jobs[0]["task"], "add");
    assert_eq!(jobs[0]["args"], json!([4, 4]));
    assert_eq!(jobs[0]["attempt"], 1);
    assert_eq!(jobs[0]["tags"], json!(["sum"]));
    let token = &jobs[0]["token"];

    let running = server.get(&format!("/v1/jobs/{ID}")).await.ok();
    assert_eq!(running["state"], "running");
    assert_eq!(running["worker"], WORKER);

    let outcome = json!({ "outcome": "completed", "result": 8 });
    let reported = report(&server, ID, token, outcome.clone()).await;
    assert_eq!(reported, json!({ "status": "applied", "state": "completed" }));
    let repeated = report(&server, ID, token, outcome).await;
    assert_eq!(repeated, json!({ "status": "already" }));
    let late = report(&server, ID, token, json!({ "outcome": "released" })).await;
    assert_eq!(late, json!({ "status": "stale" }));

    let ended = server.get(&format!("/v1/jobs/{ID}?wait_ms=20000")).await.ok();
    assert_eq!(ended["state"], "completed");
    assert_eq!(ended["result"], 8);
}

#[tokio::test]
async fn the_cost_matrix_tells_what_passed_through() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add", "args": [4, 4] })).await;
    let jobs = claim(&server, 1, 10).await;
    report(&server, ID, &jobs[0]["token"], json!({ "outcome": "completed" })).await;

    let costs = server.get("/v1/costs").await.ok();
    assert_eq!(costs["tasks"].as_array().unwrap().len(), 1, "{costs}");
    let (row, column, cell) = (&costs["tasks"][0], &costs["workers"][0], &costs["cells"][0]);
    assert_eq!((&row["task"], &row["completed"]), (&json!("add"), &json!(1)));
    assert_eq!((&column["worker"], &column["waiting"]["count"]), (&json!(WORKER), &json!(1)));
    assert_eq!((&cell["started"], &cell["ended"]), (&json!(1), &json!(1)));
    assert_eq!(cell["running_ms"], costs["total"]["running"]["max_ms"]);
    assert!(costs["since"].as_str().unwrap() <= costs["now"].as_str().unwrap(), "{costs}");
    let posted = server.post("/v1/costs", r#"{"namespace": "other"}"#).await.ok();
    assert_eq!((&posted["cells"], &posted["node"]), (&json!([]), &costs["node"]));
}

#[tokio::test]
async fn a_single_job_and_a_consumer_by_hand() {
    let server = Running::start().await;
    let reply = server.post("/v1/jobs", r#"{"task":"add","args":[1,2]}"#).await.ok();
    let id = reply["jobs"][0]["id"].as_str().unwrap().to_owned();
    let claimed = server.post("/v1/claim", "{}").await.ok();
    assert_eq!(claimed["jobs"][0]["id"], id);
    assert!(claimed["worker"].as_str().unwrap().len() == 36);
}

#[tokio::test]
async fn a_claim_waits_for_a_job() {
    let server = Running::start().await;
    let body = json!({ "worker": WORKER, "seq": 1, "max": 1, "wait_ms": 20_000 }).to_string();
    let waiting = server.post("/v1/claim", &body);
    let feeding = enqueue(&server, json!({ "task": "add" }));
    let (claimed, _) = tokio::join!(waiting, feeding);
    assert_eq!(claimed.ok()["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_get_waits_for_the_end() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let token = claim(&server, 1, 1).await[0]["token"].clone();
    let path = format!("/v1/jobs/{ID}?wait_ms=20000");
    let waiting = server.get(&path);
    let ending = report(&server, ID, &token, json!({ "outcome": "completed" }));
    let (seen, _) = tokio::join!(waiting, ending);
    assert_eq!(seen.ok()["state"], "completed");
}

#[tokio::test]
async fn summary_tells_only_what_is_not_new() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let other = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a43";
    let body = json!({ "jobs": [{ "id": ID, "task": "add" }, { "id": other, "task": "add" }] });
    let reply = server.post("/v1/jobs?reply=summary", &body.to_string()).await.ok();
    assert_eq!(reply["new"], 1);
    let exceptions = json!([{ "item": 0, "id": ID, "new": false, "state": "available" }]);
    assert_eq!(reply["exceptions"], exceptions);
}

#[tokio::test]
async fn a_partial_batch_refuses_each_for_itself() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let body = json!({
        "partial": true,
        "jobs": [{ "id": ID, "task": "other" }, { "task": "add" }],
    });
    let reply = server.post("/v1/jobs", &body.to_string()).await.ok();
    assert_eq!(reply["jobs"][0]["refused"]["code"], "conflict");
    assert_eq!(reply["jobs"][1]["new"], true);
}

#[tokio::test]
async fn work_does_all_three() {
    let server = Running::start().await;
    for _ in 0..2 {
        enqueue(&server, json!({ "task": "add" })).await;
    }
    let job = claim(&server, 1, 1).await[0].clone();
    let body = json!({
        "worker": WORKER,
        "reports": [{ "id": job["id"], "token": job["token"], "outcome": "completed" }],
        "heartbeat": { "settled": 1, "info": { "name": "hand", "slots": 2 } },
        "claim": { "seq": 2, "max": 5, "wait_ms": 60000 },
    });
    let reply = server.post("/v1/work", &body.to_string()).await.ok();
    assert_eq!(reply["reports"], json!([{ "status": "applied", "state": "completed" }]));
    assert_eq!(reply["heartbeat"], json!({ "lost": [], "cancel": [] }));
    assert_eq!(reply["jobs"].as_array().unwrap().len(), 1);

    let nodes = server.get("/v1/nodes").await.ok();
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 1, "this process: {nodes}");
    assert_eq!(nodes["nodes"][0]["name"], format!("pid:{}", std::process::id()));
    let workers = server.get("/v1/workers").await.ok();
    assert_eq!(workers["workers"][0]["id"], WORKER);
    assert_eq!(workers["workers"][0]["name"], "hand");
    assert_eq!(workers["workers"][0]["running"], 1);
}

#[tokio::test]
async fn a_heartbeat_tells_what_is_lost_and_what_to_stop() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let token = claim(&server, 1, 1).await[0]["token"].clone();
    server.post(&format!("/v1/jobs/{ID}/cancel"), r#"{"reason":"enough"}"#).await.ok();
    let held = json!([
        { "id": ID, "token": token },
        { "id": "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0aff", "token": "1.1.1" },
    ]);
    let body = json!({ "worker": WORKER, "settled": 1, "held": held }).to_string();
    let reply = server.post("/v1/heartbeat", &body).await.ok();
    assert_eq!(reply["lost"].as_array().unwrap().len(), 1);
    assert_eq!(reply["cancel"][0]["id"], ID);
    assert_eq!(reply["cancel"][0]["reason"], "enough");
}

#[tokio::test]
async fn a_worker_that_listens_is_told_when_a_heartbeat_has_something_for_it() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    claim(&server, 1, 1).await;
    let now = json!({ "worker": WORKER }).to_string();
    let reply = server.post("/v1/listen", &now).await.ok();
    assert_eq!(reply, json!({ "nudged": false }));

    let later = json!({ "worker": WORKER, "wait_ms": 60000 }).to_string();
    let listens = server.post("/v1/listen", &later);
    let path = format!("/v1/jobs/{ID}/cancel");
    let (told, cancelled) = tokio::join!(listens, server.post(&path, ""));
    cancelled.ok();
    assert_eq!(told.ok(), json!({ "nudged": true }));
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let server = Running::start().await;
    for number in 0..5 {
        let queue = if number % 2 == 0 { "even" } else { "odd" };
        let tags = json!([format!("n{number}")]);
        enqueue(&server, json!({ "task": "add", "queue": queue, "tags": tags })).await;
    }
    let all = server.get("/v1/jobs?limit=2").await.ok();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 2);
    let next = all["next"].as_u64().unwrap();
    let rest = server.get(&format!("/v1/jobs?limit=100&before={next}")).await.ok();
    assert_eq!(rest["jobs"].as_array().unwrap().len(), 3);
    assert!(rest["jobs"][0]["args"].is_null());
    for (query, count) in [
        ("queue=even", 3),
        ("queue=odd&task=add", 2),
        ("task=other", 0),
        ("state=available", 5),
        ("state=dead", 0),
        ("tag=n3", 1),
        ("namespace=other", 0),
    ] {
        let page = server.get(&format!("/v1/jobs?{query}")).await.ok();
        assert_eq!(page["jobs"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn queues_are_counted_peeked_paused_and_resumed() {
    let server = Running::start().await;
    for priority in [0, 5] {
        let job = json!({ "task": "add", "queue": "images/small", "priority": priority });
        enqueue(&server, job).await;
    }
    let queues = server.get("/v1/queues").await.ok();
    assert_eq!(queues["queues"][0]["queue"], "images/small");
    let queue = server.get("/v1/queues/images%2Fsmall").await.ok();
    assert_eq!(queue["ready"], 2);
    let size = server.get("/v1/queues/images%2Fsmall/size").await.ok();
    assert_eq!(size, json!({ "queue": "images/small", "size": 2, "is_empty": false }));
    let empty = server.get("/v1/queues/nothing/size").await.ok();
    assert_eq!(empty, json!({ "queue": "nothing", "size": 0, "is_empty": true }));
    let peeked = server.get("/v1/queues/images%2Fsmall/peek?n=1").await.ok();
    assert_eq!(peeked["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(peeked["jobs"][0]["priority"], 5);

    server.post("/v1/queues/images%2Fsmall/pause", "").await.ok();
    assert_eq!(server.get("/v1/queues/images%2Fsmall").await.ok()["paused"], true);
    let body = json!({ "worker": WORKER, "seq": 1, "queues": ["images/small"] }).to_string();
    assert_eq!(server.post("/v1/claim", &body).await.ok()["jobs"], json!([]));
    server.post("/v1/queues/images%2Fsmall/resume", "").await.ok();
    assert_eq!(server.post("/v1/claim", &body).await.ok()["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn jobs_are_cancelled_redriven_and_deleted() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let done = |state: &str| json!({ "status": "done", "state": state });
    let cancelled = server.post(&format!("/v1/jobs/{ID}/cancel"), "").await.ok();
    assert_eq!(cancelled, done("cancelled"));
    let redriven = server.post(&format!("/v1/jobs/{ID}/redrive"), r#"{"attempts":2}"#).await.ok();
    assert_eq!(redriven, done("available"));
    server.delete(&format!("/v1/jobs/{ID}")).await.problem(409, "conflict", &[ID, "available"]);
    server.post(&format!("/v1/jobs/{ID}/cancel"), "{}").await.ok();
    server.delete(&format!("/v1/jobs/{ID}")).await.ok();
    server.get(&format!("/v1/jobs/{ID}")).await.problem(404, "not_found", &[ID]);
}

#[tokio::test]
async fn commands_come_in_batches_too() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let body = json!({ "commands": [
        { "command": "cancel", "id": ID },
        { "command": "cancel", "id": ID },
        { "command": "delete", "id": "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0aff" },
        { "command": "pause", "queue": "default" },
    ] });
    let reply = server.post("/v1/control", &body.to_string()).await.ok();
    let statuses: Vec<_> =
        reply["commands"].as_array().unwrap().iter().map(|done| done["status"].clone()).collect();
    assert_eq!(statuses, ["done", "refused", "not_found", "done"]);
}

#[tokio::test]
async fn namespaces_are_apart() {
    let server = Running::start().await;
    let body = json!({ "namespace": "shop", "jobs": [{ "id": ID, "task": "add" }] });
    server.post("/v1/jobs", &body.to_string()).await.ok();
    assert_eq!(server.get(&format!("/v1/jobs/{ID}")).await.status, 404);
    let seen = server.get(&format!("/v1/jobs/{ID}?namespace=shop")).await.ok();
    assert_eq!(seen["namespace"], "shop");
    assert_eq!(server.post("/v1/claim", "{}").await.ok()["jobs"], json!([]));
    let claimed = server.post("/v1/claim", r#"{"namespace":"shop"}"#).await.ok();
    assert_eq!(claimed["jobs"][0]["id"], ID);
}

#[tokio::test]
async fn reads_have_a_posted_form() {
    let server = Running::start().await;
    enqueue(&server, json!({ "id": ID, "task": "add" })).await;
    let got = server.post("/v1/get", &json!({ "ids": [ID, WORKER] }).to_string()).await.ok();
    assert_eq!(got["jobs"][0]["id"], ID);
    assert!(got["jobs"][1].is_null());
    let waited = server.post("/v1/wait", &json!({ "id": ID }).to_string()).await.ok();
    assert_eq!(waited["job"]["id"], ID);
    for (path, list) in [("list", "jobs"), ("queues", "queues"), ("workers", "workers")] {
        let reply = server.post(&format!("/v1/{path}"), "{}").await.ok();
        assert!(reply[list].is_array(), "{path}: {reply}");
    }
    let peeked = server.post("/v1/peek", r#"{"queue":"default"}"#).await.ok();
    assert_eq!(peeked["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_server_says_what_it_is_and_how_it_is() {
    let server = Running::start().await;
    let described = server.get("/v1/describe").await.ok();
    assert!(described["durability"].is_string() && described["kind"].is_string(), "{described}");
    assert_eq!(server.get("/v1/ready").await.ok(), json!({ "ready": true }));
    let host = server.address.to_string();
    let health = server.raw("GET", "/v1/health", &[("Host", &host)], "").await;
    assert_eq!(health.ok(), json!({ "live": true }));
}
