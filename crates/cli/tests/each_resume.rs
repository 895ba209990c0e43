//! Runs of `taskwright each` that are killed, stopped, failed, and done again.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use rustix::process::Signal;
use support::{Ran, Sandbox, Started, is_alive, until};

const INPUTS: usize = 300;

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// A command that leaves a line in `log` and prints its input.
fn logging(sandbox: &Sandbox) {
    sandbox.script("work", "echo $1 >> log; echo out $1");
}

fn run_over(sandbox: &Sandbox, inputs: &[String]) -> Ran {
    sandbox.run(
        ["each", "--jobs", "2", "--exec", "./work {}"]
            .iter()
            .copied()
            .chain(inputs.iter().map(String::as_str)),
    )
}

fn outputs(inputs: &[String]) -> String {
    inputs.iter().map(|input| format!("out {input}\n")).collect()
}

#[test]
fn killed_in_the_middle_and_resumed_nothing_is_lost_and_nothing_done_twice() {
    let sandbox = Sandbox::new();
    logging(&sandbox);
    let inputs = numbers(0..INPUTS);
    for printed in [60, 120, 180] {
        let mut command = sandbox.taskwright(["each", "--jobs", "2", "--exec", "./work {}"]);
        command.args(&inputs);
        let mut started = Started::of(command);
        started.says(&format!("out {printed}"));
        started.kill();
    }
    let ran = run_over(&sandbox, &inputs).exits(0);
    assert_eq!(ran.text(), outputs(&inputs), "all outputs, in order, each once");
    assert!(ran.stderr.contains("Resuming run"), "{}", ran.stderr);
    let log = sandbox.lines("log");
    let mut distinct = log.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), INPUTS);
    // A kill can cost the two commands that ran, and the two before them whose ends were on their
    // way to the disk.
    assert!(log.len() <= INPUTS + 3 * 4, "{} runs of {INPUTS}", log.len());
    assert!(sandbox.runs().is_empty());
}

#[test]
fn what_was_completed_when_killed_does_not_run_again() {
    let sandbox = Sandbox::new();
    // The first three end at once, the fourth waits until it may.
    sandbox.script(
        "work",
        "echo $1 >> log; case $1 in 4) until test -e go; do sleep 0.01; done;; esac; echo out $1",
    );
    let inputs = numbers(1..6);
    let mut command = sandbox.taskwright(["each", "--jobs", "1", "--exec", "./work {}"]);
    command.args(&inputs);
    let mut started = Started::of(command);
    started.says("out 3");
    until("the fourth runs", || sandbox.lines("log").contains(&"4".to_owned()));
    started.kill();
    sandbox.write("go", "");
    let ran = run_over(&sandbox, &inputs).exits(0);
    assert_eq!(ran.text(), outputs(&inputs));
    let mut log = sandbox.lines("log");
    log.sort();
    assert_eq!(log, ["1", "2", "3", "4", "4", "5"]);
}

#[test]
fn killed_no_command_is_left_behind() {
    let sandbox = Sandbox::new();
    sandbox
        .script("slow", "trap '' TERM HUP INT; sleep 1000 & echo $! > child; echo $$ > own; wait");
    let mut started = sandbox.start(["each", "--exec", "./slow", "a"]);
    until("it runs", || !sandbox.read("own").is_empty());
    started.kill();
    until("all are gone", || !is_alive(&sandbox.read("own")) && !is_alive(&sandbox.read("child")));
}

#[test]
fn a_resumed_run_takes_new_inputs_and_goes_on_with_those_not_given_again() {
    let sandbox = Sandbox::new();
    sandbox.script(
        "work",
        "echo $1 >> log; test $1 != stop || until test -e go; do sleep 0.01; done; echo out $1",
    );
    let mut started =
        sandbox.start(["each", "--jobs", "1", "--exec", "./work {}", "a", "a", "stop", "b"]);
    until("it is at the third", || sandbox.lines("log").contains(&"stop".to_owned()));
    started.kill();
    sandbox.write("go", "");
    let ran =
        sandbox.run(["each", "--jobs", "1", "--exec", "./work {}", "new", "a", "a", "a"]).exits(0);
    let given = ["new", "a", "a", "a", "stop", "b"].map(str::to_owned);
    assert_eq!(ran.text(), outputs(&given), "those given, then those of before");
    let mut log = sandbox.lines("log");
    log.sort();
    assert_eq!(log, ["a", "a", "a", "b", "new", "stop", "stop"]);
}

#[test]
fn finished_with_failures_only_these_run_again() {
    let sandbox = Sandbox::new();
    sandbox.script("work", "echo $1 >> log; test $1 != bad || test -e mended && echo out $1");
    let command = ["each", "--retries", "0", "--exec", "./work {}", "good", "bad", "fine"];
    sandbox.run(command).exits(1);
    sandbox.run(command).exits(1);
    sandbox.write("mended", "");
    let ran = sandbox.run(command).exits(0);
    assert_eq!(ran.text(), "out good\nout bad\nout fine\n");
    let log = sandbox.lines("log");
    let count = |input: &str| log.iter().filter(|line| *line == input).count();
    assert_eq!((count("good"), count("fine"), count("bad")), (1, 1, 3));
    // Finished: a new run begins.
    sandbox.run(command).exits(0);
    assert_eq!(sandbox.lines("log").len(), 8);
}

#[test]
fn runs_are_told_apart_by_command_name_and_directory() {
    let sandbox = Sandbox::new();
    sandbox.script("bad", "false");
    sandbox.run(["each", "--retries", "0", "--exec", "./bad x", "a"]).exits(1);
    sandbox.run(["each", "--retries", "0", "--exec", "./bad y", "a"]).exits(1);
    sandbox.run(["each", "--retries", "0", "--run", "mine", "--exec", "./bad y", "a"]).exits(1);
    let mut runs = sandbox.runs();
    runs.sort();
    assert_eq!(runs.len(), 3);
    assert!(runs.contains(&"mine".to_owned()) && runs[0].starts_with("bad-"), "{runs:?}");
    // --new forgets the failure.
    let ran = sandbox.run(["each", "--new", "--run", "mine", "--exec", "echo", "b"]).exits(0);
    assert_eq!(ran.text(), "b\n");
    assert!(!ran.stderr.contains("Resuming"), "{}", ran.stderr);
    assert_eq!(sandbox.runs().len(), 2);
}

#[test]
fn the_data_directory_can_be_chosen() {
    let sandbox = Sandbox::new();
    sandbox
        .run(["each", "--data", "kept", "--run", "r", "--retries", "0", "--exec", "false", "a"])
        .exits(1);
    assert!(sandbox.path("kept/r").is_dir());
    // Other commands can look into it.
    let jobs = sandbox.run(["jobs", "--data", "kept/r", "--json"]).exits(0).json();
    assert_eq!(
        (jobs[0]["queue"].as_str(), jobs[0]["state"].as_str()),
        (Some("each/r"), Some("dead"))
    );
}

#[test]
fn ctrl_c_stops_it_and_the_same_command_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.script("work", "echo $$ >> log; test -e go || exec sleep 1000; echo out $1");
    let command = ["each", "--jobs", "2", "--exec", "./work {}", "a", "b", "c"];
    let mut started = sandbox.start(command);
    until("two run", || sandbox.lines("log").len() == 2);
    started.signal(Signal::INT);
    started.complains("The same command goes on");
    assert_eq!(started.ended(), Some(130));
    assert!(sandbox.lines("log").iter().all(|process| !is_alive(process)));
    sandbox.write("go", "");
    let ran = sandbox.run(command).exits(0);
    assert_eq!(ran.text(), "out a\nout b\nout c\n");
    // Interrupted attempts are not counted as failures.
    assert!(!ran.stderr.contains("retried"), "{}", ran.stderr);
}

#[test]
fn the_same_run_twice_at_once_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.script("work", "touch begun; until test -e go; do sleep 0.01; done; echo out $1");
    let command = ["each", "--run", "r", "--exec", "./work", "a"];
    let mut first = sandbox.start(command);
    until("it runs", || sandbox.path("begun").exists());
    let ran = sandbox.run(command).exits(1);
    assert!(ran.stderr.contains("at work in another process"), "{}", ran.stderr);
    let ran = sandbox.run(command.iter().chain(&["--new"])).exits(1);
    assert!(ran.stderr.contains("at work in another process"), "{}", ran.stderr);
    sandbox.write("go", "");
    first.says("out a");
    assert_eq!(first.ended(), Some(0));
}

#[test]
fn without_inputs_a_run_goes_on_with_those_it_has() {
    let sandbox = Sandbox::new();
    logging(&sandbox);
    sandbox.script("bad", "exit 1");
    sandbox.run(["each", "--run", "r", "--retries", "0", "--exec", "./bad", "a", "b"]).exits(1);
    // The command may be mended under the same name.
    let ran = sandbox.run_with(["each", "--run", "r", "--exec", "./work"], b"").exits(0);
    assert_eq!(ran.text(), "out a\nout b\n");
}

#[test]
fn a_reader_that_reads_no_more_does_not_keep_ctrl_c_from_stopping_it() {
    let sandbox = Sandbox::new();
    // More than a pipe holds, and nobody reads it.
    let mut command = sandbox.taskwright([
        "each",
        "--quiet",
        "--shell",
        "touch \"$1\"; head -c 500000 /dev/zero",
    ]);
    command.args(["a", "b"]);
    let mut child = command.spawn().unwrap();
    until("both ran", || sandbox.path("a").exists() && sandbox.path("b").exists());
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, Signal::INT).unwrap();
    until("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
