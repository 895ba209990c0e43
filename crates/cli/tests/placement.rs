//! Labels and requirements at the command line.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use serde_json::{Value, json};
use support::{Ran, Sandbox, Started, until};

/// A store that is served, and workers of task `train` beside it.
struct Served {
    sandbox: Sandbox,
    _server: Started,
    url: String,
}

impl Served {
    fn new() -> Served {
        let sandbox = Sandbox::new();
        let server =
            sandbox.start(["serve", "--data", "data", "--listen", "127.0.0.1:0", "--json"]);
        let line: Value = serde_json::from_str(&server.says("listening")).unwrap();
        let url = line["listening"].as_str().unwrap().to_owned();
        Served { sandbox, _server: server, url }
    }

    fn worker(&self, name: &str, labels: &[&str]) -> Started {
        let labels = labels.iter().flat_map(|label| ["--label", label]).collect::<Vec<_>>();
        self.worker_with(name, &labels)
    }

    fn worker_with(&self, name: &str, arguments: &[&str]) -> Started {
        let mut worker = self.sandbox.taskwright(["worker", "--server", &self.url, "--json"]);
        worker.args(["--task", "train", "--exec", "echo", "--name", name, "--slots", "2"]);
        worker.args(arguments);
        let token = self.sandbox.read("data/token");
        worker.env("TASKWRIGHT_TOKEN", token.trim());
        let worker = Started::of(worker);
        worker.says("slots");
        worker
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.sandbox.run(arguments.iter().chain(&["--data", "data"]))
    }

    /// The worker of this name, once it has said what it serves.
    fn known(&self, name: &str) -> Value {
        let mut found = None;
        until("the worker is known with what it serves", || {
            let workers = self.run(&["workers", "--json"]).exits(0).json();
            found = workers.into_iter().find(|w| w["name"] == name && !w["queues"].is_null());
            found.is_some()
        });
        found.unwrap()
    }

    fn place(&self, code: i32, arguments: &[&str]) -> Value {
        let arguments = [&["place", "--task", "train", "--json"], arguments].concat();
        self.run(&arguments).exits(code).json().remove(0)
    }
}

#[test]
fn a_job_goes_to_a_worker_that_matches() {
    let served = Served::new();
    let enqueued = served.run(&["enqueue", "train", "--requires", " gpu >= 24,!spot"]).exits(0);
    let id = enqueued.text().trim().to_owned();
    let verdict = served.place(3, &["--requires", "gpu>=24"]);
    let nobody = "no worker is known; start one that serves queue default and task train";
    assert_eq!(verdict, json!({ "verdict": nobody }));

    let _small = served.worker("small", &["gpu=16", "region=eu"]);
    let small = served.known("small");
    let slots = format!("slots={}", small["slots"]);
    assert_eq!(small["labels"], json!(["gpu=16", "region=eu", slots]));
    assert_eq!((&small["queues"], &small["tasks"]), (&json!(["default"]), &json!(["train"])));
    let told = served.place(3, &["--requires", "gpu>=24", "--explain"]);
    assert_eq!(told["verdict"], "no live worker has gpu>=24");
    let excluded = json!([{ "rule": "label", "detail": "gpu is 16, asked is gpu>=24" }]);
    assert_eq!(told["workers"][0]["excluded"], excluded);
    assert_eq!(told["workers"][0]["matches"], false);
    let job = served.run(&["job", &id, "--json"]).exits(0).json().remove(0);
    assert_eq!((&job["state"], &job["requires"]), (&json!("available"), &json!("gpu>=24,!spot")));
    let shown = served.run(&["job", &id]).exits(0).text();
    assert!(shown.contains("gpu>=24,!spot"), "{shown}");

    let _big = served.worker("big", &["gpu=80"]);
    let big = served.known("big");
    let ended = served.run(&["job", &id, "--wait=60s", "--json"]).exits(0).json().remove(0);
    assert_eq!(ended["worker"], big["id"]);
    let told = served.place(0, &["--requires", "gpu>=24"]);
    assert_eq!(told["verdict"], "1 of 2 workers match, 1 of them with a free slot");

    let shown = served.run(&["workers"]).exits(0).text();
    assert!(shown.contains("gpu=16 region=eu") && shown.contains("gpu=80"), "{shown}");
    let explained =
        served.run(&["place", "--task", "train", "--requires", "gpu>=24", "--explain"]).exits(0);
    let explained = explained.text();
    assert!(explained.contains("no: gpu is 16, asked is gpu>=24"), "{explained}");
    let other = served.place(3, &["--queue", "mail"]);
    assert_eq!(other["verdict"], "no live worker serves queue mail");
}

#[test]
fn a_worker_over_its_load_says_so() {
    let served = Served::new();
    let _worker = served.worker_with("loaded", &["--max-memory", "1%", "--max-cpu=100"]);
    let worker = served.known("loaded");
    let load = &worker["load"];
    assert_eq!(load["max"], json!({ "cpu_percent": 100, "memory_percent": 1 }));
    assert_eq!(load["takes"], 1, "{load}");
    let shown = served.run(&["workers"]).exits(0).text();
    assert!(shown.contains("takes up to 1 job: memory "), "{shown}");
    let told = served.place(0, &["--explain"]);
    let verdict = "1 of 1 worker matches, 1 of them with a free slot, 1 over their load";
    assert_eq!(told["verdict"], verdict);
    assert_eq!(told["workers"][0]["load"]["takes"], 1);
    let explained = served.run(&["place", "--task", "train", "--explain"]).exits(0).text();
    assert!(explained.contains("yes, but takes up to 1 job: memory "), "{explained}");
    let worker = ["worker", "--task=a", "--exec=true", "--max-cpu=200%"];
    let refused = served.run(&worker).exits(2);
    assert!(refused.stderr.contains("write a share from 1% to 100%"), "{}", refused.stderr);
}

#[test]
fn a_claim_by_hand_has_labels() {
    let served = Served::new();
    served.run(&["enqueue", "train", "--requires", "gpu>=24"]).exits(0);
    served.run(&["claim", "--label", "gpu=16"]).exits(3);
    let claimed = served.run(&["claim", "--label", "gpu=24", "--label", "spot", "--json"]).exits(0);
    assert_eq!(claimed.json().remove(0)["task"], "train");
}

#[test]
fn what_makes_no_sense_is_told() {
    let served = Served::new();
    let refused = served.run(&["enqueue", "train", "--requires", "gpu>=many"]).exits(2);
    assert!(refused.stderr.contains(">= compares numbers"), "{}", refused.stderr);
    let refused = served.run(&["claim", "--label", "gpu=24", "--label", "gpu=16"]).exits(1);
    assert!(refused.stderr.contains("label gpu is given twice"), "{}", refused.stderr);
}

#[test]
fn a_job_that_costs_several_slots_says_so() {
    let served = Served::new();
    let enqueued = served.run(&["enqueue", "train", "--cost", "4"]).exits(0);
    let id = enqueued.text().trim().to_owned();
    let shown = served.run(&["job", &id]).exits(0).text();
    assert!(shown.contains("4 slots") && shown.contains("slots>=4"), "{shown}");
    let listed = served.run(&["jobs", "--json"]).exits(0).json().remove(0);
    assert_eq!((&listed["cost"], &listed["requires"]), (&json!(4), &json!("slots>=4")));
    served.run(&["claim", "--max", "3"]).exits(3);
    served.run(&["claim", "--max", "4"]).exits(0);
    let refused = served.run(&["enqueue", "train", "--cost", "0"]).exits(1);
    assert!(refused.stderr.contains("its cost is 0 slots"), "{}", refused.stderr);
}

#[test]
fn jobs_take_from_the_resources_of_their_worker() {
    let served = Served::new();
    let _worker = served.worker_with("host", &["--resource", "memory=64", "--resource", "gpu=2"]);
    let known = served.known("host");
    assert_eq!(known["resources"], json!({ "gpu": 2, "memory": 64 }));
    let enqueued = served.run(&["enqueue", "train", "--take", "memory=8", "--take", "gpu=1"]);
    let id = enqueued.exits(0).text().trim().to_owned();
    until("the job is done", || {
        let listed = served.run(&["jobs", "--json"]).exits(0).json().remove(0);
        listed["state"] == "completed"
    });
    let shown = served.run(&["job", &id]).exits(0).text();
    assert!(shown.contains("1 of gpu,8 of memory"), "{shown}");
    let listed = served.run(&["jobs", "--json"]).exits(0).json().remove(0);
    assert_eq!(listed["takes"], json!({ "gpu": 1, "memory": 8 }));

    let never = served.run(&["enqueue", "train", "--take", "memory=65"]).exits(0);
    let why = served.run(&["why", never.text().trim()]).exits(0).text();
    assert!(why.contains("no live worker has 65 of memory in all, the most is 64"), "{why}");
    let placed = served.place(3, &["--take", "memory=65", "--explain"]);
    let detail = &placed["workers"][0]["excluded"][0]["detail"];
    assert_eq!(detail, "has 64 of memory in all, asked is 65 of memory");
    let table = served.run(&["workers"]).exits(0).text();
    assert!(table.contains("0 of 64 memory taken"), "{table}");
}

#[test]
fn a_claim_by_hand_has_resources() {
    let served = Served::new();
    served.run(&["enqueue", "train", "--take", "memory=8"]).exits(0);
    served.run(&["claim"]).exits(3);
    served.run(&["claim", "--resource", "memory=7"]).exits(3);
    let refused = served.run(&["claim", "--resource", "memory"]).exits(1);
    assert!(refused.stderr.contains("write NAME=AMOUNT"), "{}", refused.stderr);
    served.run(&["claim", "--resource", "memory=8"]).exits(0);
    let refused = served.run(&["enqueue", "train", "--take", "memory=0"]).exits(1);
    assert!(refused.stderr.contains("it takes 0 of memory"), "{}", refused.stderr);
}
