//! `taskwright simulate`: real files, real output.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use serde_json::{Value, json};
use support::Sandbox;

const WORKLOAD: &str = r#"
seed = 4
[[task]]
name = "resize"
arrivals = { burst = { jobs = 40 } }
runs = { constant = "1s" }
group = { name = "customer", of = 2 }
[[task]]
name = "mail"
arrivals = { constant = "2/s" }
runs = { exponential = "100ms" }
fails = 0.1
[[worker]]
name = "small"
count = 2
slots = 2
[[limit]]
task = "resize"
concurrency = 3
"#;

fn with_head(head: &str, tail: &str) -> String {
    format!("{head}\n{WORKLOAD}\n{tail}")
}

#[test]
fn a_workload_is_played_and_told() {
    let sandbox = Sandbox::new();
    sandbox.write("work.toml", with_head("duration = \"30s\"", ""));
    let shown = sandbox.run(["simulate", "work.toml"]).exits(0).text();
    for word in [
        "100 jobs in",
        "100 completed",
        "resize",
        "mail",
        "P99",
        "UTILISATION",
        "task resize",
        "customer-",
    ] {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    let told = sandbox.run(["simulate", "work.toml", "--json"]).exits(0).json().remove(0);
    assert_eq!((&told["seed"], &told["jobs"]), (&json!(4), &json!(100)), "{told}");
    assert_eq!(told["tasks"][0]["waiting"]["count"], 40);
    // 40 jobs, three at once: the last one starts after 13 s.
    assert_eq!(told["tasks"][0]["waiting"]["max_ms"], 13_000.0);
    assert_eq!(told["limits"][0]["most_running"], 3);
    assert!(told["backlog"].as_array().unwrap().len() > 10, "{told}");
    let again = sandbox.run(["simulate", "work.toml", "--json"]).exits(0).json().remove(0);
    assert_eq!(told, again, "the same seed gives the same outcome");
    let text = with_head("duration = \"30s\"", "");
    let other = sandbox.run_with(["simulate", "-", "--seed", "5", "--json"], text.as_bytes());
    assert_ne!(other.exits(0).json()[0]["tasks"][1], told["tasks"][1]);
}

#[test]
fn variants_stand_side_by_side() {
    let sandbox = Sandbox::new();
    let variants = r#"
        [[variant]]
        name = "as it is"
        [[variant]]
        name = "no limit"
        [[variant.limit]]
        task = "resize"
        concurrency = 100
    "#;
    sandbox.write("work.toml", with_head("duration = \"30s\"", variants));
    let shown = sandbox.run(["simulate", "work.toml"]).exits(0).text();
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(shown.lines().next().unwrap().contains("as it is"), "{shown}");
    assert!(row("max wait of resize").contains("13.0s"), "{shown}");
    assert!(row("utilisation of small").contains('%'), "{shown}");
    let told = sandbox.run(["simulate", "work.toml", "--json"]).exits(0).json();
    let names: Vec<&Value> = told.iter().map(|line| &line["variant"]).collect();
    assert_eq!(names, ["as it is", "no limit"]);
}

#[test]
fn a_target_tells_how_many_workers_it_takes() {
    let sandbox = Sandbox::new();
    let workload = WORKLOAD.replace("concurrency = 3", "concurrency = 1000");
    sandbox.write("work.toml", format!("duration = \"30s\"\n{workload}"));
    let target = ["simulate", "work.toml", "--target", "max wait of resize <= 4s"];
    let shown = sandbox.run(target).exits(0).text();
    assert!(
        shown.starts_with("max wait of resize <= 4.0s takes ") && shown.contains("enough"),
        "{shown}"
    );
    let told = sandbox.run(target.iter().chain(&["--json"])).exits(0).json().remove(0);
    let count = told["count"].as_u64().unwrap();
    assert!((4..=6).contains(&count), "{told}");
    assert!(told["outcome"]["tasks"][0]["waiting"]["max_ms"].as_f64().unwrap() <= 4_000.0);

    sandbox.write("limited.toml", with_head("duration = \"30s\"", ""));
    let in_vain = ["simulate", "limited.toml", "--target", "max wait of resize <= 4s"];
    let shown = sandbox.run(in_vain).exits(1).text();
    assert!(shown.contains("something else holds jobs up"), "{shown}");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let sandbox = Sandbox::new();
    let refused = |text: &str, said: &str| {
        sandbox.write("wrong.toml", text);
        let ran = sandbox.run(["simulate", "wrong.toml"]).exits(1);
        assert!(ran.stderr.contains(said), "{said} is not in {}", ran.stderr);
    };
    refused(WORKLOAD, "its arrivals never end; write duration");
    refused(&WORKLOAD.replace("slots", "slot"), "unknown field `slot`");
    refused("[[task]", "line 1");
    sandbox.run(["simulate", "nothing.toml"]).exits(1);
    sandbox.run(["simulate", "wrong.toml", "--target", "p99 < 5s"]).exits(2);
}

#[test]
fn the_examples_are_workloads() {
    let sandbox = Sandbox::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/workloads");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        // Less of each is enough here.
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let text =
            text.replace("duration = \"6h\"", "duration = \"20m\"").replace("20_000", "2_000");
        let text = text.replace("duration = \"1h\"", "duration = \"12m\"");
        let ran = sandbox.run_with(["simulate", "-", "--json"], text.as_bytes()).exits(0);
        assert!(ran.json().iter().all(|line| line["left"] == 0), "{}", ran.text());
        count += 1;
    }
    assert_eq!(count, 2);
}
