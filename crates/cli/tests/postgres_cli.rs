//! The commands on a PostgreSQL database: `--store postgres://…`, and nothing else changes.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use serde_json::Value;
use support::{Ran, Sandbox, Started, until};
use taskwright_testbed::{Schema, available, fresh_schema};

/// A database of a test's own, and a directory to work in.
struct Place {
    sandbox: Sandbox,
    url: String,
    _schema: Schema,
}

impl Place {
    fn new(test: &str) -> Option<Place> {
        let schema = available(&format!("postgres_cli::{test}"), fresh_schema())?;
        let mark = if schema.url().contains('?') { '&' } else { '?' };
        let url = format!("{}{mark}schema={}", schema.url(), schema.name());
        Some(Place { sandbox: Sandbox::new(), url, _schema: schema })
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.sandbox.run(arguments.iter().chain(&["--store", &self.url]))
    }

    fn start(&self, arguments: &[&str]) -> Started {
        self.sandbox.start(arguments.iter().chain(&["--store", &self.url]))
    }

    fn serve(&self, data: &str) -> (Started, String) {
        let server = self.start(&["serve", "--listen", "127.0.0.1:0", "--json", "--data", data]);
        let line: Value = serde_json::from_str(&server.says("listening")).unwrap();
        assert_eq!(line["token_file"], format!("{data}/token"));
        (server, line["listening"].as_str().unwrap().to_owned())
    }
}

#[test]
fn servers_workers_and_commands_share_a_database() {
    let Some(place) = Place::new("share") else { return };
    let (_one, url_of_one) = place.serve("one");
    let (_two, url_of_two) = place.serve("two");
    let worker = place.start(&["worker", "--task", "shout", "--exec", "tr a-z A-Z", "--json"]);
    worker.says("slots");

    // Enqueued through one server, run by a worker on the database, waited for at the other server.
    let mut enqueue = place.sandbox.taskwright(["enqueue", "shout", "--args", "\"hello\""]);
    enqueue.env("TASKWRIGHT_TOKEN", place.sandbox.read("one/token").trim());
    let enqueued = enqueue.args(["--server", &url_of_one]).output().unwrap();
    assert!(enqueued.status.success(), "{enqueued:?}");
    let id = String::from_utf8(enqueued.stdout).unwrap().trim().to_owned();
    let mut wait = place.sandbox.taskwright(["job", &id, "--wait=60s", "--json"]);
    wait.env("TASKWRIGHT_TOKEN", place.sandbox.read("two/token").trim());
    let waited = wait.args(["--server", &url_of_two]).output().unwrap();
    let job: Value = serde_json::from_slice(&waited.stdout).unwrap();
    assert_eq!((&job["state"], &job["result"]), (&"completed".into(), &"HELLO".into()), "{job}");

    let jobs = place.run(&["jobs", "--json"]).exits(0).json();
    assert_eq!((jobs.len(), &jobs[0]["id"]), (1, &Value::from(id)));
    let queues = place.run(&["queues", "--json"]).exits(0).json();
    assert_eq!(queues[0]["completed"], 1);
    assert_eq!(place.run(&["workers", "--json"]).exits(0).json().len(), 1);

    // Two servers, the worker, and the command itself.
    let nodes = place.run(&["nodes", "--json"]).exits(0).json();
    assert_eq!(nodes.len(), 4, "{nodes:?}");
    let table = place.run(&["nodes"]).exits(0).text();
    assert!(table.contains("LAST SEEN") && table.lines().count() == 5, "{table}");

    let described = place.run(&["doctor", "--json"]).exits(0).json().remove(0);
    assert_eq!(described["kind"], "postgres");
    assert!(described["facts"]["synchronous_commit"].is_string(), "{described}");
}

#[test]
fn each_keeps_its_run_in_the_database() {
    let Some(place) = Place::new("each") else { return };
    let each = |more: &[&str], inputs: &[&str]| {
        let arguments = [&["each", "--quiet", "--run", "r", "--exec", "./shout"], more, inputs];
        place.run(&arguments.concat())
    };
    place.sandbox.script("shout", "echo \"$1\" >> ran; test \"$1\" != bad && echo \"$1!\"");
    let first = each(&["--retries", "0"], &["a", "b", "bad"]).exits(1);
    assert_eq!(first.text(), "a!\nb!\n");
    // Only what failed runs again.
    place.sandbox.script("shout", "echo \"$1\" >> ran; echo \"$1!\"");
    assert_eq!(each(&[], &["a", "b", "bad"]).exits(0).text(), "a!\nb!\nbad!\n");
    assert_eq!(place.sandbox.lines("ran").len(), 4);
    // It was completed: the same command begins a new run.
    assert_eq!(each(&[], &["a", "b", "bad"]).exits(0).text(), "a!\nb!\nbad!\n");
    assert_eq!(place.sandbox.lines("ran").len(), 7);
    assert!(place.sandbox.runs().is_empty(), "nothing is kept in files");
}

#[test]
fn a_run_with_failures_can_be_begun_anew() {
    let Some(place) = Place::new("each_new") else { return };
    let each = |more: &[&str], input: &str| {
        let arguments = ["each", "--quiet", "--run", "r", "--retries", "0", "--exec", "./only"];
        place.run(&[&arguments, more, &[input]].concat())
    };
    place.sandbox.script("only", "test \"$1\" != bad && echo \"$1\"");
    each(&[], "bad").exits(1);
    assert_eq!(each(&["--new"], "good").exits(0).text(), "good\n");
}

#[test]
fn the_environment_names_the_database_too() {
    let Some(place) = Place::new("environment") else { return };
    let with = |arguments: &[&str], more: &[(&str, &str)]| {
        let mut command = place.sandbox.taskwright(arguments);
        command.env("TASKWRIGHT_STORE", &place.url).envs(more.iter().copied());
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), said.concat())
    };
    assert_eq!(with(&["enqueue", "t"], &[]).0, Some(0));
    assert_eq!(with(&["size", "default"], &[]).1, "1\n");
    let (code, said) = with(&["size", "default", "--data", "elsewhere"], &[]);
    assert!(code == Some(1) && said.contains("there is no store at elsewhere"), "{said}");
    let (code, said) = with(&["jobs"], &[("TASKWRIGHT_SERVER", "http://127.0.0.1:1")]);
    assert!(code == Some(1) && said.contains("unset one"), "{said}");
}

#[test]
fn places_that_contradict_each_other_are_refused() {
    let sandbox = Sandbox::new();
    let store = "postgres://me:secret@127.0.0.1:1/db?deadline_ms=100";
    for more in [["--data", "d"], ["--server", "http://127.0.0.1:1"]] {
        let refused = sandbox.run(["jobs", "--store", store].iter().chain(&more)).exits(2);
        assert!(refused.stderr.contains("cannot be used with"), "{}", refused.stderr);
    }
    let refused = sandbox.run(["jobs", "--store", "http://127.0.0.1:7600"]).exits(1);
    assert!(refused.stderr.contains("--server"), "{}", refused.stderr);
    let refused = sandbox.run(["fsck", "--store", store]).exits(1);
    assert!(refused.stderr.contains("--data"), "{}", refused.stderr);
    // Nobody is there, and the password stays unsaid.
    let gone = sandbox.run(["jobs", "--store", store]).exits(1);
    assert!(gone.stderr.contains("127.0.0.1:1/db") && !gone.stderr.contains("secret"), "{gone:?}");
}

#[test]
fn a_killed_worker_gives_its_jobs_back() {
    let Some(place) = Place::new("killed") else { return };
    let first = &mut place.start(&["worker", "--task", "t", "--exec", "sleep 600", "--json"]);
    first.says("slots");
    let id = place.run(&["enqueue", "t"]).exits(0).text().trim().to_owned();
    let job = || place.run(&["job", &id, "--json"]).exits(0).json().remove(0);
    until("the job runs", || job()["state"] == "running");
    first.kill();
    let second = place.start(&["worker", "--task", "t", "--exec", "cat", "--json"]);
    second.says("slots");
    let ended = place.run(&["job", &id, "--wait=60s", "--json"]).exits(0).json().remove(0);
    assert_eq!((&ended["state"], &ended["attempt"]), (&"completed".into(), &2.into()), "{ended}");
}

#[test]
fn a_store_moves_into_a_database_and_back() {
    let Some(place) = Place::new("move") else { return };
    let args = ["enqueue", "t", "--delay", "1h", "--data", "data", "--args", "[1,2]"];
    let id = place.sandbox.run(args).exits(0).text().trim().to_owned();
    let there = place.sandbox.run(["move", "data", &place.url]).exits(0);
    assert!(there.text().contains("Verified: 1 job moved"), "{}", there.text());
    let job = place.run(&["job", &id, "--json"]).exits(0).json().remove(0);
    assert_eq!(job["args"], serde_json::json!([1, 2]));
    place.sandbox.run(["move", &place.url, "back"]).exits(0);
    let back =
        place.sandbox.run(["job", &id, "--json", "--data", "back"]).exits(0).json().remove(0);
    assert_eq!((&back["args"], &back["run_at"]), (&job["args"], &job["run_at"]));
    let nothing = place.url.replace("schema=", "schema=no_");
    let refused = place.sandbox.run(["move", &nothing, "elsewhere"]).exits(1);
    assert!(refused.stderr.contains("there is no store at postgres://"), "{}", refused.stderr);
}
