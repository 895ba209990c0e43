//! `taskwright migrate`: what it would do, what it does, and what it goes on with.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use support::{Ran, Sandbox};
use taskwright_testbed::{Schema, available, fresh_schema};

/// A schema of a test's own, which nobody has made yet.
struct Place {
    sandbox: Sandbox,
    url: String,
    schema: Schema,
}

impl Place {
    fn new(test: &str) -> Option<Place> {
        let schema = available(&format!("postgres_migrate::{test}"), fresh_schema())?;
        let mark = if schema.url().contains('?') { '&' } else { '?' };
        let url = format!("{}{mark}schema={}", schema.url(), schema.name());
        Some(Place { sandbox: Sandbox::new(), url, schema })
    }

    fn migrate(&self, arguments: &[&str]) -> Ran {
        self.sandbox.run(["migrate", "--store", &self.url].iter().chain(arguments))
    }

    fn is_there(&self) -> bool {
        let name = self.schema.name();
        self.schema.psql(&format!("select to_regnamespace('{name}') is not null")).unwrap() == "t"
    }

    fn steps(&self) -> u64 {
        self.schema.psql("select count(*) from schema_step").unwrap().parse().unwrap()
    }
}

#[test]
fn a_dry_run_prints_the_sql_and_changes_nothing() {
    let Some(place) = Place::new("dry_run") else { return };
    let sql = place.migrate(&["--dry-run"]).exits(0).text();
    assert!(sql.starts_with("-- There is no schema in postgres://"), "{sql}");
    assert!(!place.is_there());
    let steps = place.migrate(&["--dry-run", "--json"]).exits(0).json();
    assert!(steps.iter().all(|step| sql.contains(step["sql"].as_str().unwrap().trim_end())));
    assert!(!place.is_there());
    // What it prints is what it would do: a person may run it instead.
    place.schema.psql(&sql).unwrap();
    let text = place.migrate(&[]).exits(0).text();
    assert!(text.ends_with("has version 1: there is nothing to do.\n"), "{text}");
    place.sandbox.run(["enqueue", "task", "--store", &place.url]).exits(0);
}

#[test]
fn it_tells_each_step_and_then_there_is_nothing_to_do() {
    let Some(place) = Place::new("tells") else { return };
    let lines = place.migrate(&["--json"]).exits(0).json();
    let (last, steps) = lines.split_last().unwrap();
    assert_eq!((&last["from"], &last["to"]), (&0.into(), &1.into()));
    assert_eq!(last["steps"], steps.len());
    assert!(steps.iter().all(|step| step["took_ms"].is_u64() && step["name"].is_string()));
    let text = place.migrate(&[]).exits(0).text();
    assert!(text.ends_with("has version 1: there is nothing to do.\n"), "{text}");
    place.sandbox.run(["enqueue", "task", "--store", &place.url]).exits(0);
    let refused = place.migrate(&["--to", "2"]).exits(1);
    assert!(refused.stderr.contains("cannot bring the schema"), "{}", refused.stderr);
}

#[test]
fn killed_it_is_gone_on_with() {
    let Some(place) = Place::new("killed") else { return };
    let mut first = place.sandbox.start(["migrate", "--store", &place.url]);
    first.says("step 2");
    // It may have been faster than the signal.
    first.signal(rustix::process::Signal::KILL);
    let was_killed = first.ended().is_none();
    let before = place.steps();
    let done = place.migrate(&["--json"]).exits(0).json();
    assert_eq!(done.last().unwrap()["to"], 1);
    println!("killed: {was_killed}, after {before} steps of {}", place.steps());
    let versions = "select count(*), max(version) from schema_version";
    assert_eq!(place.schema.psql(versions).unwrap(), "1|1");
    place.sandbox.run(["enqueue", "task", "--store", &place.url]).exits(0);
}

#[test]
fn only_postgresql_has_a_schema() {
    let sandbox = Sandbox::new();
    let unnamed = sandbox.run(["migrate"]).exits(1);
    assert!(unnamed.stderr.contains("use --store postgres://"), "{}", unnamed.stderr);
    let file = sandbox.run(["migrate", "--store", "file:data"]).exits(1);
    assert!(file.stderr.contains("file:data is none"), "{}", file.stderr);
    assert!(!sandbox.path("data").exists());
}
