//! What a ledger starts from.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use taskwright_core::{JobId, Json, StateName, Timestamp, WorkerId};
use taskwright_store::Result;

use super::failure::failed;
use super::row::{self, BEHIND, COLUMNS};
use super::schema::{ARGS_LEN, number_of, numbers_of, state_of};
use super::{Head, Table, Tally};
use super::{documents, limits};
use crate::change::{
    Arrival, DocumentFact, Fixed, Lane, LaneNumber, More, PolicyFact, QueueSettings, Seq,
    TimedHold, Turn, Vital, WorkerFact, WorkerNumber,
};

/// Workers that hold nothing are forgotten at start, but for so many that were first seen last.
const WORKERS_RECALLED: u32 = 1_000;
/// Ended jobs between two live ones that are rather read over than jumped over.
const READ_OVER: u64 = 64;

const LOAD: &str = "load the table";

/// All but the live jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The lanes, by number.
    pub lanes: Vec<Lane>,
    /// The settings of queues.
    pub queues: Vec<QueueSettings>,
    /// The policies.
    pub policies: Vec<PolicyFact>,
    /// The documents.
    pub documents: Vec<DocumentFact>,
    /// When the next start is due by a rate.
    pub arrivals: Vec<Arrival>,
    /// The turns of fair queues.
    pub turns: Vec<Turn>,
    /// Workers that hold jobs, and the newest others, by number, with the number of the last claim.
    pub workers: Vec<(WorkerFact, u64)>,
    /// The number that the next worker gets.
    pub next_worker: WorkerNumber,
    /// How many jobs ended in which lane and state.
    pub ended: Vec<(LaneNumber, StateName, u64)>,
    /// The unique keys that ended jobs hold for a time.
    pub holds: Vec<TimedHold>,
}

/// A job that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveJob {
    /// What never changes, with empty args.
    pub fixed: Fixed,
    /// Length of its args, in bytes.
    pub args_len: u64,
    /// What changes with every step.
    pub vital: Vital,
    /// What changes seldom.
    pub more: Option<Box<More>>,
    /// Whether the table keeps ended attempts of it.
    pub has_attempts: bool,
}

pub(super) fn head(connection: &Connection) -> Result<Head> {
    let sql = "SELECT store, epoch, position, high_water, next_seq, ended_jobs, ended_bytes, \
               dead_jobs, dead_bytes, (SELECT count(*) FROM ended), \
               EXISTS (SELECT 1 FROM payload), whole, EXISTS (SELECT 1 FROM timed_holds) \
               FROM meta JOIN held";
    connection
        .query_row(sql, [], |row| {
            Ok(Head {
                store: u128::from_be_bytes(row.get(0)?),
                epoch: row.get(1)?,
                position: row.get::<_, i64>(2)?.cast_unsigned(),
                high_water: Timestamp::from_micros(row.get(3)?),
                next_seq: row.get::<_, i64>(4)?.cast_unsigned(),
                ended: Tally { jobs: row.get(5)?, bytes: row.get(6)? },
                dead: Tally { jobs: row.get(7)?, bytes: row.get(8)? },
                gone: row.get(9)?,
                has_long: row.get(10)?,
                whole: row.get::<_, i64>(11)?.cast_unsigned(),
                has_holds: row.get(12)?,
            })
        })
        .map_err(failed(LOAD))
}

impl Table {
    /// All that a ledger starts from, but for the live jobs.
    pub fn load(&self) -> Result<Loaded> {
        Ok(Loaded {
            lanes: self.lanes()?,
            queues: self.queues()?,
            policies: limits::policies(&self.connection)?,
            documents: documents::documents(&self.connection)?,
            arrivals: limits::arrivals(&self.connection)?,
            turns: limits::turns(&self.connection)?,
            workers: self.workers()?,
            next_worker: self.next_worker()?,
            ended: self.ended_counts()?,
            holds: self.timed_holds()?,
        })
    }

    /// Hands over all jobs that have not ended, by growing seq.
    pub fn live_jobs(&self, mut each: impl FnMut(LiveJob)) -> Result<()> {
        let no_args = Json::from_trusted("");
        let sql = format!(
            "SELECT {COLUMNS}, jobs.finished_at, {ARGS_LEN} FROM jobs WHERE jobs.seq BETWEEN ?1 AND ?2"
        );
        let mut statement = self.connection.prepare(&sql).map_err(failed(LOAD))?;
        for (first, last) in stretches(&self.live_seqs()?) {
            let bounds = [first.cast_signed(), last.cast_signed()];
            let mut rows = statement.query(bounds).map_err(failed(LOAD))?;
            while let Some(row) = rows.next().map_err(failed(LOAD))? {
                if matches!(row.get_ref(BEHIND), Ok(ValueRef::Null)) {
                    each(self.live_job(row, &no_args)?);
                }
            }
        }
        Ok(())
    }

    /// Hands over the ids of all jobs that have ended, and of those that were deleted lately.
    pub fn ended_ids(&self, mut each: impl FnMut(JobId, StateName)) -> Result<()> {
        let sql = "SELECT id, state FROM jobs WHERE finished_at IS NOT NULL \
                   UNION ALL SELECT id, state FROM ended";
        let mut statement = self.connection.prepare(sql).map_err(failed(LOAD))?;
        let mut rows = statement.query([]).map_err(failed(LOAD))?;
        while let Some(row) = rows.next().map_err(failed(LOAD))? {
            let id = row.get(0).map_err(failed(LOAD))?;
            let state = row.get(1).map_err(failed(LOAD))?;
            each(JobId::from_u128(u128::from_be_bytes(id)), state_of(state)?);
        }
        Ok(())
    }

    fn live_job(&self, row: &Row<'_>, no_args: &Json) -> Result<LiveJob> {
        let fixed = row::fixed(row, no_args.clone())?;
        let vital = row::vital(row)?;
        let more = row::more(&self.connection, row)?;
        let args_len: i64 = row.get(BEHIND + 1).map_err(failed(LOAD))?;
        let life = &vital.life;
        let has_attempts =
            life.attempt > 1 || life.failures + life.losses + life.released + life.snoozed > 0;
        Ok(LiveJob { fixed, args_len: args_len.cast_unsigned(), vital, more, has_attempts })
    }

    fn live_seqs(&self) -> Result<Vec<Seq>> {
        // The index of lanes gives each lane's jobs in order of seq; states before completed are live.
        let sql = "SELECT seq FROM jobs WHERE lane = ?1 AND state = ?2";
        let mut statement = self.connection.prepare(sql).map_err(failed(LOAD))?;
        let mut seqs = Vec::new();
        for lane in self.lanes()? {
            for state in StateName::ALL.into_iter().filter(|state| !state.is_final()) {
                let key = [i64::from(lane.number), number_of(state)];
                let mut rows = statement.query(key).map_err(failed(LOAD))?;
                while let Some(row) = rows.next().map_err(failed(LOAD))? {
                    seqs.push(row.get::<_, i64>(0).map_err(failed(LOAD))?.cast_unsigned());
                }
            }
        }
        seqs.sort_unstable();
        Ok(seqs)
    }

    fn lanes(&self) -> Result<Vec<Lane>> {
        let sql = "SELECT number, namespace, queue, task, requires FROM lanes ORDER BY number";
        self.all(sql, |row| {
            Ok(Lane {
                number: row.get(0)?,
                namespace: row.get(1)?,
                queue: row.get(2)?,
                task: row.get(3)?,
                requires: row.get(4)?,
            })
        })
    }

    fn queues(&self) -> Result<Vec<QueueSettings>> {
        self.all("SELECT namespace, queue, paused FROM queues", |row| {
            Ok(QueueSettings { namespace: row.get(0)?, queue: row.get(1)?, paused: row.get(2)? })
        })
    }

    fn next_worker(&self) -> Result<WorkerNumber> {
        self.connection
            .query_row("SELECT ifnull(max(number) + 1, 0) FROM workers", [], |row| row.get(0))
            .map_err(failed(LOAD))
    }

    fn workers(&self) -> Result<Vec<(WorkerFact, u64)>> {
        let held = self.held()?;
        let of_held: Vec<_> = held.workers().iter().map(ToString::to_string).collect();
        let sql = format!(
            "SELECT number, id, namespace, first_seen_at, in_process, last_claim FROM workers \
             WHERE number IN (SELECT worker FROM jobs WHERE state = {running} \
                              AND lane IN (SELECT number FROM lanes)) \
             OR number IN ({of_held}) \
             OR number IN (SELECT number FROM workers ORDER BY number DESC LIMIT {WORKERS_RECALLED}) \
             ORDER BY number",
            running = number_of(StateName::Running),
            of_held = of_held.join(", "),
        );
        self.all(&sql, |row| {
            let fact = WorkerFact {
                number: row.get(0)?,
                id: WorkerId::from_u128(u128::from_be_bytes(row.get(1)?)),
                namespace: row.get(2)?,
                first_seen_at: Timestamp::from_micros(row.get(3)?),
                in_process: row.get(4)?,
            };
            Ok((fact, row.get::<_, i64>(5)?.cast_unsigned()))
        })
    }

    /// The ids of workers by number.
    pub fn worker_ids(&self, numbers: &[WorkerNumber]) -> Result<Vec<(WorkerNumber, WorkerId)>> {
        let mut statement = self
            .connection
            .prepare("SELECT id FROM workers WHERE number = ?1")
            .map_err(failed(LOAD))?;
        let mut ids = Vec::with_capacity(numbers.len());
        for &number in numbers {
            let id: Option<[u8; 16]> =
                statement.query_row([number], |row| row.get(0)).optional().map_err(failed(LOAD))?;
            ids.extend(id.map(|id| (number, WorkerId::from_u128(u128::from_be_bytes(id)))));
        }
        Ok(ids)
    }

    fn ended_counts(&self) -> Result<Vec<(LaneNumber, StateName, u64)>> {
        let sql = format!(
            "SELECT lane, state, count(*) FROM jobs WHERE lane IN (SELECT number FROM lanes) \
             AND state IN ({}) GROUP BY lane, state",
            numbers_of(StateName::is_final)
        );
        let counts = self.all(&sql, |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
        })?;
        counts.into_iter().map(|(lane, state, count)| Ok((lane, state_of(state)?, count))).collect()
    }

    fn all<T>(
        &self,
        sql: &str,
        make: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare(sql).map_err(failed(LOAD))?;
        let rows = statement.query_map([], make).map_err(failed(LOAD))?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed(LOAD))
    }
}

/// The stretches that hold these numbers, without big gaps inside.
fn stretches(seqs: &[Seq]) -> impl Iterator<Item = (Seq, Seq)> {
    let near = |a: &Seq, b: &Seq| b - a <= READ_OVER;
    seqs.chunk_by(near).filter_map(|chunk| Some((*chunk.first()?, *chunk.last()?)))
}
