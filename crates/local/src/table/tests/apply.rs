//! A fold says the same as its changes one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use taskwright_core::{
    AttemptRecord, Cause, Extras, Job, JobError, Json, Life, Place, Requirement, State, StateName,
    Timestamp, Token, Verdict, limits,
};

use crate::change::{Change, Fixed, More, Rewrite, Run, Seq, Update, Vital};
use crate::table::tests::samples::*;
use crate::table::{Fold, Table};

/// A job as one would note it by hand.
#[derive(Clone, Debug)]
struct Noted {
    fixed: Arc<Fixed>,
    vital: Vital,
    more: More,
    attempts: Vec<AttemptRecord>,
}

/// Jobs kept, and ids remembered, without any cleverness.
#[derive(Default)]
struct Notes {
    jobs: BTreeMap<Seq, Noted>,
    gone: BTreeMap<Seq, (u64, StateName)>,
}

impl Notes {
    fn note(&mut self, change: &Change, now: Timestamp) {
        match change {
            Change::Insert(fixed, vital) => {
                let (fixed, more) = (Arc::clone(fixed), More::default());
                let noted = Noted { fixed, vital: *vital, more, attempts: Vec::new() };
                self.jobs.insert(noted.fixed.seq, noted);
            }
            Change::Update(Update { seq, vital, more }) => {
                let noted = self.jobs.get_mut(seq).unwrap();
                noted.vital = *vital;
                let old = &mut noted.more;
                if let Some(more) = more {
                    noted.attempts.extend(more.attempt.clone());
                    old.error = more.error.clone().or(old.error.take());
                    old.result = more.result.clone().or(old.result.take());
                    old.cancel_reason = more.cancel_reason.clone().or(old.cancel_reason.take());
                    old.progress = more.progress.clone().or(old.progress.take());
                    old.checkpoint = more.checkpoint.clone().or(old.checkpoint.take());
                }
                if !matches!(vital.life.state, State::Running(_)) {
                    old.progress = None;
                }
                if matches!(vital.life.state, State::Available(_)) {
                    (old.result, old.cancel_reason) = (None, None);
                }
            }
            Change::Rewrite(rewrite) => {
                let noted = self.jobs.get_mut(&rewrite.seq).unwrap();
                let mut fixed = Fixed::clone(&noted.fixed);
                fixed.rewrite(rewrite);
                (noted.fixed, noted.vital) = (Arc::new(fixed), rewrite.vital);
                noted.more = More {
                    progress: None,
                    result: None,
                    cancel_reason: None,
                    ..std::mem::take(&mut noted.more)
                };
            }
            Change::Delete(seq) => {
                let noted = self.jobs.remove(seq).unwrap();
                let finished_at = noted.vital.finished_at;
                if finished_at.is_some_and(|at| now < at.plus(limits::ID_WINDOW)) {
                    let state = noted.vital.life.state.name();
                    self.gone.insert(*seq, (noted.fixed.fingerprint, state));
                }
            }
            _ => {}
        }
    }
}

impl Noted {
    fn shown(&self) -> Job {
        let Noted { fixed, vital, more, attempts } = self.clone();
        let (namespace, queue, task) = match fixed.lane {
            0 => ("default", "a", "x"),
            1 => ("default", "a", "y"),
            2 => ("default", "b", "x"),
            _ => ("default", "b", "y"),
        };
        let life = vital.life;
        let last = attempts.len().saturating_sub(limits::ATTEMPTS_KEPT_LAST);
        let is_kept = |index: usize| index < limits::ATTEMPTS_KEPT_FIRST || index >= last;
        let attempts = attempts.into_iter().enumerate().filter(|(index, _)| is_kept(*index));
        Job {
            namespace: name(namespace),
            id: fixed.id,
            seq: fixed.seq,
            task: name(task),
            queue: name(queue),
            life,
            priority: fixed.priority,
            run_at: vital.due_at,
            timeout_ms: fixed.timeout_ms,
            created_at: fixed.created_at,
            started_at: vital.run.map(|run| run.started_at),
            finished_at: vital.finished_at,
            worker: vital.run.map(|run| worker(run.worker)),
            cancel_reason: more.cancel_reason,
            error: more.error,
            progress: more.progress,
            checkpoint: more.checkpoint,
            args: Some(fixed.args.clone()),
            result: more.result,
            extras: Extras {
                requires: if fixed.lane == 1 { "gpu".parse().unwrap() } else { Requirement::NONE },
                ..fixed.extras.as_deref().cloned().unwrap_or_default()
            },
            attempts: attempts.map(|(_, attempt)| attempt).collect(),
        }
    }
}

/// What happens next, to a job chosen by a number.
#[derive(Clone, Debug)]
enum Step {
    Insert {
        args: Json,
        with_extras: bool,
    },
    Update {
        chosen: usize,
        state: State,
        more: Box<More>,
        is_attempt: bool,
        started: bool,
    },
    Delete {
        chosen: usize,
    },
    Rewrite {
        chosen: usize,
        args: Option<Json>,
        tags: Option<Vec<Arc<str>>>,
        number: u8,
    },
    /// Ends the fold.
    Apply,
    /// Opens the table again, from its own bytes.
    Reopen,
}

fn text() -> impl Strategy<Value = Json> {
    let long = Just(format!("\"{}\"", "l".repeat(5_000)));
    prop_oneof![4 => "[0-9]{1,9}", 4 => "\"[a-z]{0,20}\"", 1 => long].prop_map(Json::from_trusted)
}

fn state() -> impl Strategy<Value = State> {
    let token = Token { epoch: 2, attempt: 3, nonce: u64::MAX };
    let live = prop_oneof![
        Just(State::Blocked),
        Just(State::Running(token)),
        any::<i64>().prop_map(|rank| State::Available(Place::Ready(rank))),
        Just(State::Available(Place::Until(at(99)))),
        any::<u64>().prop_map(|key| State::Available(Place::Line(key))),
    ];
    let ended = prop_oneof![
        Just(State::Completed),
        Just(State::Dead(Cause::Exhausted)),
        Just(State::Cancelled),
        Just(State::Expired),
    ];
    prop_oneof![live, ended]
}

fn more() -> impl Strategy<Value = Box<More>> {
    let error = "[a-z]{0,9}".prop_map(|message| JobError::new("error", &message));
    let some = || proptest::option::weighted(0.3, text());
    let reason = proptest::option::weighted(0.2, "[a-z]{3}");
    (proptest::option::weighted(0.3, error), some(), reason, some(), some()).prop_map(
        |(error, result, reason, progress, checkpoint)| {
            let cancel_reason = reason.map(Arc::from);
            Box::new(More { attempt: None, error, result, cancel_reason, progress, checkpoint })
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let insert =
        (text(), any::<bool>()).prop_map(|(args, with_extras)| Step::Insert { args, with_extras });
    let update = (any::<usize>(), state(), more(), any::<bool>(), any::<bool>()).prop_map(
        |(chosen, state, more, is_attempt, started)| Step::Update {
            chosen,
            state,
            more,
            is_attempt,
            started,
        },
    );
    let tags = proptest::collection::vec("[a-z]{2}".prop_map(Arc::from), 0..3);
    let (args, tags) =
        (proptest::option::weighted(0.6, text()), proptest::option::weighted(0.5, tags));
    let rewrite = (any::<usize>(), args, tags, 1..100_u8)
        .prop_map(|(chosen, args, tags, number)| Step::Rewrite { chosen, args, tags, number });
    prop_oneof![
        4 => insert,
        12 => update,
        4 => rewrite,
        1 => any::<usize>().prop_map(|chosen| Step::Delete { chosen }),
        2 => Just(Step::Apply),
        1 => Just(Step::Reopen),
    ]
}

/// The changes that a step means for the jobs there are.
fn changes(step: Step, notes: &Notes, next_seq: Seq) -> Option<Change> {
    let chosen = |chosen: usize| {
        let index = chosen % notes.jobs.len().max(1);
        notes.jobs.values().nth(index)
    };
    Some(match step {
        Step::Insert { args, with_extras } => {
            let extras = with_extras.then(|| Box::new(extras()));
            let lane = (next_seq % 4) as u32;
            Change::Insert(
                Arc::new(Fixed { args, extras, ..fixed(next_seq, lane) }),
                waiting(next_seq),
            )
        }
        Step::Update { chosen: index, state, mut more, is_attempt, started } => {
            let noted = chosen(index)?;
            let old = noted.vital;
            // The attempt that completes a job is none of those that ended without.
            let is_completed = state == State::Completed;
            let attempt = old.life.attempt + u32::from(is_attempt) + u32::from(is_completed);
            let state = match state {
                State::Running(token) => State::Running(Token { attempt, ..token }),
                other => other,
            };
            let has_run = started || is_attempt;
            let run = Run { worker: index as u32 % 2, claim: 1, started_at: at(9) };
            let last =
                is_attempt.then_some((Token { epoch: 1, attempt, nonce: 1 }, Verdict::Failed));
            let vital = Vital {
                life: Life { state, attempt, last, ..old.life },
                due_at: at(attempt.into()),
                run: has_run.then_some(run).or(old.run),
                finished_at: state.is_final().then(|| at(70)),
            };
            more.attempt = is_attempt.then(|| failed_attempt(attempt - u32::from(is_completed)));
            let more = (*more != More::default()).then_some(more);
            Change::Update(Update { seq: noted.fixed.seq, vital, more })
        }
        Step::Delete { chosen: index } => {
            let noted = chosen(index)?;
            if !noted.vital.life.state.is_final() {
                return None;
            }
            Change::Delete(noted.fixed.seq)
        }
        Step::Rewrite { chosen: index, args, tags, number } => {
            let noted = chosen(index)?;
            let place = Place::Ready(number.into());
            let life = Life { state: State::Available(place), ..noted.vital.life };
            let due_at = at(number.into());
            Change::Rewrite(Box::new(Rewrite {
                seq: noted.fixed.seq,
                priority: number as i8,
                timeout_ms: Some(number.into()).filter(|_| number % 2 == 0),
                max_attempts: number.into(),
                tags,
                args,
                vital: Vital { life, due_at, finished_at: None, ..noted.vital },
            }))
        }
        Step::Apply | Step::Reopen => return None,
    })
}

fn compare(table: &mut Table, notes: &Notes, next_seq: Seq) {
    assert_eq!(table.next_seq(), next_seq.max(1));
    let all: Vec<_> = (1..next_seq).map(id).collect();
    let shown = table.look().get(&name("default"), &all).unwrap();
    for (seq, job) in (1..).zip(shown) {
        assert_eq!(job, notes.jobs.get(&seq).map(Noted::shown), "job number {seq}");
    }
    let known = table.look().lookup(&name("default"), &all).unwrap();
    for (seq, known) in (1..).zip(known) {
        let gone = known.filter(|known| !known.is_kept).map(|k| (k.fingerprint, k.state));
        assert_eq!(gone, notes.gone.get(&seq).copied(), "job number {seq}");
    }
    let mut live = Vec::new();
    table.live_jobs(|job| live.push((job.fixed.seq, job.vital))).unwrap();
    let expected = notes.jobs.iter().filter(|(_, noted)| noted.vital.finished_at.is_none());
    assert_eq!(live, expected.map(|(seq, noted)| (*seq, noted.vital)).collect::<Vec<_>>());
    assert_sound(table);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_fold_says_the_same_as_its_changes_one_by_one(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let (mut table, mut notes, mut fold) = (table(), Notes::default(), Fold::new());
        let (mut next_seq, mut position) = (1, table.position());
        for step in steps.into_iter().chain([Step::Reopen]) {
            let (is_apply, is_reopen) =
                (matches!(step, Step::Apply), matches!(step, Step::Reopen));
            if let Some(change) = changes(step, &notes, next_seq) {
                next_seq += u64::from(matches!(change, Change::Insert(..)));
                position += 1;
                notes.note(&change, at(100));
                fold.push(position, at(100), vec![change]);
            }
            if is_apply || is_reopen {
                table.apply(&mut fold).unwrap();
                prop_assert_eq!(table.position(), position);
            }
            if is_reopen {
                table = Table::from_snapshot(&table.snapshot().unwrap()).unwrap();
                compare(&mut table, &notes, next_seq);
            }
        }
    }
}
