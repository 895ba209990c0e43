//! Looking into the table: whole jobs, args, and what is known of an id.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;
use taskwright_core::{
    AttemptRecord, Job, JobError, JobId, Json, Name, State, StateName, Timestamp, Verdict, WorkerId,
};
use taskwright_store::Result;

use super::failure::{corrupt, failed};
use super::row::{self, BEHIND, COLUMNS};
use super::schema::{Long, state_of};
use crate::change::{Fixed, LaneNumber, More, Seq, Vital};

const LOOK: &str = "look into the table";

/// Questions to the table, over a connection that sees what was applied.
#[derive(Debug)]
pub struct Look<'a> {
    pub(super) connection: &'a Connection,
    pub(super) lanes: &'a mut LaneNames,
}

/// The names of lanes, read when they are first needed. Lanes are never renamed.
#[derive(Debug, Default)]
pub(super) struct LaneNames(FxHashMap<LaneNumber, LaneName>);

/// The names of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LaneName {
    pub namespace: Name,
    pub queue: Name,
    pub task: Name,
}

/// What is known of an id.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The job's number.
    pub seq: Seq,
    /// Digest of its task, queue and args.
    pub fingerprint: u64,
    /// Its state, or the one it ended in.
    pub state: StateName,
    /// Whether the job is still there, not only its id.
    pub is_kept: bool,
}

/// A job with all that the ledger keeps of one: its args too, and its result in `more`.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What never changes.
    pub fixed: Fixed,
    /// What changes with every step.
    pub vital: Vital,
    /// What changes seldom.
    pub more: More,
}

impl Look<'_> {
    /// Jobs by id, with args, result and attempts; `None` where there is none in the namespace.
    pub fn get(&mut self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        let seqs = ids.iter().map(|id| self.seq_of(*id)).collect::<Result<Vec<_>>>()?;
        let mut get = |seq: Option<Seq>| match seq {
            Some(seq) => self.whole(seq),
            None => Ok(None),
        };
        seqs.into_iter()
            .map(|seq| Ok(get(seq)?.filter(|job| job.namespace == *namespace)))
            .collect()
    }

    /// What is known of ids, also of those whose job was deleted lately.
    pub fn lookup(&self, ids: &[JobId]) -> Result<Vec<Option<Known>>> {
        ids.iter().map(|id| self.known(*id)).collect()
    }

    /// A job by its number, as the ledger keeps one.
    pub fn kept(&self, seq: Seq) -> Result<Option<Kept>> {
        let sql = format!(
            "SELECT {COLUMNS}, jobs.args, jobs.result FROM jobs WHERE jobs.seq = ?1"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed(LOOK))?;
        let mut rows = statement.query([seq.cast_signed()]).map_err(failed(LOOK))?;
        let Some(row) = rows.next().map_err(failed(LOOK))? else { return Ok(None) };
        let vital = row::vital(row)?;
        let more = row::more(self.connection, row, &vital)?.map(|more| *more).unwrap_or_default();
        let args = row::text(self.connection, row, BEHIND, seq, Long::Args)?;
        let result = row::text(self.connection, row, BEHIND + 1, seq, Long::Result)?;
        let fixed = row::fixed(row, args.unwrap_or_else(Json::null))?;
        Ok(Some(Kept { fixed, vital, more: More { result: result_of(&vital, result), ..more } }))
    }

    /// The args of jobs, in the order of `seqs`; `None` where there is no such job.
    pub fn args(&self, seqs: &[Seq]) -> Result<Vec<Option<Json>>> {
        let sql = "SELECT args FROM jobs WHERE seq = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed(LOOK))?;
        let mut args = Vec::with_capacity(seqs.len());
        for &seq in seqs {
            let mut rows = statement.query([seq.cast_signed()]).map_err(failed(LOOK))?;
            args.push(match rows.next().map_err(failed(LOOK))? {
                Some(row) => row::text(self.connection, row, 0, seq, Long::Args)?,
                None => None,
            });
        }
        Ok(args)
    }

    /// The number of a job that is still there.
    pub fn seq_of(&self, id: JobId) -> Result<Option<Seq>> {
        self.connection
            .prepare_cached("SELECT seq FROM jobs WHERE id = ?1")
            .and_then(|mut statement| {
                let key = [id.as_u128().to_be_bytes()];
                statement.query_row(key, |row| row.get::<_, i64>(0)).optional()
            })
            .map(|seq| seq.map(i64::cast_unsigned))
            .map_err(failed(LOOK))
    }

    fn known(&self, id: JobId) -> Result<Option<Known>> {
        let sources = [
            (true, "SELECT seq, fingerprint, state FROM jobs WHERE id = ?1"),
            (false, "SELECT seq, fingerprint, state FROM ended WHERE id = ?1"),
        ];
        for (is_kept, sql) in sources {
            let found: Option<[i64; 3]> = self
                .connection
                .prepare_cached(sql)
                .and_then(|mut statement| {
                    let numbers = |row: &Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
                    statement.query_row([id.as_u128().to_be_bytes()], numbers).optional()
                })
                .map_err(failed(LOOK))?;
            if let Some([seq, fingerprint, state]) = found {
                return Ok(Some(Known {
                    seq: seq.cast_unsigned(),
                    fingerprint: fingerprint.cast_unsigned(),
                    state: state_of(state)?,
                    is_kept,
                }));
            }
        }
        Ok(None)
    }

    fn whole(&mut self, seq: Seq) -> Result<Option<Job>> {
        let sql = format!(
            "SELECT {COLUMNS}, workers.id, jobs.args, jobs.result FROM jobs \
             LEFT JOIN workers ON workers.number = jobs.worker WHERE jobs.seq = ?1"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed(LOOK))?;
        let mut rows = statement.query([seq.cast_signed()]).map_err(failed(LOOK))?;
        let Some(row) = rows.next().map_err(failed(LOOK))? else { return Ok(None) };
        let job = self.outline(row)?;
        let args = row::text(self.connection, row, BEHIND + 1, seq, Long::Args)?;
        let result = row::text(self.connection, row, BEHIND + 2, seq, Long::Result)?;
        let result = result.filter(|_| job.life.state == State::Completed);
        Ok(Some(Job { args, result, attempts: self.attempts(seq)?, ..job }))
    }

    /// A job without args, result and attempts, from a row of [`COLUMNS`] and the id of its worker.
    pub(super) fn outline(&mut self, row: &Row<'_>) -> Result<Job> {
        let fixed = row::fixed(row, Json::null())?;
        let vital = row::vital(row)?;
        let more = row::more(self.connection, row, &vital)?.map(|more| *more).unwrap_or_default();
        let worker = match row.get_ref(BEHIND).map_err(failed(LOOK))? {
            ValueRef::Null => None,
            _ => Some(worker_id(row, BEHIND).map_err(failed(LOOK))?),
        };
        let lane = self.lane(fixed.lane)?;
        Ok(Job {
            namespace: lane.namespace,
            id: fixed.id,
            seq: fixed.seq,
            task: lane.task,
            queue: lane.queue,
            life: vital.life,
            priority: fixed.priority,
            run_at: vital.due_at,
            timeout_ms: fixed.timeout_ms,
            created_at: fixed.created_at,
            started_at: vital.run.map(|run| run.started_at),
            finished_at: vital.finished_at,
            worker,
            cancel_reason: more.cancel_reason,
            error: more.error,
            progress: more.progress,
            checkpoint: more.checkpoint,
            args: None,
            result: None,
            extras: fixed.extras.map(|extras| *extras).unwrap_or_default(),
            attempts: Vec::new(),
        })
    }

    fn attempts(&self, seq: Seq) -> Result<Vec<AttemptRecord>> {
        let sql = "SELECT attempt, worker, started_at, ended_at, verdict, error_kind, error \
                   FROM attempts WHERE seq = ?1 ORDER BY attempt";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed(LOOK))?;
        let mut rows = statement.query([seq.cast_signed()]).map_err(failed(LOOK))?;
        let mut attempts = Vec::new();
        while let Some(row) = rows.next().map_err(failed(LOOK))? {
            let verdict: Arc<str> = row.get(4).map_err(failed(LOOK))?;
            let verdict = verdict_of(&verdict)?;
            attempts.push(attempt(row, verdict).map_err(failed(LOOK))?);
        }
        Ok(attempts)
    }

    pub(super) fn lane(&mut self, number: LaneNumber) -> Result<LaneName> {
        if !self.lanes.0.contains_key(&number) {
            self.read_lanes()?;
        }
        let missing = || corrupt(format_args!("lane {number} has no name"));
        self.lanes.0.get(&number).cloned().ok_or_else(missing)
    }

    /// The lanes there are now, by number.
    pub(super) fn all_lanes(&mut self) -> Result<Vec<(LaneNumber, LaneName)>> {
        self.read_lanes()?;
        let mut lanes: Vec<_> = self.lanes.0.iter().map(|(n, lane)| (*n, lane.clone())).collect();
        lanes.sort_unstable_by_key(|(number, _)| *number);
        Ok(lanes)
    }

    /// Lanes are only ever added, with growing numbers.
    fn read_lanes(&mut self) -> Result<()> {
        let sql = "SELECT number, namespace, queue, task FROM lanes WHERE number >= ?1";
        let known = self.lanes.0.keys().max().map_or(0, |last| last + 1);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed(LOOK))?;
        let mut rows = statement.query([known]).map_err(failed(LOOK))?;
        while let Some(row) = rows.next().map_err(failed(LOOK))? {
            let number = row.get(0).map_err(failed(LOOK))?;
            let name = |column: usize| {
                let text: Box<str> = row.get(column).map_err(failed(LOOK))?;
                Name::new(text).map_err(corrupt)
            };
            let lane = LaneName { namespace: name(1)?, queue: name(2)?, task: name(3)? };
            self.lanes.0.insert(number, lane);
        }
        Ok(())
    }
}

/// A result is the output of a completed job; one that was redriven keeps none.
fn result_of(vital: &Vital, result: Option<Json>) -> Option<Json> {
    result.filter(|_| vital.life.state == State::Completed)
}

fn attempt(row: &Row<'_>, verdict: Verdict) -> rusqlite::Result<AttemptRecord> {
    let kind: Option<Arc<str>> = row.get(5)?;
    let message: Option<Arc<str>> = row.get(6)?;
    Ok(AttemptRecord {
        attempt: row.get(0)?,
        worker: worker_id(row, 1)?,
        started_at: Timestamp::from_micros(row.get(2)?),
        ended_at: Timestamp::from_micros(row.get(3)?),
        verdict,
        error: kind.zip(message).map(|(kind, message)| JobError { kind, message }),
    })
}

fn worker_id(row: &Row<'_>, column: usize) -> rusqlite::Result<WorkerId> {
    Ok(WorkerId::from_u128(u128::from_be_bytes(row.get(column)?)))
}

fn verdict_of(word: &str) -> Result<Verdict> {
    let all = [
        Verdict::Completed,
        Verdict::Failed,
        Verdict::Snoozed,
        Verdict::Released,
        Verdict::Lapsed,
        Verdict::TimedOut,
    ];
    let verdict = all.into_iter().find(|verdict| verdict.as_str() == word);
    verdict.ok_or_else(|| corrupt(format_args!("{word:?} is no end of an attempt")))
}

#[cfg(all(test, any()))]
#[path = "tests/look.rs"]
mod tests;
