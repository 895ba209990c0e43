//! Policies, and what rates have used.

use rusqlite::{Connection, Row};
use taskwright_core::{Name, Ordered, Policy, Rate, StateName, Subject, Timestamp};
use taskwright_store::Result;

use super::failure::{corrupt, failed};
use super::fold::Fold;
use super::schema::number_of;
use super::{Table, row};
use crate::change::{Arrival, PolicyFact, Turn};
use crate::ledger::DeadJob;

const LOAD: &str = "load the policies";

pub(super) const TABLES: &str = "
CREATE TABLE policies (
    namespace     TEXT NOT NULL,
    kind          TEXT NOT NULL,
    queue         TEXT NOT NULL,
    name          TEXT NOT NULL,
    concurrency   INTEGER,
    count         INTEGER,
    period_ms     INTEGER,
    burst         INTEGER,
    fair          INTEGER NOT NULL DEFAULT 0,
    weight        INTEGER,
    retry_count   INTEGER,
    retry_period_ms INTEGER,
    retry_burst   INTEGER,
    waiting       INTEGER,
    ordered       TEXT,
    strict        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, kind, queue, name)
) WITHOUT ROWID;
CREATE TABLE arrivals (
    number        INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL
);
CREATE INDEX arrival_at ON arrivals (at);
";

pub(super) const TURNS: &str = "
CREATE TABLE turns (
    number        INTEGER PRIMARY KEY,
    clock         INTEGER NOT NULL,
    at            INTEGER NOT NULL
);
CREATE INDEX turn_at ON turns (clock, at);
";

/// What tables of formats before 5 lack of [`TABLES`].
pub(super) const FAIR: &str = "
ALTER TABLE policies ADD COLUMN fair INTEGER NOT NULL DEFAULT 0;
ALTER TABLE policies ADD COLUMN weight INTEGER;
";

/// What tables of formats before 6 lack of [`TABLES`].
pub(super) const BOUNDS: &str = "
ALTER TABLE policies ADD COLUMN retry_count INTEGER;
ALTER TABLE policies ADD COLUMN retry_period_ms INTEGER;
ALTER TABLE policies ADD COLUMN retry_burst INTEGER;
ALTER TABLE policies ADD COLUMN waiting INTEGER;
ALTER TABLE policies ADD COLUMN ordered TEXT;
";

/// What tables of formats before 7 lack of [`TABLES`].
pub(super) const STRICT: &str = "
ALTER TABLE policies ADD COLUMN strict INTEGER NOT NULL DEFAULT 0;
";

pub(super) fn write(connection: &Connection, fold: &Fold) -> rusqlite::Result<()> {
    for fact in &fold.policies {
        write_policy(connection, fact)?;
    }
    write_turns(connection, fold)?;
    if fold.arrivals.is_empty() {
        return Ok(());
    }
    // What is over says nothing any more.
    connection
        .prepare_cached("DELETE FROM arrivals WHERE at <= ?1")?
        .execute([fold.now.as_micros()])?;
    for (number, at) in fold.arrivals.iter().filter(|(_, at)| **at > fold.now) {
        connection
            .prepare_cached("INSERT OR REPLACE INTO arrivals VALUES (?1, ?2)")?
            .execute((number.cast_signed(), at.as_micros()))?;
    }
    Ok(())
}

fn write_turns(connection: &Connection, fold: &Fold) -> rusqlite::Result<()> {
    for turn in fold.turns.values() {
        connection
            .prepare_cached("INSERT OR REPLACE INTO turns VALUES (?1, ?2, ?3)")?
            .execute((turn.number.cast_signed(), turn.clock.cast_signed(), turn.at))?;
    }
    // What the clock has passed says nothing any more.
    for clock in fold.turns.values().filter(|turn| turn.number == turn.clock) {
        connection
            .prepare_cached("DELETE FROM turns WHERE clock = ?1 AND at <= ?2 AND number <> ?1")?
            .execute((clock.number.cast_signed(), clock.at))?;
    }
    Ok(())
}

fn write_policy(connection: &Connection, fact: &PolicyFact) -> rusqlite::Result<()> {
    let (kind, queue, name) = match &fact.subject {
        Subject::Queue(queue) => ("queue", queue.as_str(), ""),
        Subject::Task(task) => ("task", "", task.as_str()),
        Subject::Group { queue, group } => ("group", queue.as_str(), &**group),
        Subject::Key(key) => ("key", "", &**key),
    };
    let Some(policy) = fact.policy else {
        let sql = "DELETE FROM policies WHERE (namespace, kind, queue, name) = (?1, ?2, ?3, ?4)";
        let subject = (fact.namespace.as_str(), kind, queue, name);
        return connection.prepare_cached(sql)?.execute(subject).map(|_| ());
    };
    let count = |rate: Option<Rate>| rate.map(|rate| rate.count);
    let burst = |rate: Option<Rate>| rate.map(|rate| rate.burst);
    let period_ms = |rate: Option<Rate>| rate.map(|rate| rate.period_ms.cast_signed());
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO policies \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute((
            fact.namespace.as_str(),
            kind,
            queue,
            name,
            policy.concurrency,
            count(policy.rate),
            period_ms(policy.rate),
            burst(policy.rate),
            policy.fair,
            policy.weight,
            count(policy.retries),
            period_ms(policy.retries),
            burst(policy.retries),
            policy.waiting,
            policy.ordered.map(Ordered::as_str),
            policy.strict,
        ))
        .map(|_| ())
}

pub(super) fn policies(connection: &Connection) -> Result<Vec<PolicyFact>> {
    let sql = "SELECT namespace, kind, queue, name, concurrency, count, period_ms, burst, fair, \
        weight, retry_count, retry_period_ms, retry_burst, waiting, ordered, strict FROM policies";
    let mut statement = connection.prepare(sql).map_err(failed(LOAD))?;
    let mut rows = statement.query([]).map_err(failed(LOAD))?;
    let mut policies = Vec::new();
    while let Some(row) = rows.next().map_err(failed(LOAD))? {
        policies.push(PolicyFact {
            namespace: name(&text(row, 0)?)?,
            subject: subject(row)?,
            policy: Some(policy(row)?),
        });
    }
    Ok(policies)
}

fn subject(row: &Row<'_>) -> Result<Subject> {
    let (kind, queue, named) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
    Ok(match kind.as_str() {
        "queue" => Subject::Queue(name(&queue)?),
        "task" => Subject::Task(name(&named)?),
        "group" => Subject::Group { queue: name(&queue)?, group: named.into() },
        "key" => Subject::Key(named.into()),
        other => return Err(corrupt(format_args!("{other:?} is nothing that has a policy"))),
    })
}

fn policy(row: &Row<'_>) -> Result<Policy> {
    let ordered: Option<String> = row.get(14).map_err(failed(LOAD))?;
    let ordered = ordered.map(|word| {
        let known = Ordered::from_word(&word);
        known.ok_or_else(|| corrupt(format_args!("{word:?} is nothing that dead jobs do")))
    });
    let policy = numbers(row).map_err(failed(LOAD))?;
    Ok(Policy { ordered: ordered.transpose()?, ..policy })
}

fn numbers(row: &Row<'_>) -> rusqlite::Result<Policy> {
    Ok(Policy {
        concurrency: row.get(4)?,
        rate: rate(row, 5)?,
        fair: row.get(8)?,
        weight: row.get(9)?,
        retries: rate(row, 10)?,
        waiting: row.get(13)?,
        ordered: None,
        strict: row.get(15)?,
    })
}

/// The rate in three columns from this one on.
fn rate(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Rate>> {
    let count: Option<u32> = row.get(column)?;
    let (period_ms, burst): (Option<i64>, Option<u32>) =
        (row.get(column + 1)?, row.get(column + 2)?);
    Ok(count.zip(period_ms).zip(burst).map(|((count, period_ms), burst)| Rate {
        count,
        period_ms: period_ms.cast_unsigned(),
        burst,
    }))
}

fn text(row: &Row<'_>, column: usize) -> Result<String> {
    row.get(column).map_err(failed(LOAD))
}

fn name(text: &str) -> Result<Name> {
    Name::new(text)
        .map_err(|error| corrupt(format_args!("a policy names something wrongly: {error}")))
}

pub(super) fn arrivals(connection: &Connection) -> Result<Vec<Arrival>> {
    let mut statement =
        connection.prepare("SELECT number, at FROM arrivals").map_err(failed(LOAD))?;
    let arrival = |row: &Row<'_>| {
        let (number, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Arrival { number: number.cast_unsigned(), at: Timestamp::from_micros(at) })
    };
    let rows = statement.query_map([], arrival).map_err(failed(LOAD))?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed(LOAD))
}

pub(super) fn turns(connection: &Connection) -> Result<Vec<Turn>> {
    let mut statement =
        connection.prepare("SELECT number, clock, at FROM turns").map_err(failed(LOAD))?;
    let turn = |row: &Row<'_>| {
        let (number, clock): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (number, clock) = (number.cast_unsigned(), clock.cast_unsigned());
        Ok(Turn { number, clock, at: row.get(2)? })
    };
    let rows = statement.query_map([], turn).map_err(failed(LOAD))?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed(LOAD))
}

impl Table {
    /// The dead jobs that have a group or limit keys.
    pub fn dead_with_keys(&self) -> Result<Vec<DeadJob>> {
        dead_with_keys(&self.connection)
    }
}

pub(super) fn dead_with_keys(connection: &Connection) -> Result<Vec<DeadJob>> {
    const READ: &str = "look for dead jobs";
    let sql = format!(
        "SELECT seq, lane, extras FROM jobs INDEXED BY job_dead \
         WHERE finished_at IS NOT NULL AND state = {} AND extras IS NOT NULL",
        number_of(StateName::Dead)
    );
    let mut statement = connection.prepare(&sql).map_err(failed(READ))?;
    let mut rows = statement.query([]).map_err(failed(READ))?;
    let mut dead = Vec::new();
    while let Some(found) = rows.next().map_err(failed(READ))? {
        let Some(extras) = row::extras_in(found, 2)? else { continue };
        if extras.group.is_some() || !extras.limit_keys.is_empty() {
            let seq: i64 = found.get(0).map_err(failed(READ))?;
            let lane = found.get(1).map_err(failed(READ))?;
            dead.push(DeadJob { seq: seq.cast_unsigned(), lane, extras });
        }
    }
    Ok(dead)
}
