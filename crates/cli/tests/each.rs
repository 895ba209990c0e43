//! `taskwright each` with real commands on real files.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::Command;

use support::{Sandbox, is_alive, until};

/// Inputs that a careless program would trip over.
const ODD: [&str; 10] = [
    "two words",
    "it's",
    "\"quoted\"",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "-n",
    "*",
    "{}",
    "line\nend",
];

fn sources() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    assert!(files.len() > 5);
    files
}

fn sums(files: &[PathBuf]) -> Vec<u8> {
    Command::new("sha256sum").args(files).output().unwrap().stdout
}

#[test]
fn outputs_are_those_of_the_command_in_the_order_of_inputs() {
    let sandbox = Sandbox::new();
    let files = sources();
    let arguments = ["each", "--exec", "sha256sum {}"].map(OsString::from);
    let ran = sandbox.run(
        arguments
            .iter()
            .chain(&files.iter().map(|f| f.clone().into_os_string()).collect::<Vec<_>>()),
    );
    let ran = ran.exits(0);
    assert_eq!(ran.stdout, sums(&files));
    assert!(ran.stderr.contains(&format!("{} completed", files.len())), "{}", ran.stderr);
    assert!(ran.stderr.contains("WORKER 1") && ran.stderr.contains("sum"), "{}", ran.stderr);
    assert!(sandbox.runs().is_empty(), "a run that is done leaves nothing behind");
    assert_eq!(std::fs::read_dir(sandbox.work()).unwrap().count(), 0);
}

#[test]
fn lines_of_standard_input_are_inputs() {
    let sandbox = Sandbox::new();
    let files = sources();
    let list: Vec<u8> =
        files.iter().flat_map(|file| format!("{}\n", file.display()).into_bytes()).collect();
    let ran = sandbox.run_with(["each", "--jobs", "3", "--exec", "sha256sum"], &list).exits(0);
    assert_eq!(ran.stdout, sums(&files));
    // A hyphen says so, and can stand beside other inputs.
    let ran =
        sandbox.run_with(["each", "--exec", "echo {}", "first", "-", "last"], b"a\nb").exits(0);
    assert_eq!(ran.text(), "first\na\nb\nlast\n");
}

#[test]
fn an_input_stays_one_argument_whatever_it_contains() {
    let sandbox = Sandbox::new();
    let expected: String = ODD.iter().map(|input| format!("<{input}>\n")).collect();
    let command = ["each", "--exec", r"printf '<%s>\n' {}", "--"];
    let ran = sandbox.run(command.iter().chain(&ODD)).exits(0);
    assert_eq!(ran.text(), expected);
    let script = ["each", "--shell", r#"printf '<%s>\n' "$1""#, "--"];
    let ran = sandbox.run(script.iter().chain(&ODD)).exits(0);
    assert_eq!(ran.text(), expected);
    let nul: Vec<u8> = ODD.iter().flat_map(|input| format!("{input}\0").into_bytes()).collect();
    let ran = sandbox.run_with(["each", "--null", "--exec", r"printf '<%s>\n'"], &nul).exits(0);
    assert_eq!(ran.text(), expected);
    assert!(!sandbox.path("pwned").exists());
}

#[test]
fn names_and_outputs_that_are_no_text_survive() {
    let sandbox = Sandbox::new();
    let name = OsString::from_vec(b"odd \xff\xfe name".to_vec());
    sandbox.write(&name, b"\x00\x80content");
    let ran =
        sandbox.run([OsStr::new("each"), "--exec".as_ref(), "cat {}".as_ref(), &name]).exits(0);
    assert_eq!(ran.stdout, b"\x00\x80content");
    let ran =
        sandbox.run_with(["each", "--null", "--json", "--exec", "cat"], b"odd \xff\xfe name\0");
    let lines = ran.exits(0).json();
    assert!(lines[0]["input_base64"].is_string() && lines[0]["output_base64"].is_string());
}

#[test]
fn equal_inputs_are_separate() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run_with(["each", "--exec", "echo"], b"a\na\nb\na\n").exits(0);
    assert_eq!(ran.text(), "a\na\nb\na\n");
}

#[test]
fn outputs_come_in_order_or_as_they_come() {
    let sandbox = Sandbox::new();
    // The first ends only after the second has begun to end, or the test says so.
    sandbox.script(
        "wait",
        "case $1 in first) until test -e done; do sleep 0.01; done;; *) touch $1;; esac; echo $1",
    );
    let command = ["each", "--jobs", "2", "--exec", "./wait {}", "first"];
    let ordered = sandbox.run(command.iter().chain(&["done"])).exits(0);
    assert_eq!(ordered.text(), "first\ndone\n");
    std::fs::remove_file(sandbox.path("done")).unwrap();
    let mut unordered = sandbox.start(command.iter().chain(&["second", "--unordered"]));
    unordered.says("second");
    sandbox.write("done", "");
    unordered.says("first");
    assert_eq!(unordered.ended(), Some(0));
}

#[test]
fn what_fails_is_tried_again_and_told_in_the_end() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "try",
        "echo $1 >> log\ncase $1 in flaky) test $TASKWRIGHT_ATTEMPT -gt 1;; bad) echo no good >&2; false;; esac && echo $1",
    );
    let command = ["each", "--retries", "1", "--exec", "./try", "good", "flaky", "bad"];
    let ran = sandbox.run(command).exits(1);
    assert_eq!(ran.text(), "good\nflaky\n");
    assert!(
        ran.stderr.contains("bad: failed after 2 attempts: exit code 1: no good"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("2 completed, 1 failed, 2 attempts retried"), "{}", ran.stderr);
    let mut log = sandbox.lines("log");
    log.sort();
    assert_eq!(log, ["bad", "bad", "flaky", "flaky", "good"]);
    assert_eq!(sandbox.runs().len(), 1);
}

#[test]
fn a_final_error_is_not_tried_again() {
    let sandbox = Sandbox::new();
    sandbox.script("try", "echo $1 >> log; exit 65");
    let ran = sandbox.run(["each", "--exec", "./try", "a"]).exits(1);
    assert!(ran.stderr.contains("failed after 1 attempt: exit code 65"), "{}", ran.stderr);
    assert_eq!(sandbox.lines("log"), ["a"]);
}

#[test]
fn a_timeout_kills_the_command_with_all_that_it_started() {
    let sandbox = Sandbox::new();
    sandbox.script("slow", "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > own; wait; wait");
    let command = ["each", "--retries", "0", "--timeout", "300ms", "--exec", "./slow", "a"];
    let ran = sandbox.run(command).exits(1);
    assert!(ran.stderr.contains("longer than its timeout"), "{}", ran.stderr);
    assert!(!is_alive(&sandbox.read("own")) && !is_alive(&sandbox.read("child")));
}

#[test]
fn what_a_command_leaves_running_does_not_hold_up_the_rest() {
    let sandbox = Sandbox::new();
    sandbox.script("leave", "sleep 1000 & echo $! > child; echo $1");
    let ran = sandbox.run(["each", "--exec", "./leave", "a", "b"]).exits(0);
    assert_eq!(ran.text(), "a\nb\n");
    assert!(!is_alive(&sandbox.read("child")));
}

#[test]
fn the_first_failure_can_end_it() {
    let sandbox = Sandbox::new();
    sandbox.script("try", "echo $1 >> log; test $1 != a");
    let command = ["each", "--jobs", "1", "--retries", "0", "--fail-fast", "--exec", "./try"];
    let inputs: Vec<u8> = (0..500)
        .flat_map(|n| format!("{}\n", if n == 0 { "a".into() } else { n.to_string() }).into_bytes())
        .collect();
    let ran = sandbox.run_with(command, &inputs).exits(1);
    assert!(sandbox.lines("log").len() < 500);
    assert!(ran.stderr.contains("left in"), "{}", ran.stderr);
}

#[test]
fn json_tells_each_input_and_the_summary() {
    let sandbox = Sandbox::new();
    let command =
        ["each", "--json", "--retries", "0", "--shell", r#"test "$1" = a && echo "$1""#, "a", "b"];
    let lines = sandbox.run(command).exits(1).json();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["input"], "a");
    assert_eq!(lines[0]["output"], "a\n");
    assert_eq!(lines[0]["state"], "completed");
    assert!(lines[0]["worker"].as_u64().unwrap() >= 1);
    assert!(lines[0]["running_ms"].is_number() && lines[0]["waiting_ms"].is_number());
    assert_eq!(lines[1]["state"], "dead");
    assert_eq!(lines[1]["error"]["kind"], "exit");
    let summary = &lines[2]["summary"];
    assert_eq!((&summary["completed"], &summary["failed"]), (&1.into(), &1.into()));
    assert_eq!(summary["cost"]["attempts"], 2);
    assert!(summary["cost"]["workers"].is_array());
}

#[test]
fn wrong_use_says_what_to_do() {
    let sandbox = Sandbox::new();
    for (arguments, code, said) in [
        (vec!["each", "--shell", "cat {}", "a"], 1, "\"$1\""),
        (vec!["each", "--exec", "echo 'a", "a"], 1, "not closed"),
        (vec!["each", "--exec", "no-such-program-here {}", "a"], 1, "no program"),
        (vec!["each", "a"], 2, "--exec"),
        (vec!["each", "--exec", "a", "--shell", "b", "c"], 2, "cannot be used with"),
        (vec!["each", "--exec", "echo", "--timeout", "5", "a"], 2, "unit"),
        (vec!["each", "--exec", "echo", "--run", "../x", "a"], 1, "name of a run"),
        (vec!["each", "--exec", "echo", "--server", "http://127.0.0.1:1", "a"], 1, "--server"),
    ] {
        let ran = sandbox.run(&arguments).exits(code);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
    let ran = sandbox.run_with(["each", "--exec", "echo"], b"").exits(0);
    assert!(ran.stderr.contains("no inputs"), "{}", ran.stderr);
    assert!(sandbox.runs().is_empty());
}

#[test]
fn too_much_output_is_an_error_that_says_so() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(["each", "--exec", "head -c {} /dev/zero", "3000000", "700000"]).exits(1);
    assert_eq!(ran.stdout, vec![0; 700_000]);
    assert!(
        ran.stderr.contains("3000000: failed after 1 attempt: the command printed more than"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.taskwright(["each", "--quiet", "--exec", "echo"]);
    command.args((0..2_000).map(|number| number.to_string()));
    let mut child = command.spawn().unwrap();
    // Nobody reads any more.
    drop(child.stdout.take());
    drop(child.stderr.take());
    until("it ends", || child.try_wait().unwrap().is_some());
    assert_ne!(child.wait().unwrap().code(), Some(0));
    assert_eq!(sandbox.runs().len(), 1);
}
