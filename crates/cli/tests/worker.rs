//! `taskwright worker` with commands in another language: the shell.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Ran, Sandbox, Started, is_alive, until};

/// A store that is served, and how to reach it.
struct Served {
    sandbox: Sandbox,
    server: Started,
    url: String,
}

impl Served {
    fn new() -> Served {
        let sandbox = Sandbox::new();
        let server =
            sandbox.start(["serve", "--data", "data", "--listen", "127.0.0.1:0", "--json"]);
        let line: Value = serde_json::from_str(&server.says("listening")).unwrap();
        let url = line["listening"].as_str().unwrap().to_owned();
        Served { sandbox, server, url }
    }

    fn token(&self) -> String {
        self.sandbox.read("data/token").trim().to_owned()
    }

    fn worker(&self, command: &str, more: &[&str]) -> Started {
        let mut worker = self.sandbox.taskwright(["worker", "--server", &self.url]);
        worker.args(["--task", "t", "--exec", command, "--slots", "2", "--json"]).args(more);
        worker.env("TASKWRIGHT_TOKEN", self.token());
        let worker = Started::of(worker);
        worker.says("slots");
        worker
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.sandbox.run(arguments.iter().chain(&["--data", "data"]))
    }

    fn enqueue(&self, more: &[&str]) -> String {
        let ran = self.run(&[&["enqueue", "t"], more].concat()).exits(0);
        ran.text().trim().to_owned()
    }

    /// The job once it has ended.
    fn ended(&self, id: &str, code: i32) -> Value {
        self.run(&["job", id, "--wait=60s", "--json"]).exits(code).json().remove(0)
    }

    fn job(&self, id: &str) -> Value {
        self.run(&["job", id, "--json"]).exits(0).json().remove(0)
    }
}

#[test]
fn args_come_on_standard_input_and_the_result_goes_to_standard_output() {
    let served = Served::new();
    let _worker = served.worker("cat", &[]);
    let id = served.enqueue(&["--args", r#"{"b": [1, 2.50], "a": "é"}"#]);
    let job = served.ended(&id, 0);
    assert_eq!(job["result"], json!({"b": [1, 2.50], "a": "é"}));
    let printed = served.run(&["job", &id, "--result"]).exits(0).text();
    assert_eq!(printed, "{\"b\": [1, 2.50], \"a\": \"é\"}\n", "unread and unchanged");
}

#[test]
fn output_that_is_no_json_is_a_text() {
    let served = Served::new();
    let _worker =
        served.worker(r#"sh -c 'echo "hello $TASKWRIGHT_TASK $TASKWRIGHT_ATTEMPT"'"#, &[]);
    let id = served.enqueue(&[]);
    assert_eq!(served.ended(&id, 0)["result"], "hello t 1");
}

#[test]
fn exit_codes_decide() {
    let served = Served::new();
    served.sandbox.script("task", "read code; echo said $code >&2; exit $code");
    let _worker = served.worker("./task", &["--snooze", "1ms"]);

    let id = served.enqueue(&["--args", "65"]);
    let job = served.ended(&id, 1);
    assert_eq!((&job["state"], &job["cause"]), (&json!("dead"), &json!("final")));
    assert_eq!(job["error"], json!({"kind": "exit", "message": "exit code 65: said 65"}));

    let id = served.enqueue(&["--args", "3", "--max-attempts", "2", "--retry-delay", "1ms"]);
    let job = served.ended(&id, 1);
    assert_eq!(
        (&job["state"], &job["cause"], &job["failures"]),
        (&json!("dead"), &json!("exhausted"), &json!(2))
    );
    assert_eq!(job["attempts"].as_array().unwrap().len(), 2);

    served.sandbox.script("later", "test $TASKWRIGHT_ATTEMPT -gt 1 || exit 75");
    let _later = served.worker("./later", &["--snooze", "1ms", "--queue", "later"]);
    let id = served.enqueue(&["--queue", "later"]);
    let job = served.ended(&id, 0);
    assert_eq!((&job["attempt"], &job["failures"]), (&json!(2), &json!(0)));
    assert_eq!(job["attempts"][0]["verdict"], "snoozed");
}

#[test]
fn a_signal_is_a_failure_that_names_it() {
    let served = Served::new();
    let _worker = served.worker("sh -c 'kill -SEGV $$'", &[]);
    let id = served.enqueue(&["--max-attempts", "1"]);
    let error = &served.ended(&id, 1)["error"];
    assert_eq!(error["kind"], "signal");
    assert!(error["message"].as_str().unwrap().contains("SIGSEGV"), "{error}");
}

#[test]
fn the_secrets_of_the_worker_are_not_in_the_environment() {
    let served = Served::new();
    let _worker = served.worker("sh -c 'env | grep ^TASKWRIGHT_ | sort | cut -d= -f1'", &[]);
    let id = served.enqueue(&[]);
    let names = "TASKWRIGHT_ATTEMPT\nTASKWRIGHT_JOB_ID\nTASKWRIGHT_QUEUE\nTASKWRIGHT_TASK";
    assert_eq!(served.ended(&id, 0)["result"], names);
}

#[test]
fn a_command_is_told_which_shard_it_has() {
    let served = Served::new();
    let _worker = served
        .worker("sh -c 'echo $TASKWRIGHT_SHARD_INDEX of $TASKWRIGHT_SHARD_TOTAL, $(cat)'", &[]);
    let id = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";
    let arguments = ["--shards", "3", "--args", "7", "--id", id];
    let ids = served.enqueue(&arguments);
    assert_eq!(served.enqueue(&arguments), ids, "the same again makes nothing new");
    let ids: Vec<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 3);
    for (index, id) in ids.iter().enumerate() {
        let job = served.ended(id, 0);
        assert_eq!(job["result"], format!("{index} of 3, 7"));
        assert_eq!((&job["shard_index"], &job["shard_total"]), (&json!(index), &json!(3)));
    }
    let shown = served.run(&["job", ids[2]]).exits(0).text();
    assert!(shown.contains("3 of 3, index 2"), "{shown}");
    for wrong in ["0", "1001"] {
        served.run(&["enqueue", "t", "--shards", wrong]).exits(2);
    }
}

#[test]
fn a_timeout_kills_the_whole_process_group() {
    let served = Served::new();
    served
        .sandbox
        .script("slow", "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > own; wait; wait");
    let _worker = served.worker("./slow", &[]);
    let id = served.enqueue(&["--timeout", "300ms", "--max-attempts", "1"]);
    let job = served.ended(&id, 1);
    assert_eq!((&job["state"], &job["error"]["kind"]), (&json!("dead"), &json!("timeout")));
    until("all are gone", || {
        ["own", "child"].iter().all(|name| !is_alive(&served.sandbox.read(name)))
    });
}

#[test]
fn cancel_stops_the_command() {
    let served = Served::new();
    served.sandbox.script("slow", "sleep 1000 & echo $! > child; echo $$ > own; wait");
    let _worker = served.worker("./slow", &[]);
    let id = served.enqueue(&[]);
    until("it runs", || !served.sandbox.read("own").is_empty());
    let asked = Instant::now();
    served.run(&["cancel", &id, "--reason", "no longer needed"]).exits(0);
    let job = served.ended(&id, 1);
    // With heartbeats alone it would take up to 5 seconds; 2 are promised to a machine at ease.
    let taken = asked.elapsed();
    assert!(taken < Duration::from_millis(3_500), "the command was told after {taken:?}");
    assert_eq!(
        (&job["state"], &job["cancel_reason"]),
        (&json!("cancelled"), &json!("no longer needed"))
    );
    until("all are gone", || {
        ["own", "child"].iter().all(|name| !is_alive(&served.sandbox.read(name)))
    });
}

#[test]
fn a_killed_worker_leaves_no_process_and_its_job_runs_elsewhere() {
    let served = Served::new();
    served.sandbox.script(
        "slow",
        "test -e go && exit; trap '' TERM HUP INT; sleep 1000 & echo $! > child; echo $$ > own; wait",
    );
    let mut worker = served.worker("./slow", &[]);
    let id = served.enqueue(&[]);
    until("it runs", || !served.sandbox.read("own").is_empty());
    served.sandbox.write("go", "");
    worker.kill();
    until("all are gone", || {
        ["own", "child"].iter().all(|name| !is_alive(&served.sandbox.read(name)))
    });
    let _second = served.worker("./slow", &[]);
    let job = served.ended(&id, 0);
    assert_eq!((&job["attempt"], &job["failures"]), (&json!(2), &json!(0)));
    assert_eq!(job["attempts"][0]["verdict"], "lost");
}

#[test]
fn asked_to_end_a_worker_lets_its_jobs_finish_or_gives_them_back() {
    let served = Served::new();
    served
        .sandbox
        .script("task", "read code; echo $$ > own; until test -e go; do sleep 0.01; done");
    let mut worker = served.worker("./task", &["--grace", "1h"]);
    let id = served.enqueue(&[]);
    until("it runs", || !served.sandbox.read("own").is_empty());
    worker.signal(Signal::TERM);
    worker.complains("Stopping");
    served.sandbox.write("go", "");
    assert_eq!(worker.ended(), Some(0));
    assert_eq!(served.ended(&id, 0)["attempt"], 1);

    std::fs::remove_file(served.sandbox.path("go")).unwrap();
    std::fs::remove_file(served.sandbox.path("own")).unwrap();
    let mut worker = served.worker("./task", &["--grace", "1h"]);
    let id = served.enqueue(&[]);
    until("it runs", || !served.sandbox.read("own").is_empty());
    worker.signal(Signal::INT);
    worker.complains("Stopping");
    worker.signal(Signal::INT);
    assert_eq!(worker.ended(), Some(0));
    assert!(!is_alive(&served.sandbox.read("own")));
    let job = served.job(&id);
    assert_eq!((&job["state"], &job["failures"]), (&json!("available"), &json!(0)));
}

#[test]
fn output_beyond_the_limit_is_a_final_error() {
    let served = Served::new();
    let _worker = served.worker("yes", &[]);
    let id = served.enqueue(&[]);
    let job = served.ended(&id, 1);
    assert_eq!((&job["cause"], &job["error"]["kind"]), (&json!("final"), &json!("output")));
}

#[test]
fn a_worker_runs_on_a_store_that_nobody_serves() {
    let sandbox = Sandbox::new();
    let id = sandbox.run(["enqueue", "t", "--data", "data"]).exits(0).text();
    let mut worker =
        sandbox.start(["worker", "--data", "data", "--task", "t", "--exec", "echo 1", "--verbose"]);
    worker.complains("completed after");
    // Others reach the store through it.
    let ran = sandbox.run(["job", id.trim(), "--data", "data", "--result", "--wait"]).exits(0);
    assert_eq!(ran.text(), "1\n");
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended(), Some(0));
}

#[test]
fn the_server_ends_when_asked() {
    let mut served = Served::new();
    served.server.signal(Signal::TERM);
    served.server.complains("Stopped");
    assert_eq!(served.server.ended(), Some(0));
}
