//! `docs/lifecycle.md` is printed from the code. With `UPDATE_DOCS=1` this test writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use taskwright_core::lifecycle::step;
use taskwright_core::limits::{LOSSES_MAX, LOSSES_SUSPECT, RELEASES_MAX, SNOOZES_MAX};
use taskwright_core::{Cause, Event, Life, Place, Refused, State, StateName, Timestamp, Token};

const TOKEN: Token = Token { epoch: 1, attempt: 1, nonce: 1 };
const LATER: Place = Place::Until(Timestamp::ZERO);

const STATES: [(&str, State); 10] = [
    ("blocked", State::Blocked),
    ("intake", State::Available(Place::Intake)),
    ("until", State::Available(Place::Until(Timestamp::ZERO))),
    ("line", State::Available(Place::Line(1))),
    ("ready", State::Available(Place::Ready(1))),
    ("running", State::Running(TOKEN)),
    ("completed", State::Completed),
    ("dead", State::Dead(Cause::Final)),
    ("cancelled", State::Cancelled),
    ("expired", State::Expired),
];

const EVENTS: [(&str, Event, &str); 16] = [
    ("admit", Event::Admit { place: LATER }, "a job at intake gets its first place"),
    ("due", Event::Due { rank: 1 }, "the time it waited for has come"),
    ("park", Event::Park { key: 1 }, "one of its keys has no room"),
    ("promote", Event::Promote { rank: 1 }, "the key that held it has room"),
    ("unblock", Event::Unblock { place: LATER }, "the last job it waited for has ended"),
    ("claim", Event::Claim { token: TOKEN }, "a worker takes it"),
    ("completed", Event::Completed { token: TOKEN }, "report: the task returned"),
    (
        "failed",
        Event::Failed { token: TOKEN, next: Some(LATER) },
        "report: the task failed and may be retried",
    ),
    ("failed (final)", Event::Failed { token: TOKEN, next: None }, "report: no retry will help"),
    (
        "snoozed",
        Event::Snoozed { token: TOKEN, place: LATER },
        "report: the task asks to run again later",
    ),
    (
        "released",
        Event::Released { token: TOKEN, place: LATER },
        "report: the worker gives it back, or never got it",
    ),
    ("lapsed", Event::Lapsed { token: TOKEN, place: LATER }, "the lease of its worker ended"),
    ("timed_out", Event::TimedOut { token: TOKEN, next: LATER }, "the attempt ran too long"),
    ("cancel", Event::Cancel, "somebody asks for it to stop"),
    ("expire", Event::Expire, "its `expires_at` has passed while it waits"),
    ("redrive", Event::Redrive { attempts: 1, place: LATER }, "an operator restarts it"),
];

fn life(state: State) -> Life {
    let waits_for = u32::from(state == State::Blocked);
    Life { state, ..Life::new(20, waits_for, LATER) }
}

/// A running job whose every count is one below its end.
fn at_the_end() -> Life {
    let life = life(State::Running(TOKEN));
    Life {
        failures: life.max_attempts - 1,
        losses: life.max_losses - 1,
        released: RELEASES_MAX - 1,
        snoozed: SNOOZES_MAX - 1,
        ..life
    }
}

fn word(state: State) -> String {
    match state {
        State::Available(Place::Ready(_)) => "ready".to_owned(),
        State::Available(Place::Line(_)) => "line".to_owned(),
        State::Available(_) => "available".to_owned(),
        State::Dead(cause) => format!("dead ({})", cause.as_str()),
        other => other.name().to_string(),
    }
}

fn cell(state: State, event: &Event) -> String {
    let mut words = Vec::new();
    match step(&life(state), event) {
        Ok(after) => words.push(word(after.state)),
        Err(Refused::Impossible(_)) => return "·".to_owned(),
        Err(_) => return "stale".to_owned(),
    }
    if matches!(state, State::Running(_)) {
        let asked = Life { cancel_requested: true, ..life(state) };
        for (other, condition) in [(at_the_end(), "at the limit"), (asked, "if asked to stop")] {
            let after = step(&other, event).map(|after| word(after.state));
            if let Some(after) = after.ok().filter(|after| *after != words[0]) {
                words.push(format!("{after} {condition}"));
            }
        }
    }
    words.join("; ")
}

fn table() -> String {
    let mut text = String::from("| event |");
    for (name, _) in STATES {
        let _ = write!(text, " {name} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(STATES.len()));
    for (name, event, _) in EVENTS {
        let _ = write!(text, "\n| **{name}** |");
        for (_, state) in STATES {
            let _ = write!(text, " {} |", cell(state, &event));
        }
    }
    text
}

fn diagram() -> String {
    let mut arrows = BTreeSet::new();
    for (_, state) in STATES {
        for (name, event, _) in EVENTS {
            let mut lives = vec![life(state)];
            if matches!(state, State::Running(_)) {
                lives.push(at_the_end());
                lives.push(Life { cancel_requested: true, ..life(state) });
            }
            for after in lives.iter().filter_map(|life| step(life, &event).ok()) {
                let (from, to) = (state.name(), after.state.name());
                if from != to {
                    arrows.insert((from, to, name.trim_end_matches(" (final)")));
                }
            }
        }
    }
    let mut text = String::from("stateDiagram-v2\n    [*] --> blocked\n    [*] --> available\n");
    for from in StateName::ALL {
        for to in StateName::ALL {
            let between = arrows.iter().filter(|(a, b, _)| (*a, *b) == (from, to));
            let events: Vec<_> = between.map(|(_, _, event)| *event).collect();
            if !events.is_empty() {
                let _ = writeln!(text, "    {from} --> {to}: {}", events.join(", "));
            }
        }
    }
    text
}

fn document() -> String {
    let mut events = String::new();
    for (name, _, meaning) in EVENTS {
        let _ = writeln!(events, "- **{name}**: {meaning}");
    }
    format!(
        "\
# The life of a job

Printed from `crates/core/src/lifecycle.rs` by `crates/core/tests/lifecycle_doc.rs`; do not edit.
`UPDATE_DOCS=1 cargo test -p taskwright-core --test lifecycle_doc` writes it anew.

```mermaid
{diagram}```

An available job waits in a place: at *intake*, *until* an instant, in the *line* of a key, or
*ready*. Only ready jobs can be claimed. *Scheduled* and *retrying* are names for until.

## Events

{events}
## Every event in every state

`·` means impossible: refused, and nothing changes. Reports count with the token of the running
attempt only; with another one, or none running, they are `stale`, and the very report that ended
the last attempt is answered `already` instead. Neither changes anything.

{table}

\"At the limit\": the failure that reaches `max_attempts`, loss {LOSSES_MAX} (from loss
{LOSSES_SUSPECT} on the job is a suspect, and a worker holds one suspect at a time), release
{RELEASES_MAX}, snooze {SNOOZES_MAX}. A wish to stop wins against each of these.

A blocked job stays blocked until the last of the jobs it waits for has ended. A redrive raises
`max_attempts` and the allowance of losses; `attempt` goes on counting.
",
        diagram = diagram(),
        table = table(),
    )
}

#[test]
fn the_document_is_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lifecycle.md");
    let printed = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &printed).expect("docs/lifecycle.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == printed,
        "docs/lifecycle.md is not what the code does; run this test with UPDATE_DOCS=1"
    );
}
