use super::*;

fn counted(fine: bool, lines: &[&str]) -> (usize, usize) {
    let lines = lines.iter().map(|line| line.to_string()).collect();
    let tally = tally(&Outcome { fine, lines });
    (tally.passed, tally.failed)
}

#[test]
fn nextest_sums_up_once() {
    let lines = [
        "        PASS [   0.005s] (9/9) taskwright-core a::tests::b",
        "     Summary [   5.2s] 9 tests run: 6 passed (1 slow, 2 leaky), 2 failed, 1 timed out, 7 skipped",
    ];
    assert_eq!(counted(false, &lines), (6, 3));
}

#[test]
fn nextest_may_be_cut_short() {
    let lines = ["     Summary [   5.2s] 3/9 tests run: 2 passed, 1 failed, 7 skipped"];
    assert_eq!(counted(false, &lines), (2, 1));
}

#[test]
fn cargo_sums_up_for_every_binary() {
    let lines = [
        "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    ];
    assert_eq!(counted(false, &lines), (7, 1));
}

#[test]
fn a_command_that_fails_for_another_reason_is_a_failure() {
    assert_eq!(counted(false, &["error: could not compile `a`"]), (0, 1));
    assert_eq!(counted(true, &[]), (0, 0));
}
