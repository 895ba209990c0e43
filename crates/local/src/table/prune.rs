//! Letting go of ended jobs, and of the space they took.

use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::{FxHashMap, FxHashSet};
use taskwright_core::{JobId, StateName, Timestamp, limits};
use taskwright_store::{Result, Retention};

use super::apply::write_head;
use super::failure::failed;
use super::row::job_id;
use super::schema::{Long, WEIGHT, number_of, state_of};
use super::{Head, Table, Tally, holds};
use crate::change::{LaneNumber, Seq};

const PRUNE: &str = "prune ended jobs from the table";

/// Remembered ids looked at for each job that may be pruned.
const LOOKED_AT: usize = 4;
/// Free pages that are kept for the next jobs, beside a quarter of what is used.
const FREE_PAGES_KEPT: i64 = 1_024;

/// What was pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many jobs of which lane and state.
    pub counts: Vec<(LaneNumber, StateName, u64)>,
    /// Their ids, oldest end first within a kind.
    pub ids: Vec<JobId>,
    /// Which of them held a unique key for a time, and until when.
    pub holds: Vec<(Timestamp, Seq)>,
    /// Which of them were dead.
    pub dead: Vec<Seq>,
    /// How many ids of ended jobs the table still knows; rather too many.
    pub remembered: u64,
    /// Whether it stopped at its limit.
    pub more: bool,
}

/// A row of `jobs` that is to go, and what depends on it.
pub(super) struct Doomed {
    seq: Seq,
    id: JobId,
    lane: LaneNumber,
    fingerprint: i64,
    state: StateName,
    finished_at: Option<Timestamp>,
    bytes: i64,
    has_attempts: bool,
}

/// A job that completed in its first attempt has no ended attempts.
const DOOMED: &str = "jobs.seq, jobs.id, jobs.lane, jobs.fingerprint, jobs.state, \
    jobs.finished_at, jobs.attempt > 1 OR jobs.state <> 3";

impl Table {
    /// Deletes up to `limit` jobs that are beyond `retention` at `now`, those that ended first
    /// before the others and dead ones last, but none of `spared`. Their ids stay known until
    /// `ID_WINDOW` after their end.
    pub fn prune(
        &mut self,
        now: Timestamp,
        retention: &Retention,
        limit: usize,
        spared: &FxHashSet<Seq>,
    ) -> Result<Pruned> {
        let mut head = self.head;
        let mut pruned = Pruned::default();
        let transaction = self.connection.transaction().map_err(failed(PRUNE))?;
        let mut counts: FxHashMap<(LaneNumber, StateName), u64> = FxHashMap::default();
        for kind in [Kind::OTHER, Kind::DEAD] {
            let age = if kind.is_dead { retention.dead_age } else { retention.age };
            let left = limit - pruned.ids.len();
            let bounds = Bounds { ended_by: now.minus(age), retention: *retention };
            let doomed = kind.beyond(&transaction, &bounds, *kind.tally(&head), left, spared)?;
            for job in doomed {
                let hold = job.delete(&transaction, now, &mut head).map_err(failed(PRUNE))?;
                pruned.holds.extend(hold.map(|until| (until, job.seq)));
                *counts.entry((job.lane, job.state)).or_default() += 1;
                pruned.ids.push(job.id);
                if kind.is_dead {
                    pruned.dead.push(job.seq);
                }
            }
        }
        let (forgotten, forgotten_to) =
            forget(&transaction, now, self.forgotten_to, limit * LOOKED_AT)
                .map_err(failed(PRUNE))?;
        head.gone -= forgotten;
        if head.has_holds {
            holds::forget_elapsed(&transaction, now).map_err(failed(PRUNE))?;
        }
        if head != self.head {
            write_head(&transaction, &head).map_err(failed(PRUNE))?;
        }
        transaction.commit().map_err(failed(PRUNE))?;
        self.head = head;
        self.forgotten_to = forgotten_to;
        pruned.remembered = head.remembered();
        pruned.more = pruned.ids.len() == limit;
        pruned.counts = counts.into_iter().map(|((lane, state), n)| (lane, state, n)).collect();
        pruned.counts.sort_unstable();
        Ok(pruned)
    }

    /// Gives back to the file system some of the pages that hold nothing, at most so many. Answers
    /// whether there are more.
    pub fn give_back(&mut self, pages: u32) -> Result<bool> {
        let number = |pragma: &str| {
            let sql = format!("PRAGMA {pragma}");
            self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
        };
        let spare = || -> rusqlite::Result<i64> {
            let (free, all) = (number("freelist_count")?, number("page_count")?);
            Ok(free - FREE_PAGES_KEPT - (all - free) / 4)
        };
        (|| {
            let before = spare()?;
            if before <= 0 {
                return Ok(false);
            }
            let sql = format!("PRAGMA incremental_vacuum({})", before.min(pages.into()));
            // It frees one page a row.
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            drop(rows);
            Ok(spare()? > 0)
        })()
        .map_err(failed("give back space of the table"))
    }
}

impl Head {
    /// How many ids of ended jobs the table knows, those of deleted ones included; rather too many.
    fn remembered(&self) -> u64 {
        (self.gone + self.ended.jobs + self.dead.jobs).max(0).cast_unsigned()
    }
}

impl Pruned {
    /// Adds what was pruned after it.
    pub(super) fn add(&mut self, later: Pruned) {
        for (lane, state, count) in later.counts {
            match self.counts.iter_mut().find(|(l, s, _)| (*l, *s) == (lane, state)) {
                Some((.., sum)) => *sum += count,
                None => self.counts.push((lane, state, count)),
            }
        }
        self.ids.extend(later.ids);
        self.holds.extend(later.holds);
        self.dead.extend(later.dead);
        self.remembered = later.remembered;
        self.more = later.more;
    }
}

/// Ended jobs are kept as two kinds.
struct Kind {
    is_dead: bool,
    index: &'static str,
    is_in: &'static str,
}

struct Bounds {
    ended_by: Timestamp,
    retention: Retention,
}

impl Kind {
    const OTHER: Kind = Kind { is_dead: false, index: "job_ended", is_in: "state <> 4" };
    const DEAD: Kind = Kind { is_dead: true, index: "job_dead", is_in: "state = 4" };

    fn tally<'a>(&self, head: &'a Head) -> &'a Tally {
        if self.is_dead { &head.dead } else { &head.ended }
    }

    /// The jobs of this kind that are beyond the bounds.
    fn beyond(
        &self,
        connection: &Connection,
        bounds: &Bounds,
        mut left: Tally,
        limit: usize,
        spared: &FxHashSet<Seq>,
    ) -> Result<Vec<Doomed>> {
        let Kind { index, is_in, .. } = self;
        let sql = format!(
            "SELECT {DOOMED}, {WEIGHT} FROM jobs INDEXED BY {index} \
             WHERE finished_at IS NOT NULL AND {is_in} ORDER BY finished_at, seq"
        );
        let mut statement = connection.prepare_cached(&sql).map_err(failed(PRUNE))?;
        let mut rows = statement.query([]).map_err(failed(PRUNE))?;
        let mut doomed = Vec::new();
        while doomed.len() < limit
            && let Some(row) = rows.next().map_err(failed(PRUNE))?
        {
            let job = Doomed::read(row)?;
            let is_old = job.finished_at.is_some_and(|at| at <= bounds.ended_by);
            let count = left.jobs.max(0).cast_unsigned();
            let bytes = left.bytes.max(0).cast_unsigned();
            let is_beyond = count > bounds.retention.count || bytes > bounds.retention.bytes;
            if !is_old && !is_beyond {
                break;
            }
            if !spared.contains(&job.seq) {
                left.add(-1, -job.bytes);
                doomed.push(job);
            }
        }
        Ok(doomed)
    }
}

impl Doomed {
    /// A job by its number.
    pub fn find(connection: &Connection, seq: Seq) -> Result<Option<Doomed>> {
        let sql = format!("SELECT {DOOMED}, {WEIGHT} FROM jobs WHERE jobs.seq = ?1");
        let mut statement = connection.prepare_cached(&sql).map_err(failed(PRUNE))?;
        let found = statement.query_row([seq.cast_signed()], |row| Ok(Doomed::read(row)));
        found.optional().map_err(failed(PRUNE))?.transpose()
    }

    fn read(row: &Row<'_>) -> Result<Doomed> {
        let state = row.get(4).map_err(failed(PRUNE))?;
        let state = state_of(state)?;
        (|| {
            Ok(Doomed {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                id: job_id(row, 1)?,
                lane: row.get(2)?,
                fingerprint: row.get(3)?,
                state,
                finished_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
                has_attempts: row.get(6)?,
                bytes: row.get(7)?,
            })
        })()
        .map_err(failed(PRUNE))
    }

    /// Deletes the job and all that depends on it. Its id is remembered as long as is promised.
    /// Answers until when it held its unique key, where only time decided that.
    pub fn delete(
        &self,
        connection: &Connection,
        now: Timestamp,
        head: &mut Head,
    ) -> rusqlite::Result<Option<Timestamp>> {
        let seq = self.seq.cast_signed();
        if self.state.is_final() {
            head.tally(self.state).add(-1, -self.bytes);
        }
        if let Some(finished_at) = self.finished_at
            && finished_at > now.minus(limits::ID_WINDOW)
        {
            head.gone += 1;
            let Doomed { id, lane, seq, fingerprint, state, .. } = *self;
            remember(connection, &Ended { id, seq, lane, fingerprint, state, finished_at })?;
        }
        if self.has_attempts {
            connection.prepare_cached("DELETE FROM attempts WHERE seq = ?1")?.execute([seq])?;
        }
        if head.has_long {
            let keys = [Long::Args.key(self.seq), Long::Checkpoint.key(self.seq)];
            connection
                .prepare_cached("DELETE FROM payload WHERE key BETWEEN ?1 AND ?2")?
                .execute(keys)?;
        }
        connection.prepare_cached("DELETE FROM jobs WHERE seq = ?1")?.execute([seq])?;
        if head.has_holds { holds::forget(connection, self.seq) } else { Ok(None) }
    }
}

/// What is remembered of a job that is gone.
pub(super) struct Ended {
    pub id: JobId,
    pub seq: Seq,
    pub lane: LaneNumber,
    pub fingerprint: i64,
    pub state: StateName,
    pub finished_at: Timestamp,
}

/// Notes the id of a job that is gone.
pub(super) fn remember(connection: &Connection, ended: &Ended) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO ended VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute((
            ended.id.as_u128().to_be_bytes(),
            ended.seq.cast_signed(),
            ended.lane,
            ended.fingerprint,
            number_of(ended.state),
            ended.finished_at.as_micros(),
        ))
        .map(|_| ())
}

/// Forgets ids whose time is over among the next `limit` behind `from`. Answers how many, and where
/// to go on.
/// Going round in order of the ids needs no index by time, which would be bigger than the ids.
fn forget(
    connection: &Connection,
    now: Timestamp,
    from: [u8; 16],
    limit: usize,
) -> rusqlite::Result<(i64, [u8; 16])> {
    let until = now.minus(limits::ID_WINDOW).as_micros();
    let sql = "SELECT id, finished_at FROM ended WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let ids: Vec<([u8; 16], i64)> = statement
        .query_map((from, limit as i64), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut forgotten = 0;
    for (id, _) in ids.iter().filter(|(_, finished_at)| *finished_at <= until) {
        connection.prepare_cached("DELETE FROM ended WHERE id = ?1")?.execute([id])?;
        forgotten += 1;
    }
    let is_round = ids.len() < limit;
    Ok((forgotten, ids.last().filter(|_| !is_round).map_or([0; 16], |(id, _)| *id)))
}

#[cfg(test)]
#[path = "tests/prune.rs"]
mod tests;
