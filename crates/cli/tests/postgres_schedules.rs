//! Five servers with wrong clocks tick the schedules of one database while they are killed at random.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Sandbox, Started};
use taskwright_core::schedule::job_id;
use taskwright_core::{Name, Timestamp, retry};
use taskwright_testbed::{Faketime, available, fresh_schema};

/// How wrong the clocks are, in seconds.
const WRONG: [i64; 5] = [-10, -5, 0, 5, 10];
/// Instants to be made, a second apart.
const INSTANTS: u64 = 12;
/// A new server is killed once so many more jobs are there.
const KILL_EVERY: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn each_instant_makes_one_job() {
    let test = "postgres_schedules::each_instant_makes_one_job";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let Some(faketime) = available(test, Faketime::find()) else { return };
    let mark = if schema.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{mark}schema={}", schema.url(), schema.name());
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| {
        sandbox.run(arguments.iter().chain(&["--store", &url, "--json"])).exits(0).json()
    };
    let serve = |number: usize| -> Started {
        let data = format!("node{number}");
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", &data, "--store", &url];
        let mut command = sandbox.taskwright(arguments);
        faketime.shift(&mut command, WRONG[number]);
        Started::of(command)
    };
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let chance = |n: u64| retry::seed(taskwright_core::JobId::from_u128(seed.into()), n as u32);

    run(&["schedules", "set", "beat", "tock", "--every", "1s", "--overlap", "allow"]);
    let mut nodes: Vec<Started> = (0..WRONG.len()).map(serve).collect();
    let began = Instant::now();
    let (mut kills, mut kill_at) = (0, KILL_EVERY);
    let view = loop {
        let view = run(&["schedules", "show", "beat"]).remove(0);
        let made = view["made"].as_u64().unwrap();
        if made >= INSTANTS {
            break view;
        }
        if made >= kill_at {
            let number = usize::try_from(chance(kills)).unwrap_or(0) % WRONG.len();
            nodes[number].kill();
            nodes[number] = serve(number);
            (kills, kill_at) = (kills + 1, made + KILL_EVERY);
        }
        assert!(began.elapsed() < PATIENCE, "only {made} jobs were made");
    };
    nodes.iter_mut().for_each(Started::kill);
    assert!(kills >= 3, "{kills} kills");

    let view = run(&["schedules", "show", "beat"]).pop().unwrap_or(view);
    assert_eq!((&view["skipped"], &view["trouble"]), (&json!(0), &Value::Null), "{view}");
    let jobs = run(&["jobs", "--tag", "schedule:beat", "--limit", "1000"]);
    let ids: BTreeSet<String> =
        jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len() as u64, view["made"].as_u64().unwrap(), "as many jobs as instants");
    let last: Timestamp = view["last_at"].as_str().unwrap().parse().unwrap();
    let expected: BTreeSet<String> = (0..ids.len() as u64)
        .map(|back| {
            let instant = last.minus(Duration::from_secs(back));
            job_id(&Name::default_name(), &Name::new("beat").unwrap(), instant).to_string()
        })
        .collect();
    assert_eq!(ids, expected, "every second, one after another, none left out");
}
