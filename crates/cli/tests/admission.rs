//! Unique keys, groups, limits and adjusted jobs at the command line.

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

    fn queue(&self, name: &str) -> Value {
        let queues = self.run(&["queues", "--json"]).exits(0).json();
        queues.into_iter().find(|queue| queue["queue"] == name).unwrap()
    }
}

#[test]
fn a_unique_key_has_one_job() {
    let store = Store::new();
    let id = store.enqueue(&["sync", "--unique", "sync 7", "--args", "1"]);
    let again = store.run(&["enqueue", "sync", "--unique", "sync 7", "--args", "2"]).exits(0);
    assert_eq!(again.text().trim(), id);
    assert!(again.stderr.contains("holds the unique key"), "{}", again.stderr);
    assert_eq!(store.job(&id)["args"], 1, "it was kept");

    let strict = ["enqueue", "sync", "--unique", "sync 7", "--on-conflict", "refuse"];
    let refused = store.run(&strict).exits(1);
    assert!(refused.stderr.contains(&id), "{}", refused.stderr);

    let replacing = ["enqueue", "sync", "--unique", "sync 7", "--args", "3", "--priority", "5"];
    let fields = ["--on-conflict", "replace=args,priority", "--json"];
    let told = store.run(&[&replacing[..], &fields].concat()).exits(0).json().remove(0);
    assert_eq!(told, json!({"id": id, "state": "available", "duplicate": true, "replaced": true}));
    let job = store.job(&id);
    assert_eq!((&job["args"], &job["priority"]), (&json!(3), &json!(5)));
    assert_eq!((&job["unique_key"], &job["unique_until"]), (&json!("sync 7"), &json!("finished")));
    let shown = store.run(&["job", &id]).exits(0).text();
    assert!(shown.contains("sync 7 (until finished)"), "{shown}");
    assert_eq!(store.run(&["size", "default"]).exits(0).text(), "1\n");
}

#[test]
fn a_unique_key_is_held_as_long_as_was_said() {
    let store = Store::new();
    let enqueue =
        |until: &str| store.enqueue(&["sync", "--unique", until, "--unique-until", until]);
    let [claimed, timed] = ["claimed", "1h"].map(enqueue);
    assert_eq!(store.job(&timed)["unique_for_ms"], 3_600_000);
    for _ in 0..2 {
        let taken = store.run(&["claim", "--json"]).exits(0).json().remove(0);
        let (id, token) = (taken["id"].as_str().unwrap(), taken["token"].as_str().unwrap());
        store.run(&["report", id, token, "completed"]).exits(0);
    }
    assert_eq!(enqueue("1h"), timed, "held for an hour, although it has ended");
    assert_ne!(enqueue("claimed"), claimed);
}

#[test]
fn limits_are_set_listed_and_taken_away() {
    let store = Store::new();
    store.run(&["limit", "key", "never.set", "--remove"]).exits(0);
    assert!(store.run(&["limits"]).exits(0).stderr.contains("no limits"));
    let set = store.run(&["limit", "queue", "mail", "--concurrency", "20"]).exits(0).text();
    assert_eq!(set, "queue mail: at most 20 at once\n");
    store.run(&["limit", "task", "resize", "--rate", "100/1m", "--burst", "10"]).exits(0);
    store.run(&["limit", "group", "tenant-*", "--queue", "mail", "--concurrency", "2"]).exits(0);
    store.run(&["limit", "key", "api", "--rate", "25/s", "--concurrency", "0"]).exits(0);
    let resize =
        json!({"task": "resize", "rate": {"count": 100, "period_ms": 60_000, "burst": 10}});
    let api = json!({
        "key": "api", "concurrency": 0, "rate": {"count": 25, "period_ms": 1_000, "burst": 1},
    });
    let expected = vec![
        json!({"queue": "mail", "concurrency": 20}),
        resize,
        json!({"queue": "mail", "group": "tenant-*", "concurrency": 2}),
        api,
    ];
    assert_eq!(store.run(&["limits", "--json"]).exits(0).json(), expected);
    let table = store.run(&["limits"]).exits(0).text();
    let row = |name: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.contains(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("resize"), ["task", "resize", "100/1m", "10"]);
    assert_eq!(row("tenant-*"), ["group", "tenant-*", "mail", "2"]);

    store.run(&["limit", "key", "api", "--remove"]).exits(0);
    assert_eq!(store.run(&["limits", "--json"]).exits(0).json(), expected[..3]);
}

#[test]
fn what_makes_no_sense_is_told_and_changes_nothing() {
    let store = Store::new();
    for (arguments, code, word) in [
        (&["limit", "key", "k"][..], 2, "--remove"),
        (&["limit", "colour", "k", "--concurrency", "1"], 2, "queue, task, group, key"),
        (&["limit", "queue", "Mail", "--concurrency", "1"], 1, "\"Mail\""),
        (&["limit", "task", "t", "--queue", "q", "--concurrency", "1"], 1, "group only"),
        (&["limit", "key", "k", "--rate", "5"], 2, "like 100/1m"),
        (&["limit", "key", "k", "--rate", "0/1m"], 1, "zero"),
        (&["limit", "key", "k", "--concurrency", "1", "--remove"], 2, "cannot be used"),
        (&["limit", "key", "k", "--fair"], 1, "only a queue"),
        (&["limit", "task", "t", "--strict"], 1, "only a queue"),
        (&["limit", "queue", "q", "--strict", "--fair"], 1, "fair or strict"),
        (&["limit", "queue", "q", "--weight", "2"], 1, "only a group"),
        (&["limit", "group", "g", "--weight", "0"], 1, "1 to 1000"),
        (&["limit", "key", "k", "--waiting", "2"], 1, "only a queue"),
        (&["limit", "task", "t", "--retries", "2/1m"], 1, "only a queue"),
        (&["limit", "queue", "q", "--retries", "0/1m"], 1, "zero"),
        (&["limit", "queue", "q", "--retries-burst", "2", "--fair"], 2, "--retries"),
        (&["enqueue", "t", "--on-conflict", "refuse"], 2, "--unique"),
        (&["enqueue", "t", "--unique", "k", "--on-conflict", "replace=colour"], 2, "\"colour\""),
        (&["enqueue", "t", "--unique", "k", "--unique-until", "ever"], 2, "claimed"),
        (&["enqueue", "t", "--group", "a*"], 1, "ends in *"),
        (&["adjust", "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42"], 2, "--priority"),
        (&["adjust", "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42", "--priority", "1"], 1, "no such job"),
    ] {
        let ran = store.run(arguments).exits(code);
        assert!(ran.stderr.contains(word), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(store.run(&["limits", "--json"]).exits(0).text(), "");
    assert_eq!(store.run(&["jobs", "--json"]).exits(0).text(), "");
}

#[test]
fn a_limited_group_waits_in_line() {
    let store = Store::new();
    store.run(&["limit", "group", "*", "--queue", "mail", "--concurrency", "1"]).exits(0);
    let ids: Vec<String> = (0..2)
        .map(|_| store.enqueue(&["send", "--queue", "mail", "--group", "a", "--limit-key", "smtp"]))
        .collect();
    let taken = store.run(&["claim", "--queue", "mail", "--json"]).exits(0).json().remove(0);
    assert_eq!(taken["id"], *ids[0]);
    store.run(&["claim", "--queue", "mail"]).exits(3);
    let queue = store.queue("mail");
    assert_eq!((&queue["running"], &queue["in_line"]), (&json!(1), &json!(1)), "{queue}");
    let waiting = store.job(&ids[1]);
    assert_eq!((&waiting["place"], &waiting["group"]), (&json!("line"), &json!("a")));
    assert_eq!(waiting["limit_keys"], json!(["smtp"]));
    let shown = store.run(&["job", &ids[1]]).exits(0).text();
    assert!(shown.contains("in line of group a") && shown.contains("limit keys  smtp"), "{shown}");

    store.run(&["limit", "group", "*", "--queue", "mail", "--remove"]).exits(0);
    let taken = store.run(&["claim", "--queue", "mail", "--json"]).exits(0).json().remove(0);
    assert_eq!(taken["id"], *ids[1]);
}

#[test]
fn the_groups_of_a_fair_queue_take_turns() {
    let store = Store::new();
    let set = store.run(&["limit", "queue", "mail", "--fair"]).exits(0).text();
    assert_eq!(set, "queue mail: its groups take turns\n");
    store.run(&["limit", "group", "gold-*", "--queue", "mail", "--weight", "3"]).exits(0);
    let listed = store.run(&["limits", "--json"]).exits(0).json();
    assert_eq!(listed[0], json!({"queue": "mail", "fair": true}));
    assert_eq!(listed[1], json!({"queue": "mail", "group": "gold-*", "weight": 3}));
    let table = store.run(&["limits"]).exits(0).text();
    assert!(table.contains("fair") && table.contains("weight 3"), "{table}");

    for group in ["a", "a", "a", "b"] {
        store.enqueue(&["send", "--queue", "mail", "--group", group]);
    }
    let claim = || store.run(&["claim", "--queue", "mail", "--json"]).exits(0).json().remove(0);
    let group = |id: &serde_json::Value| store.job(id.as_str().unwrap())["group"].clone();
    let started: Vec<_> = (0..3).map(|_| group(&claim()["id"])).collect();
    assert_eq!(started, ["a", "b", "a"]);
}

#[test]
fn the_most_urgent_job_of_a_strict_queue_is_next() {
    let store = Store::new();
    let set = store.run(&["limit", "queue", "mail", "--strict"]).exits(0).text();
    assert_eq!(set, "queue mail: the most urgent job is next\n");
    let listed = store.run(&["limits", "--json"]).exits(0).json();
    assert_eq!(listed, [json!({"queue": "mail", "strict": true})]);
    assert!(store.run(&["limits"]).exits(0).text().contains("strict"));

    let first = store.enqueue(&["send", "--queue", "mail"]);
    let urgent = store.enqueue(&["send", "--queue", "mail", "--priority", "1"]);
    let why = store.run(&["why", &first]).exits(0).text();
    assert!(why.contains("1 job"), "{why}");
    let claim = || store.run(&["claim", "--queue", "mail", "--json"]).exits(0).json().remove(0);
    assert_eq!([claim()["id"].clone(), claim()["id"].clone()], [urgent, first]);
}

/// Who waits behind the 32 of its group that have a turn is told so.
#[test]
fn a_job_that_waits_for_its_turn_knows_why() {
    let store = Store::new();
    store.run(&["limit", "queue", "mail", "--fair"]).exits(0);
    for _ in 0..32 {
        store.enqueue(&["send", "--queue", "mail", "--group", "a"]);
    }
    let last = store.enqueue(&["send", "--queue", "mail", "--group", "a"]);
    let why = store.run(&["why", &last]).exits(0).text();
    assert!(why.contains("it waits for the turn of group a: its queue is fair"), "{why}");
}

#[test]
fn a_queue_bounds_its_retries_and_what_waits() {
    let store = Store::new();
    let set = ["limit", "queue", "mail", "--retries", "1/1h", "--waiting", "2"];
    let told = store.run(&set).exits(0).text();
    assert_eq!(told, "queue mail: 1 retries in 1h, at most 2 wait\n");
    let retries = json!({"count": 1, "period_ms": 3_600_000, "burst": 1});
    let listed = store.run(&["limits", "--json"]).exits(0).json();
    assert_eq!(listed, [json!({"queue": "mail", "retries": retries, "waiting": 2})]);
    let table = store.run(&["limits"]).exits(0).text();
    assert!(table.contains("RETRIES") && table.contains("1/1h"), "{table}");

    let ids = [1, 2].map(|_| store.enqueue(&["send", "--queue", "mail"]));
    let refused = store.run(&["enqueue", "send", "--queue", "mail"]).exits(1);
    assert!(refused.stderr.contains("queue mail lets 2 jobs wait"), "{}", refused.stderr);
    for _ in &ids {
        let taken = store.run(&["claim", "--queue", "mail", "--json"]).exits(0).json().remove(0);
        let (id, token) = (taken["id"].as_str().unwrap(), taken["token"].as_str().unwrap());
        store.run(&["report", id, token, "failed", "--delay", "0s"]).exits(0);
    }
    let queue = store.queue("mail");
    assert_eq!((&queue["ready"], &queue["scheduled"]), (&json!(1), &json!(1)), "{queue}");
    let why = store.run(&["why", &ids[1]]).exits(0).text();
    assert!(why.contains("the retry budget of queue mail lets 1 retry in 1h come back"), "{why}");
}

#[test]
fn jobs_that_wait_are_adjusted() {
    let store = Store::new();
    let id = store.enqueue(&["t", "--delay", "1h"]);
    let adjusted = store.run(&["adjust", &id, "--priority", "7", "--delay", "0s"]).exits(0);
    assert_eq!(adjusted.text(), "1 job adjusted.\n");
    let job = store.job(&id);
    assert_eq!((&job["priority"], &job["place"]), (&json!(7), &json!("ready")));
    let other = store.enqueue(&["t"]);
    let later = ["adjust", "--queue", "default", "--run-at", "2999-01-01T00:00:00Z"];
    let far = store.run(&later).exits(1);
    assert!(far.stderr.contains("run_at"), "{}", far.stderr);
    store.run(&["adjust", "--queue", "default", "--delay", "2h"]).exits(0);
    for id in [&id, &other] {
        assert_eq!(store.job(id)["place"], "until");
    }
    store.run(&["cancel", &id]).exits(0);
    let ended = store.run(&["adjust", &id, "--priority", "1"]).exits(1);
    assert!(ended.stderr.contains("it is cancelled"), "{}", ended.stderr);
}
