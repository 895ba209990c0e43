//! A claim whose reply is lost: its jobs run elsewhere, unspent.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::random::Random;
use crate::server::{Client, Server};
use crate::support::{Sandbox, until};

const JOBS: usize = 10;

fn claim(worker: &str, seq: u64) -> Value {
    json!({"worker": worker, "seq": seq, "queues": ["q"], "max": 100})
}

fn keys(reply: &Value) -> BTreeSet<(String, String)> {
    let text = |job: &Value, name: &str| job[name].as_str().unwrap().to_owned();
    let jobs = reply["jobs"].as_array().unwrap();
    jobs.iter().map(|job| (text(job, "id"), text(job, "token"))).collect()
}

fn running(client: &mut Client) -> u64 {
    client.get("/v1/queues/q").unwrap()["running"].as_u64().unwrap()
}

/// A server with jobs that were claimed over a connection that was then cut.
fn claimed_without_reply(worker: &str, sandbox: &Sandbox) -> (Server, Client) {
    let server = Server::start(sandbox);
    let mut client = server.client();
    let jobs: Vec<_> = (0..JOBS).map(|n| json!({"task": "t", "queue": "q", "args": n})).collect();
    client.post("/v1/jobs", &json!({"jobs": jobs})).unwrap();
    let connection = client.post_unanswered("/v1/claim", &claim(worker, 1)).unwrap();
    until("the claim is carried out", || running(&mut client) == JOBS as u64);
    connection.shutdown(std::net::Shutdown::Both).unwrap();
    (server, client)
}

#[test]
fn a_claim_whose_reply_is_lost_runs_elsewhere_unspent() {
    let mut random = Random::new(Random::seed());
    let (first, second) = (random.worker_id().to_string(), random.worker_id().to_string());
    let sandbox = Sandbox::new();
    let (_server, mut client) = claimed_without_reply(&first, &sandbox);
    let none = client.post("/v1/claim", &claim(&second, 1)).unwrap();
    assert_eq!(keys(&none).len(), 0, "they are in a live claim");

    let heartbeat = json!({"worker": first, "settled": 1, "held": []});
    let told = client.post("/v1/heartbeat", &heartbeat).unwrap();
    assert_eq!(told["lost"], json!([]));
    let given = client.post("/v1/claim", &claim(&second, 1)).unwrap();
    assert_eq!(keys(&given).len(), JOBS);
    for job in given["jobs"].as_array().unwrap() {
        assert_eq!((job["attempt"].as_u64(), job["failures"].as_u64()), (Some(2), Some(0)));
    }
    let done =
        |(id, token): &(String, String)| json!({"id": id, "token": token, "outcome": "completed"});
    let reports: Vec<_> = keys(&given).iter().map(done).collect();
    client.post("/v1/report", &json!({"reports": reports})).unwrap();
    for (id, _) in keys(&given) {
        let job = client.get(&format!("/v1/jobs/{id}")).unwrap();
        assert_eq!((&job["state"], &job["failures"]), (&json!("completed"), &json!(0)), "{job}");
        assert_eq!((&job["released"], &job["losses"]), (&json!(1), &Value::Null), "{job}");
        assert_eq!(job["worker"], json!(second), "{job}");
    }
}

#[test]
fn a_claim_whose_reply_is_lost_can_be_repeated_also_after_a_crash_of_the_server() {
    let mut random = Random::new(Random::seed());
    let worker = random.worker_id().to_string();
    let sandbox = Sandbox::new();
    let (mut server, mut client) = claimed_without_reply(&worker, &sandbox);
    let before = keys(&client.post("/v1/claim", &claim(&worker, 1)).unwrap());
    assert_eq!(before.len(), JOBS);
    server.process.kill();
    let server = Server::start(&sandbox);
    let after = keys(&server.client().post("/v1/claim", &claim(&worker, 1)).unwrap());
    assert_eq!(before, after);
}
