//! Jobs and changes for the tests of the table.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::{
    AttemptRecord, Cause, Extras, JobError, JobId, Json, Life, Name, Place, State, StateName,
    Timestamp, Verdict, WorkerId,
};

use crate::change::{Change, Fixed, Lane, LaneNumber, More, Run, Seq, Update, Vital, WorkerFact};
use crate::table::{Fold, Table};

pub const HOUR: Duration = Duration::from_secs(3_600);

/// Second `seconds` of the tests' time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_763_715_600_000 + seconds * 1_000)
}

pub fn id(seq: Seq) -> JobId {
    JobId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(seq))
}

pub fn worker(number: u32) -> WorkerId {
    WorkerId::from_u128(0xabc0 + u128::from(number))
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Lanes 0 to 3: queues a and b, tasks x and y; lane 4: the same as 0 in another namespace.
pub fn names() -> Vec<Change> {
    let lanes = [
        ("default", "a", "x"),
        ("default", "a", "y"),
        ("default", "b", "x"),
        ("default", "b", "y"),
        ("other", "a", "x"),
    ];
    let lanes = (0..).zip(lanes).map(|(number, (namespace, queue, task))| {
        Change::Lane(Lane {
            number,
            namespace: namespace.into(),
            queue: queue.into(),
            task: task.into(),
            requires: if number == 1 { "gpu".into() } else { "".into() },
        })
    });
    let workers = (0..2).map(|number| {
        Change::Worker(WorkerFact {
            number,
            id: worker(number),
            namespace: "default".into(),
            first_seen_at: at(0),
            in_process: number == 1,
        })
    });
    lanes.chain(workers).collect()
}

pub fn fixed(seq: Seq, lane: LaneNumber) -> Fixed {
    Fixed {
        seq,
        id: id(seq),
        lane,
        priority: -3,
        timeout_ms: Some(5_000),
        created_at: at(seq as i64),
        fingerprint: u64::MAX - seq,
        max_attempts: 7,
        args: Json::from_trusted(format!("{{\"n\":{seq}}}")),
        extras: None,
    }
}

pub fn waiting(seq: Seq) -> Vital {
    let due_at = at(seq as i64);
    let life = Life::new(7, 0, Place::Ready(due_at.as_micros()));
    Vital { life, due_at, run: None, finished_at: None }
}

pub fn insert(seq: Seq, lane: LaneNumber) -> Change {
    Change::Insert(Arc::new(fixed(seq, lane)), waiting(seq))
}

pub fn update(seq: Seq, vital: Vital, more: More) -> Change {
    let more = (more != More::default()).then(|| Box::new(more));
    Change::Update(Update { seq, vital, more })
}

pub fn claimed(seq: Seq, vital: Vital) -> Vital {
    let token = vital.life.next_token(1, seq);
    let life = step(&vital.life, &Event::Claim { token }).unwrap();
    Vital { life, run: Some(Run { worker: 0, claim: seq, started_at: at(50) }), ..vital }
}

pub fn completed(vital: Vital, seconds: i64) -> Vital {
    let token = vital.life.token().unwrap();
    let life = step(&vital.life, &Event::Completed { token }).unwrap();
    Vital { life, finished_at: Some(at(seconds)), ..vital }
}

/// A job that ended in `state` at second `seconds`, as it is inserted by one fold.
pub fn ended(seq: Seq, lane: LaneNumber, state: State, seconds: i64) -> [Change; 2] {
    let vital = claimed(seq, waiting(seq));
    let life = Life { state, ..vital.life };
    let vital = Vital { life, finished_at: Some(at(seconds)), ..vital };
    [insert(seq, lane), update(seq, vital, More::default())]
}

pub fn dead() -> State {
    State::Dead(Cause::Final)
}

pub fn failed_attempt(attempt: u32) -> AttemptRecord {
    AttemptRecord {
        attempt,
        worker: worker(0),
        started_at: at(10),
        ended_at: at(11),
        verdict: Verdict::Failed,
        error: Some(JobError::new("error", &format!("failure {attempt}"))),
    }
}

pub fn extras() -> Extras {
    Extras { tags: vec!["blue".into(), "deep".into()], ..Extras::default() }
}

/// A table in memory with the names of [`names`], at position 1.
pub fn table() -> Table {
    let mut table = Table::open_memory(7).unwrap();
    apply(&mut table, names());
    table
}

/// Applies changes as one group.
pub fn apply(table: &mut Table, changes: Vec<Change>) {
    let mut fold = Fold::new();
    fold.push(table.position() + 1, at(100), changes);
    table.apply(&mut fold).unwrap();
}

/// The table finds nothing wrong with itself.
pub fn assert_sound(table: &mut Table) {
    assert_eq!(table.look().check().unwrap(), Vec::<String>::new());
}

pub fn count(table: &mut Table, state: StateName) -> u64 {
    let counts = table.look().recount().unwrap();
    counts.into_iter().filter(|(_, s, _)| *s == state).map(|(.., count)| count).sum()
}
