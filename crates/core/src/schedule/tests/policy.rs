use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[test]
fn failures_one_after_another_pause_the_schedule() {
    let policy = Policy { pause_after: Some(3), ..Policy::default() };
    let live = State { live: true, ..State::new(NOW) };
    let twice = live.ended(&policy, true).ended(&policy, true);
    assert_eq!((twice.failures, twice.paused, twice.live), (2, None, false));
    assert_eq!(twice.ended(&policy, false).failures, 0);
    let thrice = twice.ended(&policy, true);
    assert_eq!((thrice.failures, thrice.paused), (3, Some(PausedBy::Failures)));
    assert_eq!(thrice.ended(&policy, false).paused, Some(PausedBy::Failures));
}

#[test]
fn a_pause_by_an_operator_stays_one() {
    let policy = Policy { pause_after: Some(1), ..Policy::default() };
    let paused = State { paused: Some(PausedBy::Operator), ..State::new(NOW) };
    assert_eq!(paused.ended(&policy, true).paused, Some(PausedBy::Operator));
    assert_eq!(State::new(NOW).ended(&Policy::default(), true).paused, None);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let catch_up = |max| Policy { catch_up: CatchUp::All { max }, ..Policy::default() };
    assert_eq!(catch_up(1_000).check(), Ok(()));
    let error = catch_up(1_001).check().unwrap_err().to_string();
    assert_eq!(error, "catch_up is 1001 instants, and at most 1000 are allowed");
    assert_eq!(catch_up(0).check(), Err(InvalidPolicy::Zero("catch_up")));
    let pause = Policy { pause_after: Some(0), ..Policy::default() };
    let error = pause.check().unwrap_err().to_string();
    assert!(error.starts_with("pause_after is 0, and must be at least 1"), "{error}");
}
