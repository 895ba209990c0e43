//! A worker that is stopped beyond its lease, and goes on.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{Client, Server};
use crate::support::{Sandbox, Started, is_alive, until};

/// The first attempt of one job ends while its worker is stopped, that of the other never does.
const SCRIPT: &str = r#"
input=$(cat)
echo "$TASKWRIGHT_ATTEMPT $$ $input" >> began
case "$TASKWRIGHT_ATTEMPT $input" in
    '1 "sleeps"') exec sleep 600 ;;
    '1 "ends"') while [ ! -e go ]; do sleep 0.02; done; echo '"first"' ;;
    *) echo '"second"' ;;
esac"#;

fn worker(server: &Server, sandbox: &Sandbox) -> (Started, String) {
    let serve = ["worker", "--json", "--task", "t", "--queue", "q", "--slots", "2"];
    let command = server.command(sandbox, &[&serve[..], &["--exec", "./job.sh"]].concat());
    let started = Started::of(command);
    let line: Value = serde_json::from_str(&started.says("\"worker\"")).unwrap();
    (started, line["worker"].as_str().unwrap().to_owned())
}

fn enqueue(client: &mut Client, args: &str) -> String {
    let job = json!({"task": "t", "queue": "q", "args": args});
    let reply = client.post("/v1/jobs", &job).unwrap();
    reply["jobs"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_worker_stopped_beyond_its_lease_is_told_and_its_late_report_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.script("job.sh", SCRIPT);
    let server = Server::start(&sandbox);
    let mut client = server.client();
    let (mut first, first_id) = worker(&server, &sandbox);
    let ids = ["sleeps", "ends"].map(|args| enqueue(&mut client, args));
    until("both jobs run", || sandbox.lines("began").len() == 2);
    first.signal(Signal::STOP);
    sandbox.write("go", "");
    let (mut second, second_id) = worker(&server, &sandbox);
    // This takes the lease of 15 seconds.
    for id in &ids {
        until("the other worker has done it", || {
            let job = client.get(&format!("/v1/jobs/{id}?wait_ms=20000")).unwrap();
            job["state"] == "completed"
        });
    }
    let began = sandbox.lines("began");
    let sleeper = began.iter().find(|line| line.starts_with("1 ") && line.contains("sleeps"));
    let sleeper = sleeper.unwrap().split(' ').nth(1).unwrap().to_owned();
    assert!(is_alive(&sleeper), "nobody has told it yet");

    first.signal(Signal::CONT);
    for _ in &ids {
        let line: Value = serde_json::from_str(&first.says("\"accepted\"")).unwrap();
        assert_eq!((&line["accepted"], &line["attempt"]), (&json!(false), &json!(1)), "{line}");
    }
    until("the command of the lost attempt is killed", || !is_alive(&sleeper));
    for id in &ids {
        let job = client.get(&format!("/v1/jobs/{id}")).unwrap();
        assert_eq!(
            (&job["state"], &job["result"]),
            (&json!("completed"), &json!("second")),
            "{job}"
        );
        assert_eq!((&job["failures"], &job["losses"]), (&json!(0), &json!(1)), "{job}");
        let lost = &job["attempts"][0];
        assert_eq!(
            (&lost["verdict"], &lost["worker"]),
            (&json!("lost"), &json!(first_id)),
            "{job}"
        );
        assert_eq!(job["worker"], json!(second_id), "{job}");
    }
    second.signal(Signal::TERM);
    assert_eq!(second.ended(), Some(0));

    let id = enqueue(&mut client, "more");
    let job = client.get(&format!("/v1/jobs/{id}?wait_ms=20000")).unwrap();
    assert_eq!((&job["state"], &job["worker"]), (&json!("completed"), &json!(first_id)), "{job}");
    first.signal(Signal::TERM);
    assert_eq!(first.ended(), Some(0));
}
