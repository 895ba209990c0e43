//! Schedules and calendars at the command line.

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

    fn write(&self, name: &str, text: &str) {
        self.0.write(name, text);
    }

    fn view(&self, name: &str) -> Value {
        self.run(&["schedules", "show", name, "--json"]).exits(0).json().remove(0)
    }
}

#[test]
fn a_schedule_is_set_seen_and_removed() {
    let store = Store::new();
    assert!(store.run(&["size", "default"]).exits(1).stderr.contains("no store"));
    let set = ["schedules", "set", "nightly", "report", "--cron", "30 2 * * mon-fri"];
    let zone = ["--zone", "Europe/Berlin", "--args", "{\"a\": 1}", "--pause-after", "3"];
    let all = [&set[..], &zone].concat();
    assert!(store.run(&all).exits(0).text().starts_with("The schedule nightly is set; next 20"));
    assert!(store.run(&all).exits(0).text().contains("was just so"));
    let changed = store.run(&[&all[..], &["--priority", "5", "--json"]].concat()).exits(0).json();
    assert_eq!(changed[0]["change"], "changed");

    let listed = store.run(&["schedules"]).exits(0).text();
    let row = listed.lines().find(|line| line.starts_with("nightly")).unwrap();
    for cell in ["30 2 * * mon-fri", "Europe/Berlin", "report", "in ", "on"] {
        assert!(row.contains(cell), "{listed}");
    }
    let shown = store.run(&["schedules", "show", "nightly"]).exits(0).text();
    assert!(shown.contains("taskwright jobs --tag schedule:nightly"), "{shown}");
    assert!(shown.contains("pauses after") && shown.contains("3 failures"), "{shown}");
    assert_eq!(store.view("nightly")["schedule"]["job"]["args"], json!({ "a": 1 }));

    store.run(&["schedules", "pause", "nightly"]).exits(0);
    assert_eq!(store.view("nightly")["paused"], "operator");
    store.run(&["schedules", "resume", "nightly"]).exits(0);
    let id = store.run(&["schedules", "trigger", "nightly"]).exits(0).text().trim().to_owned();
    let jobs = store.run(&["jobs", "--tag", "schedule:nightly", "--json"]).exits(0).json();
    assert_eq!(jobs[0]["id"], json!(id));
    let stretch = ["--from", "2024-01-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"];
    let backfill = [&["schedules", "backfill", "nightly", "--json"][..], &stretch].concat();
    let weekdays = store.run(&backfill).exits(0).json().remove(0);
    assert_eq!((&weekdays["made"], &weekdays["existing"]), (&json!(523), &json!(0)));
    let again = store.run(&backfill).exits(0).json().remove(0);
    assert_eq!((&again["made"], &again["existing"]), (&json!(0), &json!(523)));

    store.run(&["schedules", "remove", "nightly"]).exits(0);
    store.run(&["schedules", "remove", "nightly"]).exits(3);
    store.run(&["schedules", "show", "nightly"]).exits(3);
    assert!(store.run(&["schedules"]).exits(0).stderr.contains("no schedules"));
    let never = ["schedules", "set", "x", "y", "--cron", "0 0 31 2 *"];
    assert!(store.run(&never).exits(1).stderr.contains("never due"));
    store.run(&["schedules", "set", "x", "y"]).exits(1);
}

#[test]
fn a_preview_shows_what_clocks_do() {
    let store = Store::new();
    let preview = ["schedules", "preview", "--cron", "30 2 * * *", "--zone", "Europe/Berlin"];
    let lines = store.run(&[&preview[..], &["-n", "400", "--json"]].concat()).exits(0).json();
    assert_eq!(lines.len(), 400);
    let gap = lines.iter().find(|line| line["local"].as_str().unwrap().contains("T03:00:00"));
    assert!(gap.is_some(), "a day on which 02:30 was left out");
    let few = store.run(&[&preview[..], &["-n", "2"]].concat()).exits(0).text();
    assert_eq!(few.lines().count(), 2);
    store.run(&["schedules", "preview", "nobody"]).exits(3);
    for wrong in ["0", "1001"] {
        store.run(&[&preview[..], &["-n", wrong]].concat()).exits(2);
    }
}

#[test]
fn a_file_is_planned_and_applied() {
    let store = Store::new();
    let file = "\
[[calendar]]
name = 'holidays'
dates = ['2026-12-25']

[[schedule]]
name = 'nightly'
cron = '30 2 * * *'
zone = 'Europe/Berlin'
exclude = ['holidays']
jitter = '5m'
job = { task = 'report', args = { day = 'yesterday', n = 3 }, timeout = '90s' }

[[schedule]]
name = 'probe'
every = '90s'
start = 2026-01-01T00:00:00Z
job = { task = 'ping' }
";
    store.write("schedules.toml", file);
    store.run(&["schedules", "set", "old", "report", "--cron", "@daily"]).exits(0);
    let planned = store.run(&["schedules", "plan", "schedules.toml"]).exits(0).text();
    assert!(planned.contains("+ nightly: 30 2 * * * (Europe/Berlin), task report"), "{planned}");
    assert!(
        planned.ends_with("2 to be created, 0 to be changed, 0 to be removed, 0 as they are.\n")
    );
    store.run(&["schedules", "show", "nightly"]).exits(3);

    store.run(&["schedules", "apply", "schedules.toml"]).exits(0);
    let nightly = store.view("nightly");
    assert_eq!(nightly["schedule"]["jitter_ms"], 300_000);
    assert_eq!(nightly["schedule"]["job"]["timeout_ms"], 90_000);
    assert_eq!(store.view("probe")["schedule"]["every_ms"], 90_000);
    assert_eq!(store.run(&["calendars"]).exits(0).text(), "holidays\n");

    store.write(
        "schedules.toml",
        &file.replace("n = 3", "n = 4").replace("'90s'\nstart", "'2m'\nstart"),
    );
    let prune = ["schedules", "plan", "schedules.toml", "--prune"];
    let planned = store.run(&prune).exits(0).text();
    assert!(planned.contains("    every_ms: 90000 -> 120000"), "{planned}");
    assert!(planned.contains("    job.args: "), "{planned}");
    assert!(planned.contains("- old"), "{planned}");
    store.run(&["schedules", "apply", "schedules.toml", "--prune"]).exits(0);
    store.run(&["schedules", "show", "old"]).exits(3);
    let again = store.run(&prune).exits(0).text();
    assert!(again.contains("0 to be created, 0 to be changed, 0 to be removed, 2 as they are."));

    for (wrong, told) in [
        ("[[schedule]]\nname = 'a'\ncron = '61 * * * *'\njob = { task = 'b' }", "61"),
        ("[[schedule]]\nname = 'a'\ncrom = 'x'\njob = { task = 'b' }", "crom"),
        ("[[schedules]]\nname = 'a'", "schedules"),
        ("[[schedule]]\nname = 'a'\nevery = '5 parsecs'\njob = { task = 'b' }", "parsecs"),
        ("name = ", "not TOML"),
    ] {
        store.write("wrong.toml", wrong);
        let refused = store.run(&["schedules", "apply", "wrong.toml"]).exits(1);
        assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
    }
    assert_eq!(store.run(&["schedules", "--json"]).exits(0).json().len(), 2);
}

#[test]
fn calendars_are_loaded_and_removed() {
    let store = Store::new();
    store.write("days.ics", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261225\r\nRRULE:FREQ=YEARLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n");
    store.run(&["calendars", "load", "holidays", "days.ics"]).exits(0);
    let excluding = ["schedules", "preview", "--cron", "0 9 25 12 *", "--exclude", "holidays"];
    let first = store.run(&[&excluding[..], &["-n", "1"]].concat()).exits(0).text();
    assert!(first.starts_with("2200-"), "recurring events are followed up to 2199: {first}");
    store
        .run(&["schedules", "set", "a", "b", "--cron", "@daily", "--exclude", "holidays"])
        .exits(0);
    assert!(store.run(&["calendars", "remove", "holidays"]).exits(1).stderr.contains("a names it"));
    store.run(&["schedules", "remove", "a"]).exits(0);
    store.run(&["calendars", "remove", "holidays"]).exits(0);
    let gone = store.run(&["calendars", "remove", "holidays"]).exits(1);
    assert!(gone.stderr.contains("`taskwright calendars` lists"), "{}", gone.stderr);
    assert!(store.run(&["calendars"]).exits(0).stderr.contains("no calendars"));
}
