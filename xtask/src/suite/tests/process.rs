use super::*;

#[test]
fn both_streams_are_kept() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; echo two >&2; exit 3"]);
    let outcome = run(&mut command, Duration::from_secs(60)).unwrap();
    let mut lines = outcome.lines;
    lines.sort();
    assert_eq!(lines, ["one", "two"]);
    assert!(!outcome.fine);
}

#[test]
fn what_hangs_is_stopped() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo begun; exec tail -f /dev/null"]);
    let outcome = run(&mut command, Duration::from_millis(300)).unwrap();
    assert!(!outcome.fine);
}

#[test]
fn a_missing_program_is_an_error_that_names_it() {
    let error = run(&mut Command::new("no-such-program"), Duration::from_secs(1)).err().unwrap();
    assert!(error.to_string().contains("no-such-program"), "{error}");
}
