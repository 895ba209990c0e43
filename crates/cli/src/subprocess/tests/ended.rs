use std::time::Duration;

use super::{Ending, Meaning, Ran, SAID_BYTES_MAX, meaning};

fn ran(ending: Ending, stdout: &[u8], stderr: &[u8]) -> Ran {
    Ran { ending, stdout: stdout.into(), stderr: stderr.into(), lasted: Duration::ZERO }
}

fn failure(ran: &Ran) -> (String, String, bool) {
    match meaning(ran, 10) {
        Meaning::Failed { error, is_final } => {
            (error.kind.to_string(), error.message.to_string(), is_final)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn exit_codes_mean_what_the_manual_says() {
    assert_eq!(meaning(&ran(Ending::Exited(0), b"x", b"y"), 10), Meaning::Completed);
    assert_eq!(meaning(&ran(Ending::Exited(75), b"", b""), 10), Meaning::Snoozed);
    assert_eq!(meaning(&ran(Ending::Stopped, b"", b""), 10), Meaning::Stopped);
    assert!(failure(&ran(Ending::Exited(65), b"", b"")).2);
    assert!(!failure(&ran(Ending::Exited(1), b"", b"")).2);
}

#[test]
fn errors_end_with_the_last_words_of_the_command() {
    let (kind, message, _) = failure(&ran(Ending::Exited(3), b"out", b"no such host\n"));
    assert_eq!((kind.as_str(), message.as_str()), ("exit", "exit code 3: no such host"));
    let (_, message, _) = failure(&ran(Ending::Exited(3), b"out\n", b" \n"));
    assert_eq!(message, "exit code 3: out");
    let (_, message, _) = failure(&ran(Ending::Exited(3), b"", b""));
    assert_eq!(message, "exit code 3");
}

#[test]
fn a_signal_is_named() {
    let (kind, message, is_final) = failure(&ran(Ending::Signalled(9), b"", b""));
    assert_eq!((kind.as_str(), message.as_str()), ("signal", "killed by signal 9 (SIGKILL)"));
    assert!(!is_final);
}

#[test]
fn long_last_words_are_cut_at_their_beginning() {
    let said = format!("{}é the end", "é".repeat(20_000));
    let (_, message, _) = failure(&ran(Ending::Exited(1), b"", said.as_bytes()));
    assert!(message.ends_with("é the end"));
    assert!(message.len() <= SAID_BYTES_MAX + 16);
}

#[test]
fn too_much_output_is_final_and_says_what_to_do() {
    let (kind, message, is_final) = failure(&ran(Ending::TooMuchOutput, b"", b""));
    assert_eq!(kind, "output");
    assert!(message.contains("10 bytes") && message.contains("file"), "{message}");
    assert!(is_final);
}
