//! `taskwright move`, killed and begun again.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Sandbox, until};
use taskwright::{JobRequest, Json, Name, Taskwright};

const JOBS: usize = 10_000;
const KILLS: u64 = 5;

/// Makes a store with many jobs that wait, some for tomorrow, and some that were cancelled.
fn fill(sandbox: &Sandbox) {
    let url = format!("file:{}", sandbox.path("old").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = Taskwright::connect(&url).await.unwrap();
        for first in (0..JOBS).step_by(1_000) {
            let requests = (first..first + 1_000).map(request).collect();
            app.enqueue_requests(requests, false).await.unwrap();
        }
        app.pause("queue-1").await.unwrap();
        app.close().await.unwrap();
    });
    sandbox.run(["cancel", "--queue", "queue-2", "--data", "old"]).exits(0);
}

fn request(number: usize) -> JobRequest {
    let args = Json::from_trusted(format!("{{\"number\": {number}}}"));
    let queue = Name::new(format!("queue-{}", number % 4)).unwrap();
    JobRequest { queue, ..JobRequest::new(Name::new("task").unwrap(), args) }
}

fn counts(sandbox: &Sandbox, data: &str) -> Vec<Value> {
    let mut queues = sandbox.run(["queues", "--json", "--data", data]).exits(0).json();
    for queue in &mut queues {
        queue.as_object_mut().unwrap().remove("paused");
    }
    queues
}

/// Killed at any moment, a move goes on where it was; in the end all is there once.
#[test]
fn a_killed_move_goes_on() {
    let sandbox = Sandbox::new();
    fill(&sandbox);
    let mut killed = 0;
    for round in 0..KILLS {
        let mut moving = sandbox.start(["move", "old", "new"]);
        until("the destination is made", || sandbox.path("new/journal").exists());
        let begin = Instant::now();
        let chance = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9 + round) % 200;
        until("a moment by chance", || begin.elapsed() >= Duration::from_millis(chance));
        moving.signal(Signal::KILL);
        killed += u32::from(moving.ended().is_none());
    }
    assert!(killed > 0, "some were killed before they were done");

    let moved = sandbox.run(["move", "old", "new", "--json"]).exits(0).json().remove(0);
    println!("killed {killed} times; then: {moved}");
    assert_eq!((&moved["verified"], &moved["jobs"]), (&json!(true), &json!(JOBS)));
    let (written, known) = (moved["written"].as_u64().unwrap(), moved["known"].as_u64().unwrap());
    assert_eq!(written + known, JOBS as u64);
    assert_eq!(moved["checksum_from"], moved["checksum_to"]);
    assert_eq!(counts(&sandbox, "old"), counts(&sandbox, "new"));
    sandbox.run(["fsck", "--data", "new"]).exits(0);

    let paused = |data| {
        let queues = sandbox.run(["queues", "--json", "--data", data]).exits(0).json();
        queues.iter().filter(|queue| queue["paused"] == json!(true)).count()
    };
    assert_eq!((paused("old"), paused("new")), (4, 1));
    sandbox.run(["claim", "--queue", "queue-0", "--data", "old"]).exits(3);
    sandbox.run(["claim", "--queue", "queue-0", "--data", "new"]).exits(0);
}

#[test]
fn a_move_says_what_it_did_and_what_is_wrong() {
    let sandbox = Sandbox::new();
    let enqueue = |data: &str| {
        sandbox.run(["enqueue", "task", "--data", data]).exits(0).text().trim().to_owned()
    };
    let job = enqueue("old");
    let copied = sandbox.run(["move", "old", "copy", "--copy"]).exits(0);
    assert!(copied.text().contains("Verified: 1 job copied (1 by this run)"), "{copied:?}");
    sandbox.run(["cancel", &job, "--data", "copy"]).exits(0);
    sandbox.run(["delete", &job, "--data", "copy"]).exits(0);
    let missing = sandbox.run(["move", "old", "copy", "--copy"]).exits(1);
    assert!(
        missing.stderr.contains(&format!("job {job} is not in the destination")),
        "{missing:?}"
    );
    assert!(missing.text().contains("Not verified: 1 missing and 0 different"), "{missing:?}");

    let moved = sandbox.run(["move", "old", "new"]).exits(0);
    assert!(moved.text().contains("All queues of old are paused"), "{moved:?}");
    assert!(moved.text().contains("delete it: rm -r old"), "{moved:?}");
    assert_eq!(
        moved.text().lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["default", "default", "available", "1", "1"]
    );
    let again = sandbox.run(["move", "old", "new"]).exits(0);
    assert!(again.stderr.contains("not empty: 1 job was there before"), "{again:?}");

    for (arguments, message) in [
        (["move", "old", "./old"], "into itself"),
        (["move", "old", "third"], "was moved before, to file:"),
        (["move", "nowhere", "new"], "there is no store at nowhere"),
        (["move", "http://localhost:1", "new"], "stop that server"),
    ] {
        let refused = sandbox.run(arguments).exits(1);
        assert!(refused.stderr.contains(message), "{arguments:?}: {}", refused.stderr);
    }
}
