//! Looking into the table: whole jobs, args, and what is known of an id.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;
use taskwright_core::{
    AttemptRecord, Extras, Job, JobError, JobId, Json, Name, Requirement, StateName, Timestamp,
    Verdict, WorkerId,
};
use taskwright_store::Result;

use super::failure::{corrupt, failed};
use super::row::{self, BEHIND, COLUMNS};
use super::schema::{Long, state_of};
use crate::change::{Fixed, LaneNumber, More, Seq, Vital, WorkerNumber};

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
    pub requires: Requirement,
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
    /// When it ended, if it has.
    pub finished_at: Option<Timestamp>,
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
    /// Who ran it last.
    pub worker: Option<WorkerId>,
}

impl Look<'_> {
    /// Jobs by id, with args, result and attempts; `None` where there is none in the namespace.
    pub fn get(&mut self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        // One snapshot for all of them.
        let _snapshot = self.connection.unchecked_transaction().map_err(failed(LOOK))?;
        let mut get = |id: &JobId| match self.known(namespace, *id)? {
            Some(known) if known.is_kept => self.whole(known.seq),
            _ => Ok(None),
        };
        ids.iter().map(&mut get).collect()
    }

    /// What is known of ids in a namespace, also of those whose job was deleted lately.
    pub fn lookup(&mut self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Known>>> {
        ids.iter().map(|id| self.known(namespace, *id)).collect()
    }

    /// A job by its number, as the ledger keeps one.
    pub fn kept(&self, seq: Seq) -> Result<Option<Kept>> {
        let sql = format!("SELECT {COLUMNS}, jobs.args, jobs.result FROM jobs WHERE jobs.seq = ?1");
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed(LOOK))?;
        let mut rows = statement.query([seq.cast_signed()]).map_err(failed(LOOK))?;
        let Some(row) = rows.next().map_err(failed(LOOK))? else { return Ok(None) };
        let vital = row::vital(row)?;
        let more = row::more(self.connection, row)?.map(|more| *more).unwrap_or_default();
        let args = row::text(self.connection, row, BEHIND, seq, Long::Args)?;
        let result = row::text(self.connection, row, BEHIND + 1, seq, Long::Result)?;
        let fixed = row::fixed(row, args.unwrap_or_else(Json::null))?;
        let worker = vital.run.map(|run| self.worker(run.worker)).transpose()?.flatten();
        let more = More { result, ..more };
        Ok(Some(Kept { fixed, vital, more, worker }))
    }

    fn worker(&self, number: WorkerNumber) -> Result<Option<WorkerId>> {
        self.connection
            .prepare_cached("SELECT id FROM workers WHERE number = ?1")
            .and_then(|mut statement| statement.query_row([number], |row| row.get(0)).optional())
            .map(|id| id.map(|id| WorkerId::from_u128(u128::from_be_bytes(id))))
            .map_err(failed(LOOK))
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

    pub(super) fn known(&mut self, namespace: &Name, id: JobId) -> Result<Option<Known>> {
        let sources = [
            (true, "SELECT lane, seq, fingerprint, state, finished_at FROM jobs WHERE id = ?1"),
            (false, "SELECT lane, seq, fingerprint, state, finished_at FROM ended WHERE id = ?1"),
        ];
        let mut newest: Option<Known> = None;
        for (is_kept, sql) in sources {
            let mut statement = self.connection.prepare_cached(sql).map_err(failed(LOOK))?;
            let mut rows = statement.query([id.as_u128().to_be_bytes()]).map_err(failed(LOOK))?;
            while let Some(row) = rows.next().map_err(failed(LOOK))? {
                let lane = row.get(0).map_err(failed(LOOK))?;
                let known = known(row, is_kept)?;
                // Each namespace has ids of its own, and an id that was forgotten can be used again.
                if self.lane(lane)?.namespace == *namespace
                    && newest.is_none_or(|newest| newest.seq < known.seq)
                {
                    newest = Some(known);
                }
            }
        }
        Ok(newest)
    }

    /// A job by its number, with args, result and attempts.
    pub(super) fn whole(&mut self, seq: Seq) -> Result<Option<Job>> {
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
        Ok(Some(Job { args, result, attempts: self.attempts(seq)?, ..job }))
    }

    /// A job without args, result and attempts, from a row of [`COLUMNS`] and the id of its worker.
    pub(super) fn outline(&mut self, row: &Row<'_>) -> Result<Job> {
        let fixed = row::fixed(row, Json::null())?;
        let vital = row::vital(row)?;
        let more = row::more(self.connection, row)?.map(|more| *more).unwrap_or_default();
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
            extras: Extras {
                requires: lane.requires,
                ..fixed.extras.map(|extras| *extras).unwrap_or_default()
            },
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
        let sql = "SELECT number, namespace, queue, task, requires FROM lanes WHERE number >= ?1";
        let known = self.lanes.0.keys().max().map_or(0, |last| last + 1);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed(LOOK))?;
        let mut rows = statement.query([known]).map_err(failed(LOOK))?;
        while let Some(row) = rows.next().map_err(failed(LOOK))? {
            let number = row.get(0).map_err(failed(LOOK))?;
            let name = |column: usize| {
                let text: Box<str> = row.get(column).map_err(failed(LOOK))?;
                Name::new(text).map_err(corrupt)
            };
            let requires: Box<str> = row.get(4).map_err(failed(LOOK))?;
            let lane = LaneName {
                namespace: name(1)?,
                queue: name(2)?,
                task: name(3)?,
                requires: requires.parse().map_err(corrupt)?,
            };
            self.lanes.0.insert(number, lane);
        }
        Ok(())
    }
}

fn known(row: &Row<'_>, is_kept: bool) -> Result<Known> {
    let state = row.get(3).map_err(failed(LOOK))?;
    let state = state_of(state)?;
    (|| {
        Ok(Known {
            seq: row.get::<_, i64>(1)?.cast_unsigned(),
            fingerprint: row.get::<_, i64>(2)?.cast_unsigned(),
            state,
            finished_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
            is_kept,
        })
    })()
    .map_err(failed(LOOK))
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

#[cfg(test)]
#[path = "tests/look.rs"]
mod tests;
