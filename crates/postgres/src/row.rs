//! Jobs as rows: reading them, and writing back what changed.

use taskwright_core::lifecycle::{Cause, State};
use taskwright_core::limits::LOSSES_MAX;
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{
    Job, JobId, Json, Life, Name, Place, StateName, Timestamp, Token, Verdict, WorkerId,
};
use taskwright_store::{Error, ErrorKind, Result};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::Notes;
use crate::codec::{VERDICTS, extras_from, notes_from, notes_text, unknown};
use crate::record::{Record, Shelf};

/// The columns that [`record`] reads, of a table `j` with its lane `l` and namespace `n`.
pub(crate) const COLUMNS: &str = "j.seq, j.id, n.name as namespace, l.queue, l.task, l.kind, j.lane, \
    j.priority, j.state, j.cause, j.rank, j.run_at, j.attempt, j.max_attempts, j.allowance, \
    j.worker, j.epoch, j.started_at, j.created_at, j.finished_at, j.timeout_ms, j.failures, \
    j.losses, j.released, j.snoozed, j.max_losses, j.cancel_requested, j.last_epoch, \
    j.last_attempt, j.last_verdict, j.last_nonce, j.line, j.extras, j.notes, j.progress, j.checkpoint";
/// What lists leave out.
pub(crate) const BIG_COLUMNS: &str = "j.result, j.args";
/// Goes with [`COLUMNS`].
pub(crate) const JOINS: &str = "join taskwright.lane l on l.number = j.lane \
    join taskwright.namespace n on n.number = j.namespace";

/// The numbers of states in the database; places of available jobs have numbers of their own.
pub(crate) const READY: i16 = 1;
pub(crate) const LINE: i16 = 3;
pub(crate) const RUNNING: i16 = 5;
pub(crate) const DEAD: i16 = 7;

/// The numbers that jobs of a state have.
pub(crate) fn numbers_of(state: StateName) -> &'static [i16] {
    match state {
        StateName::Blocked => &[0],
        StateName::Available => &[READY, 2, LINE, 4],
        StateName::Running => &[RUNNING],
        StateName::Completed => &[6],
        StateName::Dead => &[DEAD],
        StateName::Cancelled => &[8],
        StateName::Expired => &[9],
    }
}

/// The state with this number.
pub(crate) fn state_numbered(number: i16) -> Result<StateName> {
    let named = StateName::ALL.into_iter().find(|state| numbers_of(*state).contains(&number));
    named.ok_or_else(|| unknown("state", number))
}

pub(crate) fn number_of(state: &State) -> i16 {
    match state {
        State::Blocked => 0,
        State::Available(Place::Ready(_)) => READY,
        State::Available(Place::Until(_)) => 2,
        State::Available(Place::Line(_)) => LINE,
        State::Available(Place::Intake) => 4,
        State::Running(_) => RUNNING,
        State::Completed => 6,
        State::Dead(_) => DEAD,
        State::Cancelled => 8,
        State::Expired => 9,
    }
}

const CAUSES: [(Cause, i16); 4] =
    [(Cause::Exhausted, 0), (Cause::Final, 1), (Cause::Quarantined, 2), (Cause::Returned, 3)];

/// The job in a row of [`COLUMNS`] and, where they were read, [`BIG_COLUMNS`].
pub(crate) fn record(row: &Row, shelf: Shelf) -> Result<Record> {
    let seq: i64 = get(row, "seq")?;
    let life = life(row, seq)?;
    let notes = notes_from(get(row, "notes")?)?;
    let json = |text: Option<String>| text.map(Json::from_trusted);
    let has_big = row.columns().iter().any(|column| column.name() == "args");
    let big = |column| if has_big { get::<Option<String>>(row, column) } else { Ok(None) };
    let job = Job {
        namespace: name(get(row, "namespace")?)?,
        id: JobId::from_u128(get::<Uuid>(row, "id")?.as_u128()),
        seq: seq.unsigned_abs(),
        task: name(get(row, "task")?)?,
        queue: name(get(row, "queue")?)?,
        life,
        priority: i8::try_from(get::<i16>(row, "priority")?).unwrap_or(0),
        run_at: Timestamp::from_micros(get(row, "run_at")?),
        timeout_ms: get::<Option<i64>>(row, "timeout_ms")?.map(i64::unsigned_abs),
        created_at: Timestamp::from_micros(get(row, "created_at")?),
        started_at: instant(row, "started_at")?,
        finished_at: instant(row, "finished_at")?,
        worker: get::<Option<Uuid>>(row, "worker")?.map(|id| WorkerId::from_u128(id.as_u128())),
        cancel_reason: notes.cancel_reason,
        error: notes.error,
        progress: json(get(row, "progress")?),
        checkpoint: json(get(row, "checkpoint")?),
        args: json(big("args")?),
        result: json(big("result")?),
        extras: extras_from(get(row, "extras")?)?,
        attempts: notes.attempts,
    };
    let allowance = count(row, "allowance")?.unwrap_or(life.max_attempts);
    let (lane, kind) = (get(row, "lane")?, get(row, "kind")?);
    Ok(Record { job, shelf, lane, kind, allowance, touched: false })
}

fn life(row: &Row, seq: i64) -> Result<Life> {
    let attempt = count(row, "attempt")?.unwrap_or(0);
    let run_at = Timestamp::from_micros(get(row, "run_at")?);
    let token = |epoch: i32, attempt: u32| Token {
        epoch: epoch.unsigned_abs(),
        attempt,
        nonce: seq.unsigned_abs(),
    };
    let number: i16 = get(row, "state")?;
    let state = match number {
        0 => State::Blocked,
        READY => State::Available(Place::Ready(get(row, "rank")?)),
        2 => State::Available(Place::Until(run_at)),
        LINE => State::Available(Place::Line(
            get::<Option<i64>>(row, "line")?.unwrap_or(0).cast_unsigned(),
        )),
        4 => State::Available(Place::Intake),
        RUNNING => State::Running(token(get::<Option<i32>>(row, "epoch")?.unwrap_or(0), attempt)),
        6 => State::Completed,
        DEAD => {
            let number: Option<i16> = get(row, "cause")?;
            let named = CAUSES.into_iter().find(|(_, known)| Some(*known) == number);
            State::Dead(named.ok_or_else(|| unknown("cause", number.unwrap_or(-1)))?.0)
        }
        8 => State::Cancelled,
        9 => State::Expired,
        other => return Err(unknown("state", other)),
    };
    let last = match get::<Option<i16>>(row, "last_verdict")? {
        None => None,
        Some(number) => {
            let named = VERDICTS.into_iter().find(|(_, known)| *known == number);
            let (verdict, _) = named.ok_or_else(|| unknown("verdict", number))?;
            let epoch = get::<Option<i32>>(row, "last_epoch")?.unwrap_or(0);
            let attempt = count(row, "last_attempt")?.unwrap_or(0);
            let nonce = get::<Option<i64>>(row, "last_nonce")?.unwrap_or(seq).cast_unsigned();
            Some((Token { nonce, ..token(epoch, attempt) }, verdict))
        }
    };
    Ok(Life {
        state,
        waits_for: 0,
        attempt,
        failures: count(row, "failures")?.unwrap_or(0),
        losses: count(row, "losses")?.unwrap_or(0),
        released: count(row, "released")?.unwrap_or(0),
        snoozed: count(row, "snoozed")?.unwrap_or(0),
        max_attempts: count(row, "max_attempts")?.unwrap_or(1),
        max_losses: count(row, "max_losses")?.unwrap_or(LOSSES_MAX),
        cancel_requested: get::<Option<bool>>(row, "cancel_requested")?.unwrap_or(false),
        last,
    })
}

/// A column, or the error that says which could not be read.
pub(crate) fn get<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    column: &str,
) -> Result<T> {
    row.try_get(column).map_err(|error| {
        let message = format!("the column {column} of the database cannot be read: {error}");
        Error::new(ErrorKind::Corrupt, message)
    })
}

pub(crate) fn instant(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros))
}

fn count(row: &Row, column: &str) -> Result<Option<u32>> {
    Ok(get::<Option<i32>>(row, column)?.map(i32::unsigned_abs))
}

/// A name that the store wrote down.
pub(crate) fn name(text: &str) -> Result<Name> {
    Name::new(text).map_err(|error| {
        Error::new(ErrorKind::Corrupt, format!("the database holds a name that is none: {error}"))
    })
}

/// The nonce of the newest report, where another store gave the token.
fn foreign_nonce(job: &Job) -> Option<i64> {
    job.life
        .last
        .map(|(token, _)| token.nonce)
        .filter(|nonce| *nonce != job.seq)
        .map(u64::cast_signed)
}

/// The changed rows of some jobs, column by column, as `save_jobs` takes them.
#[derive(Default)]
pub(crate) struct Changes {
    seq: Vec<i64>,
    lane: Vec<i32>,
    state: Vec<i16>,
    rank: Vec<i64>,
    run_at: Vec<i64>,
    max_attempts: Vec<i32>,
    allowance: Vec<Option<i32>>,
    failures: Vec<Option<i32>>,
    losses: Vec<Option<i32>>,
    released: Vec<Option<i32>>,
    snoozed: Vec<Option<i32>>,
    max_losses: Vec<Option<i32>>,
    cancel: Vec<Option<bool>>,
    last_epoch: Vec<Option<i32>>,
    last_attempt: Vec<Option<i32>>,
    last_verdict: Vec<Option<i16>>,
    last_nonce: Vec<Option<i64>>,
    cause: Vec<Option<i16>>,
    finished_at: Vec<Option<i64>>,
    notes: Vec<Option<String>>,
    progress: Vec<Option<String>>,
    checkpoint: Vec<Option<String>>,
    result: Vec<Option<String>>,
    line: Vec<Option<i64>>,
}

fn filled(number: u32) -> Option<i32> {
    (number > 0).then_some(number.cast_signed())
}

fn text(json: &Option<Json>) -> Option<String> {
    json.as_ref().map(|json| json.as_str().to_owned())
}

impl Changes {
    /// Adds the row of a job that waits in `lane` from now on.
    pub fn add(&mut self, record: &Record, lane: i32) {
        let Record { job, allowance, .. } = record;
        let life = &job.life;
        let rank = match life.state {
            State::Available(Place::Ready(rank)) => rank,
            _ => rank::fifo(job.run_at, job.priority, AGING_DEFAULT),
        };
        let cause = match life.state {
            State::Dead(cause) => CAUSES.into_iter().find(|(c, _)| *c == cause).map(|(_, n)| n),
            _ => None,
        };
        let verdict = |verdict: Verdict| {
            VERDICTS.into_iter().find(|(known, _)| *known == verdict).map(|(_, number)| number)
        };
        let notes = Notes {
            cancel_reason: job.cancel_reason.clone(),
            error: job.error.clone(),
            attempts: job.attempts.clone(),
        };
        self.seq.push(job.seq.cast_signed());
        self.lane.push(lane);
        self.state.push(number_of(&life.state));
        self.rank.push(rank);
        self.run_at.push(job.run_at.as_micros());
        self.max_attempts.push(life.max_attempts.cast_signed());
        self.allowance.push((*allowance != life.max_attempts).then_some(allowance.cast_signed()));
        self.failures.push(filled(life.failures));
        self.losses.push(filled(life.losses));
        self.released.push(filled(life.released));
        self.snoozed.push(filled(life.snoozed));
        self.max_losses.push(life.was_redriven().then_some(life.max_losses.cast_signed()));
        self.cancel.push(life.cancel_requested.then_some(true));
        self.last_epoch.push(life.last.map(|(token, _)| token.epoch.cast_signed()));
        self.last_attempt.push(life.last.map(|(token, _)| token.attempt.cast_signed()));
        self.last_verdict.push(life.last.and_then(|(_, last)| verdict(last)));
        self.last_nonce.push(foreign_nonce(job));
        self.cause.push(cause);
        self.finished_at.push(job.finished_at.map(Timestamp::as_micros));
        self.notes.push(notes_text(&notes));
        self.progress.push(text(&job.progress));
        self.checkpoint.push(text(&job.checkpoint));
        self.result.push(text(&job.result));
        self.line.push(match life.state {
            State::Available(Place::Line(key)) => Some(key.cast_signed()),
            _ => None,
        });
    }

    /// The arguments of `save_jobs`, in order.
    pub fn arguments(&self) -> [crate::link::Argument<'_>; 24] {
        [
            (&self.seq, Type::INT8_ARRAY),
            (&self.lane, Type::INT4_ARRAY),
            (&self.state, Type::INT2_ARRAY),
            (&self.rank, Type::INT8_ARRAY),
            (&self.run_at, Type::INT8_ARRAY),
            (&self.max_attempts, Type::INT4_ARRAY),
            (&self.allowance, Type::INT4_ARRAY),
            (&self.failures, Type::INT4_ARRAY),
            (&self.losses, Type::INT4_ARRAY),
            (&self.released, Type::INT4_ARRAY),
            (&self.snoozed, Type::INT4_ARRAY),
            (&self.max_losses, Type::INT4_ARRAY),
            (&self.cancel, Type::BOOL_ARRAY),
            (&self.last_epoch, Type::INT4_ARRAY),
            (&self.last_attempt, Type::INT4_ARRAY),
            (&self.last_verdict, Type::INT2_ARRAY),
            (&self.last_nonce, Type::INT8_ARRAY),
            (&self.cause, Type::INT2_ARRAY),
            (&self.finished_at, Type::INT8_ARRAY),
            (&self.notes, Type::TEXT_ARRAY),
            (&self.progress, Type::TEXT_ARRAY),
            (&self.checkpoint, Type::TEXT_ARRAY),
            (&self.result, Type::TEXT_ARRAY),
            (&self.line, Type::INT8_ARRAY),
        ]
    }
}
