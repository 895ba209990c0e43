use super::*;

const TOKEN: Token = Token { epoch: 3, attempt: 4, nonce: 77 };
const STALE: [Token; 3] = [
    Token { epoch: 2, attempt: 4, nonce: 77 },
    Token { epoch: 3, attempt: 3, nonce: 77 },
    Token { epoch: 3, attempt: 4, nonce: 78 },
];
const BEFORE: Token = Token { epoch: 1, attempt: 3, nonce: 5 };
const AT: Timestamp = Timestamp::from_micros(1_000);
const RETRY: Place = Place::Until(AT);

/// What each event makes of each state: `-` means impossible, `stale` that a report is refused.
/// Events of an attempt carry the token of the running one.
const CELLS: &str = "
              blocked   intake    until     line      ready     running   completed dead      cancelled expired
admit         -         until     -         -         -         -         -         -         -         -
due           -         -         ready     -         -         -         -         -         -         -
park          -         -         -         -         line      -         -         -         -         -
promote       -         -         -         ready     -         -         -         -         -         -
adjust        -         -         until     until     until     -         -         -         -         -
unblock       until     -         -         -         -         -         -         -         -         -
claim         -         -         -         -         running   -         -         -         -         -
completed     stale     stale     stale     stale     stale     completed stale     stale     stale     stale
failed        stale     stale     stale     stale     stale     until     stale     stale     stale     stale
failed-final  stale     stale     stale     stale     stale     dead      stale     stale     stale     stale
snoozed       stale     stale     stale     stale     stale     until     stale     stale     stale     stale
released      stale     stale     stale     stale     stale     until     stale     stale     stale     stale
lapsed        stale     stale     stale     stale     stale     until     stale     stale     stale     stale
timed-out     stale     stale     stale     stale     stale     until     stale     stale     stale     stale
cancel        cancelled cancelled cancelled cancelled cancelled running   -         -         -         -
expire        expired   expired   expired   expired   expired   -         -         -         -         -
redrive       -         -         -         -         -         -         until     until     until     until
";

fn states(word: &str) -> Vec<State> {
    match word {
        "blocked" => vec![State::Blocked],
        "intake" => vec![State::Available(Place::Intake)],
        "until" => vec![
            State::Available(Place::Until(AT)),
            State::Available(Place::Until(Timestamp::ZERO)),
        ],
        "line" => vec![State::Available(Place::Line(9))],
        "ready" => vec![State::Available(Place::Ready(-5)), State::Available(Place::Ready(5))],
        "running" => vec![State::Running(TOKEN)],
        "completed" => vec![State::Completed],
        "dead" => [Cause::Exhausted, Cause::Final, Cause::Quarantined, Cause::Returned]
            .map(State::Dead)
            .to_vec(),
        "cancelled" => vec![State::Cancelled],
        "expired" => vec![State::Expired],
        other => panic!("{other} is no state"),
    }
}

fn event(word: &str, token: Token) -> Event {
    match word {
        "admit" => Event::Admit { place: RETRY },
        "due" => Event::Due { rank: 1 },
        "park" => Event::Park { key: 9 },
        "promote" => Event::Promote { rank: 1 },
        "adjust" => Event::Adjust { place: RETRY },
        "unblock" => Event::Unblock { place: RETRY },
        "claim" => Event::Claim { token },
        "completed" => Event::Completed { token },
        "failed" => Event::Failed { token, next: Some(RETRY) },
        "failed-final" => Event::Failed { token, next: None },
        "snoozed" => Event::Snoozed { token, place: RETRY },
        "released" => Event::Released { token, place: RETRY },
        "lapsed" => Event::Lapsed { token, place: RETRY },
        "timed-out" => Event::TimedOut { token, next: RETRY },
        "cancel" => Event::Cancel,
        "expire" => Event::Expire,
        "redrive" => Event::Redrive { attempts: 2, place: RETRY },
        other => panic!("{other} is no event"),
    }
}

const REPORTS: [&str; 7] =
    ["completed", "failed", "failed-final", "snoozed", "released", "lapsed", "timed-out"];

fn is_as_said(word: &str, state: State) -> bool {
    match (word, state) {
        ("until", State::Available(place)) => place == RETRY,
        ("ready", State::Available(place)) => place == Place::Ready(1),
        ("line", State::Available(place)) => place == Place::Line(9),
        ("dead", State::Dead(cause)) => cause == Cause::Final,
        ("running", State::Running(token)) => token == TOKEN,
        _ => state.name().as_str() == word,
    }
}

/// A life in the middle of things: three attempts made, one of them spent.
fn life(state: State) -> Life {
    let token_attempt = if state == State::Running(TOKEN) { TOKEN.attempt } else { BEFORE.attempt };
    Life {
        state,
        waits_for: u32::from(state == State::Blocked),
        attempt: token_attempt,
        failures: 1,
        losses: 0,
        released: 1,
        snoozed: 1,
        last: Some((BEFORE, Verdict::Released)),
        ..Life::new(20, 0, RETRY)
    }
}

fn running() -> Life {
    life(State::Running(TOKEN))
}

/// All cells: what the table says, as (event, state, expected word).
fn cells() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut lines = CELLS.trim_start_matches('\n').lines();
    let columns: Vec<_> = lines.next().expect("the states").split_whitespace().collect();
    let rows = lines.flat_map(|line| {
        let mut words = line.split_whitespace();
        let event = words.next().expect("the event");
        let row: Vec<_> = columns.iter().copied().zip(words).map(|(c, w)| (event, c, w)).collect();
        assert_eq!(row.len(), columns.len(), "the row of {event} is whole");
        row
    });
    rows.collect()
}

fn every_life() -> Vec<Life> {
    let words: std::collections::BTreeSet<_> = cells().into_iter().map(|(_, s, _)| s).collect();
    words.into_iter().flat_map(states).map(life).collect()
}

fn every_event(token: Token) -> Vec<Event> {
    let words: std::collections::BTreeSet<_> = cells().into_iter().map(|(e, _, _)| e).collect();
    words.into_iter().map(|word| event(word, token)).collect()
}

#[test]
fn every_cell_is_as_the_table_says() {
    let mut seen = 0;
    for (event_word, state_word, expected) in cells() {
        for state in states(state_word) {
            let life = life(state);
            let answer = step(&life, &event(event_word, TOKEN));
            let what = format!("{event_word} of {state:?}: {answer:?}");
            match expected {
                "-" => assert_eq!(answer, Err(Refused::Impossible(state.name())), "{what}"),
                "stale" => assert_eq!(answer, Err(Refused::Stale), "{what}"),
                word => assert!(answer.is_ok_and(|life| is_as_said(word, life.state)), "{what}"),
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 17 * 15, "seventeen events by fifteen states with their places and causes");
}

#[test]
fn l1_a_report_counts_only_with_the_current_token() {
    for life in every_life() {
        for token in STALE {
            for word in REPORTS {
                let answer = step(&life, &event(word, token));
                assert_eq!(answer, Err(Refused::Stale), "{word} with {token} of {:?}", life.state);
            }
        }
    }
}

#[test]
fn l1_the_same_report_again_is_already_and_another_is_stale() {
    for first in REPORTS {
        let ended = step(&running(), &event(first, TOKEN)).expect("the current token");
        for again in REPORTS {
            let answer = step(&ended, &event(again, TOKEN));
            let verdict = |word: &str| event(word, TOKEN).report().map(|(_, verdict)| verdict);
            if verdict(first) == verdict(again) {
                let verdict = verdict(again).expect("a report");
                assert_eq!(answer, Err(Refused::Already(verdict)), "{again} after {first}");
            } else {
                assert_eq!(answer, Err(Refused::Stale), "{again} after {first}");
            }
        }
    }
}

#[test]
fn l1_a_report_is_known_until_the_next_attempt_has_ended() {
    let ready = Place::Ready(1);
    let released = Event::Released { token: TOKEN, place: ready };
    let given_back = step(&running(), &released).expect("the current token");
    let next = given_back.next_token(4, 1);
    let again = step(&given_back, &Event::Claim { token: next }).expect("it is ready");
    assert_eq!(step(&again, &released), Err(Refused::Already(Verdict::Released)));
    let done = step(&again, &Event::Completed { token: next }).expect("the current token");
    assert_eq!(step(&done, &released), Err(Refused::Stale));
}

#[test]
fn l2_only_a_redrive_leaves_an_end() {
    for life in every_life().into_iter().filter(|life| life.state.is_final()) {
        for token in [TOKEN, BEFORE] {
            for event in every_event(token) {
                let is_redrive = matches!(event, Event::Redrive { .. });
                assert_eq!(step(&life, &event).is_ok(), is_redrive, "{event:?} of {life:?}");
            }
        }
    }
}

#[test]
fn l2_a_redrive_raises_the_allowance_and_never_the_attempt() {
    let cancelled =
        Life { cancel_requested: true, losses: 3, ..life(State::Dead(Cause::Quarantined)) };
    let redriven = step(&cancelled, &Event::Redrive { attempts: 5, place: RETRY }).expect("an end");
    assert_eq!(redriven.attempt, cancelled.attempt);
    assert_eq!(redriven.failures, cancelled.failures);
    assert_eq!(redriven.max_attempts, cancelled.failures + 5);
    assert!(!redriven.cancel_requested && !redriven.is_suspect());
    assert!(redriven.was_redriven() && !cancelled.was_redriven());
    let none = step(&cancelled, &Event::Redrive { attempts: 0, place: RETRY }).expect("an end");
    assert_eq!(none.max_attempts, cancelled.failures + 1, "at least one attempt");
}

#[test]
fn l3_the_attempt_only_grows_and_only_with_a_claim() {
    for life in every_life() {
        for event in every_event(TOKEN) {
            let Ok(after) = step(&life, &event) else { continue };
            if let Event::Claim { token } = event {
                assert_eq!((after.attempt, after.token()), (token.attempt, Some(token)));
                assert_eq!(token.attempt, life.attempt + 1);
            } else {
                assert_eq!(after.attempt, life.attempt, "{event:?}");
            }
        }
    }
}

#[test]
fn l3_failed_and_timed_out_spend_and_the_others_do_not() {
    for word in REPORTS {
        let before = running();
        let after = step(&before, &event(word, TOKEN)).expect("the current token");
        let spends = ["failed", "failed-final", "timed-out"].contains(&word);
        assert_eq!(after.failures, before.failures + u32::from(spends), "{word}");
        assert_eq!(after.released, before.released + u32::from(word == "released"), "{word}");
        assert_eq!(after.snoozed, before.snoozed + u32::from(word == "snoozed"), "{word}");
        assert_eq!(after.losses, before.losses + u32::from(word == "lapsed"), "{word}");
    }
}

#[test]
fn l3_the_last_failure_is_the_end() {
    let last_chance = Life { failures: 19, ..running() };
    for word in ["failed", "timed-out"] {
        let dead = step(&last_chance, &event(word, TOKEN)).expect("the current token");
        assert_eq!(dead.state, State::Dead(Cause::Exhausted), "{word}");
        let before = Life { failures: 18, ..running() };
        let retried = step(&before, &event(word, TOKEN)).expect("the current token");
        assert_eq!(retried.state, State::Available(RETRY), "{word}");
    }
    for word in ["snoozed", "released", "lapsed"] {
        let back = step(&last_chance, &event(word, TOKEN)).expect("the current token");
        assert_eq!(back.state, State::Available(RETRY), "{word}");
    }
}

#[test]
fn l3_snoozes_and_releases_are_bounded() {
    let snoozed = Life { snoozed: SNOOZES_MAX - 1, ..running() };
    let released = Life { released: RELEASES_MAX - 1, ..running() };
    for (life, word) in [(snoozed, "snoozed"), (released, "released")] {
        let dead = step(&life, &event(word, TOKEN)).expect("the current token");
        assert_eq!(dead.state, State::Dead(Cause::Returned), "{word}");
    }
}

#[test]
fn l4_a_wish_to_cancel_wins_against_all_but_a_completion() {
    let asked = step(&running(), &Event::Cancel).expect("it runs");
    assert_eq!(asked, Life { cancel_requested: true, ..running() });
    assert_eq!(step(&asked, &Event::Cancel), Ok(asked), "asking twice is asking once");
    let at_the_end = Life {
        failures: 19,
        losses: 2,
        released: RELEASES_MAX - 1,
        snoozed: SNOOZES_MAX - 1,
        ..asked
    };
    for life in [asked, at_the_end] {
        for word in REPORTS {
            let after = step(&life, &event(word, TOKEN)).expect("the current token");
            let end = if word == "completed" { State::Completed } else { State::Cancelled };
            assert_eq!(after.state, end, "{word}");
            assert!(after.cancel_requested, "it is noted");
        }
    }
}

#[test]
fn l7_losses_do_not_spend_and_the_third_is_quarantine() {
    let mut life = Life::new(1, 0, Place::Ready(1));
    for loss in 1..=LOSSES_MAX {
        assert_eq!(life.is_suspect(), loss > LOSSES_SUSPECT, "before loss {loss}");
        let token = life.next_token(1, u64::from(loss));
        life = step(&life, &Event::Claim { token }).expect("it is ready");
        life = step(&life, &Event::Lapsed { token, place: Place::Ready(1) }).expect("it runs");
        assert_eq!((life.losses, life.failures, life.attempt), (loss, 0, loss));
    }
    assert_eq!(life.state, State::Dead(Cause::Quarantined));
}

#[test]
fn a_blocked_job_waits_for_all_of_its_parents() {
    let mut life = Life::new(20, 3, RETRY);
    let unblock = Event::Unblock { place: RETRY };
    for left in [2, 1] {
        life = step(&life, &unblock).expect("it is blocked");
        assert_eq!((life.state, life.waits_for), (State::Blocked, left));
    }
    life = step(&life, &unblock).expect("it is blocked");
    assert_eq!(life.state, State::Available(RETRY));
}

#[test]
fn a_new_job_has_at_least_one_attempt() {
    assert_eq!(Life::new(0, 0, RETRY).max_attempts, 1);
    assert_eq!(Life::new(7, 0, RETRY).state, State::Available(RETRY));
    assert_eq!(Life::new(7, 1, RETRY).state, State::Blocked);
}

#[test]
fn states_are_named_once() {
    for name in StateName::ALL {
        assert_eq!(name.as_str().parse(), Ok(name));
    }
    let error = "ready".parse::<StateName>().expect_err("a place is no state").to_string();
    assert!(error.contains("\"ready\" is not a state") && error.contains("blocked"), "{error}");
}
