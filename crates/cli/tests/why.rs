//! Why a job does not run yet, at the command line.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use serde_json::json;
use support::Sandbox;

#[test]
fn a_job_that_waits_tells_why() {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| sandbox.run(arguments.iter().chain(&["--data", "data"]));
    let enqueue = ["enqueue", "train", "--requires", "gpu>=24", "--delay", "2h"];
    let id = run(&enqueue).exits(0).text().trim().to_owned();
    run(&["pause", "default"]).exits(0);
    let told = run(&["why", &id]).exits(0).text();
    assert!(told.starts_with("it is scheduled: due in 1h 59m"), "{told}");
    assert!(told.contains("Also: queue default is paused.\n"), "{told}");
    let why = run(&["why", &id, "--json"]).exits(0).json().remove(0);
    let kinds: Vec<_> = why["blockers"].as_array().unwrap().iter().map(|b| &b["kind"]).collect();
    assert_eq!(kinds, [&json!("time"), &json!("paused"), &json!("placement")], "{why}");
    assert_eq!(why["id"], json!(id));

    run(&["resume", "default"]).exits(0);
    run(&["adjust", &id, "--run-at", "2026-01-01T00:00:00Z"]).exits(0);
    let told = run(&["why", &id]).exits(0).text();
    assert!(told.contains("0 jobs of its queue come first."), "{told}");
    run(&["cancel", &id]).exits(0);
    assert_eq!(run(&["why", &id]).exits(0).text(), "it has ended: it is cancelled.\n");
    run(&["why", "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42"]).exits(3);
}
