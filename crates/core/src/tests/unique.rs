use super::*;
use crate::id::Token;
use crate::lifecycle::{Cause, Place};

const MINUTE: Duration = Duration::from_secs(60);
const CREATED: Timestamp = Timestamp::from_micros(1_000_000);

fn life(state: State, attempt: u32) -> Life {
    Life { state, attempt, ..Life::new(20, 0, Place::Ready(0)) }
}

fn running() -> Life {
    life(State::Running(Token { epoch: 1, attempt: 1, nonce: 1 }), 1)
}

fn held(until: Until, life: &Life, after: Duration) -> bool {
    Unique { key: "k".into(), until }.is_held(life, CREATED, CREATED.plus(after))
}

#[test]
fn a_key_is_held_as_long_as_it_says() {
    let waiting = life(State::Available(Place::Ready(0)), 0);
    let blocked = life(State::Blocked, 0);
    let retrying = life(State::Available(Place::Until(CREATED)), 1);
    let ended = [State::Completed, State::Dead(Cause::Final), State::Cancelled, State::Expired];
    for early in [waiting, blocked] {
        assert!(held(Until::Claimed, &early, MINUTE) && held(Until::Finished, &early, MINUTE));
    }
    for later in [running(), retrying] {
        assert!(!held(Until::Claimed, &later, MINUTE) && held(Until::Finished, &later, MINUTE));
    }
    for state in ended {
        let ended = life(state, 0);
        assert!(!held(Until::Claimed, &ended, MINUTE) && !held(Until::Finished, &ended, MINUTE));
        assert!(held(Until::Elapsed { ms: 60_001 }, &ended, MINUTE));
    }
    assert!(!held(Until::Elapsed { ms: 60_000 }, &waiting, MINUTE), "not at the instant itself");
}

#[test]
fn only_what_never_started_is_replaced() {
    let ready = life(State::Available(Place::Ready(0)), 0);
    let scheduled = life(State::Available(Place::Until(CREATED)), 0);
    let retrying = life(State::Available(Place::Until(CREATED)), 1);
    let any = Replace::throttle();
    let scheduled_only = Replace { scheduled_only: true, ..any };
    assert!(any.applies_to(&ready) && any.applies_to(&scheduled));
    assert!(!scheduled_only.applies_to(&ready) && scheduled_only.applies_to(&scheduled));
    for started in [retrying, running(), life(State::Cancelled, 0)] {
        assert!(!any.applies_to(&started) && !scheduled_only.applies_to(&started));
    }
}

#[test]
fn a_debounce_pushes_and_a_throttle_keeps() {
    let now = CREATED.plus(MINUTE);
    let due = CREATED.plus(2 * MINUTE);
    let asked = Some(now.plus(2 * MINUTE));
    let at = |replace: Replace, asked| replace.due_at(asked, CREATED, due, now);
    assert_eq!(at(Replace::throttle(), asked), due);
    assert_eq!(at(Replace::debounce(None), asked), now.plus(2 * MINUTE));
    assert_eq!(at(Replace::debounce(Some(150_000)), asked), CREATED.plus(150 * MINUTE / 60));
    assert_eq!(at(Replace::debounce(Some(1)), asked), now, "never before now");
    assert_eq!(at(Replace::debounce(None), None), now);
}
