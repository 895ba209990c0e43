//! The commands that look at and operate queues, on a store that nobody serves.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use serde_json::{Value, json};
use support::{Ran, Sandbox};

struct Store(Sandbox);

impl Store {
    fn new() -> Store {
        Store(Sandbox::new())
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.0.run(arguments.iter().chain(&["--data", "data"]))
    }

    fn enqueue(&self, arguments: &[&str]) -> String {
        self.run(&[&["enqueue"], arguments].concat()).exits(0).text().trim().to_owned()
    }

    fn job(&self, id: &str) -> Value {
        self.run(&["job", id, "--json"]).exits(0).json().remove(0)
    }
}

#[test]
fn a_job_is_as_it_was_asked_for() {
    let store = Store::new();
    let id = store.enqueue(&[
        "mail.send",
        "--args",
        "{\"to\": 1}",
        "--queue",
        "mail",
        "--priority",
        "-3",
        "--delay",
        "1h",
        "--max-attempts",
        "7",
        "--timeout",
        "90s",
        "--tag",
        "a",
        "--tag",
        "b",
    ]);
    let job = store.job(&id);
    for (field, value) in [
        ("id", json!(id)),
        ("namespace", json!("default")),
        ("task", json!("mail.send")),
        ("queue", json!("mail")),
        ("args", json!({"to": 1})),
        ("priority", json!(-3)),
        ("max_attempts", json!(7)),
        ("timeout_ms", json!(90_000)),
        ("tags", json!(["a", "b"])),
        ("state", json!("available")),
        ("place", json!("until")),
        ("attempt", json!(0)),
    ] {
        assert_eq!(job[field], value, "{field}");
    }
    let shown = store.run(&["job", &id]).exits(0).text();
    assert!(shown.contains("scheduled in") && shown.contains("enqueued"), "{shown}");
}

#[test]
fn args_come_from_a_file_or_standard_input() {
    let store = Store::new();
    store.0.write("args.json", "[1,\n2]");
    let id = store.enqueue(&["t", "--args", "@args.json"]);
    assert_eq!(store.job(&id)["args"], json!([1, 2]));
    let ran = store.0.run_with(["enqueue", "t", "--args", "-", "--data", "data"], b"\"x\"\n");
    assert_eq!(store.job(ran.exits(0).text().trim())["args"], "x");
}

#[test]
fn the_same_id_twice_makes_one_job() {
    let store = Store::new();
    let id = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";
    assert_eq!(store.enqueue(&["t", "--id", id]), id);
    let again = store.run(&["enqueue", "t", "--id", id]).exits(0);
    assert!(again.stderr.contains("before"), "{}", again.stderr);
    let other = store.run(&["enqueue", "t", "--id", id, "--args", "1"]).exits(1);
    assert!(other.stderr.contains("taken by another job"), "{}", other.stderr);
    assert_eq!(store.run(&["size", "default"]).exits(0).text(), "1\n");
}

#[test]
fn jobs_can_be_filtered_and_paged() {
    let store = Store::new();
    let ids: Vec<String> = (0..5)
        .map(|number| {
            store.enqueue(&[if number % 2 == 0 { "even" } else { "odd" }, "--queue", "q"])
        })
        .collect();
    store.enqueue(&["even", "--queue", "other"]);
    let listed = |arguments: &[&str]| -> Vec<String> {
        let ran = store.run(&[&["jobs", "--json"], arguments].concat()).exits(0);
        ran.json().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        listed(&["--queue", "q", "--task", "even"]),
        [&ids[4], &ids[2], &ids[0]].map(String::clone)
    );
    assert_eq!(listed(&["--state", "dead"]), [""; 0]);
    assert_eq!(listed(&["--all"]).len(), 6);
    let page = store.run(&["jobs", "--queue", "q", "--limit", "2"]).exits(0);
    assert!(page.text().contains(&ids[3]) && !page.text().contains(&ids[2]));
    let next =
        page.stderr.split_whitespace().skip_while(|word| *word != "--before").nth(1).unwrap();
    assert_eq!(
        listed(&["--queue", "q", "--limit", "2", "--before", next]),
        [&ids[2], &ids[1]].map(String::clone)
    );
}

#[test]
fn a_job_is_taken_and_reported_by_hand() {
    let store = Store::new();
    let id = store.enqueue(&["t", "--args", "[1]"]);
    let claimed = store.run(&["claim", "--json"]).exits(0).json().remove(0);
    assert_eq!((&claimed["id"], &claimed["args"]), (&json!(id), &json!([1])));
    let token = claimed["token"].as_str().unwrap();
    assert_eq!(store.job(&id)["state"], "running");
    store.run(&["claim"]).exits(3);
    let wrong = store.run(&["report", &id, "1.1.0000000000000000", "completed"]).exits(1);
    assert!(wrong.stderr.contains("refused"), "{}", wrong.stderr);
    store.run(&["report", &id, token, "completed", "--result", "{\"a\": 1}"]).exits(0);
    store.run(&["report", &id, token, "completed", "--result", "{\"a\": 1}"]).exits(0);
    assert_eq!(store.run(&["job", &id, "--result"]).exits(0).text(), "{\"a\": 1}\n");
}

#[test]
fn the_ends_of_jobs_are_exit_codes() {
    let store = Store::new();
    let id = store.enqueue(&["t"]);
    store.run(&["job", &id, "--wait=1ms"]).exits(4);
    store.run(&["job", "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42"]).exits(3);
    store.run(&["job", "nonsense"]).exits(2);
    let claimed = store.run(&["claim", "--json"]).exits(0).json().remove(0);
    let token = claimed["token"].as_str().unwrap();
    store.run(&["report", &id, token, "failed", "--error", "broken", "--final"]).exits(0);
    let dead = store.run(&["job", &id, "--wait"]).exits(1);
    assert!(
        dead.text().contains("dead (final)") && dead.text().contains("broken"),
        "{}",
        dead.text()
    );
    store.run(&["job", &id]).exits(0);
}

#[test]
fn jobs_are_cancelled_redriven_and_deleted_by_id_and_by_queue() {
    let store = Store::new();
    let ids: Vec<String> = (0..3).map(|_| store.enqueue(&["t", "--queue", "q"])).collect();
    let said = store.run(&["cancel", &ids[0]]).exits(0).text();
    assert_eq!(said, "1 job cancelled.\n");
    let refused = store.run(&["cancel", &ids[0]]).exits(1);
    assert!(refused.stderr.contains("it is cancelled"), "{}", refused.stderr);
    assert_eq!(store.run(&["cancel", "--queue", "q"]).exits(0).text(), "2 jobs cancelled.\n");
    store.run(&["redrive", &ids[1]]).exits(0);
    assert_eq!(store.job(&ids[1])["state"], "available");
    store.run(&["delete", &ids[1]]).exits(1);
    assert_eq!(store.run(&["delete", "--queue", "q"]).exits(0).text(), "2 jobs deleted.\n");
    store.run(&["job", &ids[0]]).exits(3);
    store.run(&["cancel"]).exits(2);
    let list = ids.join("\n");
    store.0.run_with(["cancel", "-", "--data", "data"], list.as_bytes()).exits(1);
    assert_eq!(store.job(&ids[1])["state"], "cancelled");
}

#[test]
fn dead_jobs_are_redriven_by_tag_at_a_rate() {
    let store = Store::new();
    for (tag, times) in [("a", 6), ("b", 1)] {
        for _ in 0..times {
            let id = store.enqueue(&["add", "--tag", tag, "--max-attempts", "1"]);
            let taken = store.run(&["claim", "--json"]).exits(0).json().remove(0);
            let token = taken["token"].as_str().unwrap();
            store.run(&["report", &id, token, "failed", "--error", "it broke"]).exits(0);
        }
    }
    let began = std::time::Instant::now();
    let redrive = ["redrive", "--queue", "default", "--tag", "a", "--rate", "10/1s"];
    assert_eq!(store.run(&redrive).exits(0).text(), "6 jobs redriven.\n");
    assert!(began.elapsed() >= std::time::Duration::from_millis(500), "one each 100 ms");
    for wrong in ["0/1m", "5/0s", "5"] {
        let refused = store.run(&["redrive", "--queue", "default", "--rate", wrong]).exits(2);
        assert!(refused.stderr.contains("like 100/1m"), "{}", refused.stderr);
    }
    let queue = store.run(&["queues", "--json"]).exits(0).json().remove(0);
    assert_eq!((&queue["ready"], &queue["dead"]), (&6.into(), &1.into()), "{queue}");
}

#[test]
fn queues_can_be_looked_at_paused_and_resumed() {
    let store = Store::new();
    let id = store.enqueue(&["t", "--queue", "q"]);
    store.run(&["size", "q", "--is-empty"]).exits(1);
    store.run(&["size", "none", "--is-empty"]).exits(0);
    let peeked = store.run(&["peek", "q", "--json"]).exits(0).json();
    assert_eq!(peeked[0]["id"], id);
    store.run(&["pause", "q"]).exits(0);
    store.run(&["claim", "--queue", "q"]).exits(3);
    let queues = store.run(&["queues", "--json"]).exits(0).json();
    assert_eq!(
        (&queues[0]["queue"], &queues[0]["paused"], &queues[0]["ready"]),
        (&json!("q"), &json!(true), &json!(1))
    );
    assert!(store.run(&["queues"]).exits(0).text().contains("(paused)"));
    store.run(&["resume", "q"]).exits(0);
    store.run(&["claim", "--queue", "q"]).exits(0);
}

#[test]
fn namespaces_do_not_see_each_other() {
    let store = Store::new();
    let id = store.enqueue(&["t", "--namespace", "acme"]);
    store.run(&["job", &id]).exits(3);
    store.run(&["job", &id, "--namespace", "acme"]).exits(0);
    store.run(&["claim"]).exits(3);
}

#[test]
fn the_store_tells_what_it_promises() {
    let store = Store::new();
    store.enqueue(&["t"]);
    let told = store.run(&["doctor", "--json"]).exits(0).json().remove(0);
    assert_eq!((&told["kind"], &told["durability"]), (&json!("file"), &json!("D2")));
    assert!(store.run(&["doctor"]).exits(0).text().contains("synced before the answer"));
}

#[test]
fn a_closed_store_can_be_checked() {
    let store = Store::new();
    store.enqueue(&["t"]);
    let found = store.run(&["fsck", "--json"]).exits(0).json().remove(0);
    assert_eq!((&found["sound"], &found["faults"]), (&json!(true), &json!([])));
    assert!(store.run(&["fsck"]).exits(0).text().contains("is sound"));
    let served = store.0.start(["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    served.says("Serving");
    store.run(&["fsck"]).exits(1);
    drop(served);
    let table = store.0.path("data/table.db");
    let mut bytes = std::fs::read(&table).unwrap();
    let end = bytes.len();
    bytes[end / 2..].fill(0x5a);
    std::fs::write(&table, bytes).unwrap();
    let ran = store.run(&["fsck"]).exits(1);
    assert!(!ran.stderr.is_empty());
    assert!(store.0.run(["fsck", "--data", "nowhere"]).exits(1).stderr.contains("no store"));
}

#[test]
fn mistakes_are_errors_of_one_line_that_say_what_to_do() {
    let store = Store::new();
    for (arguments, code, said) in [
        (vec!["jobs"], 1, "there is no store"),
        (vec!["enqueue", "t", "--args", "{\"a\":}"], 1, "line 1 column 6"),
        (vec!["enqueue", "t", "--args", "@missing"], 1, "@missing"),
        (vec!["enqueue", "T"], 2, "not a valid name"),
        (vec!["enqueue", "t", "--delay", "10"], 2, "unit"),
        (vec!["enqueue", "t", "--priority", "11"], 1, "11"),
        (vec!["enqueue", "t", "--run-at", "tomorrow"], 2, "instant"),
        (vec!["jobs", "--state", "done"], 2, "completed"),
    ] {
        let ran = store.run(&arguments).exits(code);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        if code == 1 {
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        }
    }
    assert!(
        store
            .0
            .run(["jobs", "--server", "http://127.0.0.1:1"])
            .exits(1)
            .stderr
            .contains("127.0.0.1:1")
    );
}
