//! The cost matrix at the command line.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use serde_json::{Value, json};
use support::Sandbox;

#[test]
fn a_server_tells_what_passed_through_it() {
    let sandbox = Sandbox::new();
    let server = sandbox.start(["serve", "--data", "data", "--listen", "127.0.0.1:0", "--json"]);
    let line: Value = serde_json::from_str(&server.says("listening")).unwrap();
    let url = line["listening"].as_str().unwrap();
    let token = sandbox.read("data/token");
    let run = |arguments: &[&str]| sandbox.run(arguments.iter().chain(&["--data", "data"]));

    let nothing = run(&["costs"]).exits(0);
    assert!(nothing.stderr.contains("No attempt has passed through"), "{}", nothing.stderr);

    for task in ["resize", "resize", "mail"] {
        run(&["enqueue", task]).exits(0);
    }
    for outcome in ["completed", "failed", "completed"] {
        let job = run(&["claim", "--json"]).exits(0).json().remove(0);
        let text = |field: &str| job[field].as_str().unwrap().to_owned();
        run(&["report", &text("id"), &text("token"), outcome]).exits(0);
    }

    let costs = run(&["costs", "--json"]).exits(0).json().remove(0);
    let tasks: Vec<&Value> =
        costs["tasks"].as_array().unwrap().iter().map(|row| &row["task"]).collect();
    assert_eq!(tasks, [&json!("mail"), &json!("resize")], "{costs}");
    assert_eq!(
        costs["workers"].as_array().unwrap().len(),
        3,
        "a claim by hand is a worker: {costs}"
    );
    let total = &costs["total"];
    let counts = [&total["completed"], &total["failed"], &total["waiting"]["count"]];
    assert_eq!(counts, [&json!(2), &json!(1), &json!(3)], "{costs}");
    assert!(total["waiting"]["max_ms"].as_f64().unwrap() > 0.0, "{costs}");

    let shown = run(&["costs"]).exits(0).text();
    assert!(shown.contains("3 attempts started, 2 completed, 1 failed"), "{shown}");
    for word in ["TASK (WAITING + RUNNING)", "resize", "mail", "sum", "RUNNING MEAN", "P99"] {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }

    let mut over_http = sandbox.taskwright(["costs", "--json", "--server", url]);
    let over_http = over_http.env("TASKWRIGHT_TOKEN", token.trim()).output().unwrap();
    let told: Value = serde_json::from_slice(&over_http.stdout).unwrap();
    for field in ["node", "tasks", "workers", "cells", "total"] {
        assert_eq!(told[field], costs[field], "{field}");
    }
}
