//! Whether the table agrees with itself.

use rusqlite::{Connection, Row};
use taskwright_core::{State, StateName};
use taskwright_store::Result;

use super::failure::failed;
use super::look::Look;
use super::row::{self, BEHIND, COLUMNS};
use super::schema::{WEIGHT, number_of, numbers_of};
use super::{Tally, load};
use crate::change::LaneNumber;

const CHECK: &str = "check the table";
/// Findings of one kind that are told; the others are only counted.
const TOLD_MAX: usize = 20;

impl Look<'_> {
    /// How many jobs there are in which lane and state, counted one by one.
    pub fn recount(&self) -> Result<Vec<(LaneNumber, StateName, u64)>> {
        let sql = "SELECT lane, state, count(*) FROM jobs NOT INDEXED GROUP BY lane, state";
        let counts = rows(self.connection, sql, |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
        })?;
        let named = |(lane, state, count)| Ok((lane, super::schema::state_of(state)?, count));
        counts.into_iter().map(named).collect()
    }

    /// Everything in which the table contradicts itself, one sentence each; none: it is sound. It
    /// reads the whole file.
    pub fn check(&mut self) -> Result<Vec<String>> {
        let mut findings = Vec::new();
        self.check_file(&mut findings)?;
        self.check_counts(&mut findings)?;
        self.check_references(&mut findings)?;
        self.check_jobs(&mut findings)?;
        Ok(findings)
    }

    /// SQLite's own check: pages, records, and each index against its table.
    fn check_file(&self, findings: &mut Vec<String>) -> Result<()> {
        let sql = format!("PRAGMA integrity_check({TOLD_MAX})");
        let told = rows(self.connection, &sql, |row| row.get::<_, String>(0))?;
        findings.extend(told.into_iter().filter(|line| line != "ok"));
        Ok(())
    }

    fn check_counts(&self, findings: &mut Vec<String>) -> Result<()> {
        let head = load::head(self.connection)?;
        let dead = number_of(StateName::Dead);
        let kinds = [
            ("dead", format!("state = {dead}"), head.dead),
            ("completed, cancelled or expired", format!("state <> {dead}"), head.ended),
        ];
        for (kind, condition, kept) in kinds {
            let sql = format!(
                "SELECT count(*), ifnull(sum({WEIGHT}), 0) FROM jobs \
                 WHERE finished_at IS NOT NULL AND {condition}"
            );
            let counted = self
                .connection
                .query_row(&sql, [], |row| Ok(Tally { jobs: row.get(0)?, bytes: row.get(1)? }))
                .map_err(failed(CHECK))?;
            if counted != kept {
                findings.push(format!(
                    "{} jobs ({} bytes) are {kind}, but {} ({} bytes) are on record",
                    counted.jobs, counted.bytes, kept.jobs, kept.bytes
                ));
            }
        }
        Ok(())
    }

    fn check_references(&self, findings: &mut Vec<String>) -> Result<()> {
        let head = load::head(self.connection)?;
        let finals = numbers_of(StateName::is_final);
        let questions = [
            (
                "has a lane that does not exist",
                "SELECT seq FROM jobs WHERE lane NOT IN (SELECT number FROM lanes)".to_owned(),
            ),
            (
                "names a worker that is not known",
                // Without any worker, NULL too would count as not among them.
                "SELECT seq FROM jobs \
                 WHERE worker IS NOT NULL AND worker NOT IN (SELECT number FROM workers)"
                    .to_owned(),
            ),
            (
                "has an end that does not fit its state",
                format!(
                    "SELECT seq FROM jobs WHERE (state IN ({finals})) <> (finished_at IS NOT NULL)"
                ),
            ),
            (
                "has a number that was not given yet",
                format!("SELECT seq FROM jobs WHERE seq >= {}", head.next_seq),
            ),
            (
                "has the id of another job of its namespace",
                "SELECT jobs.seq FROM jobs JOIN lanes ON number = lane \
                 GROUP BY namespace, jobs.id HAVING count(*) > 1"
                    .to_owned(),
            ),
            (
                "is gone, but attempts of it are kept",
                "SELECT DISTINCT seq FROM attempts WHERE seq NOT IN (SELECT seq FROM jobs)"
                    .to_owned(),
            ),
            (
                "is gone, but texts of it are kept",
                "SELECT key / 4 FROM payload WHERE key / 4 NOT IN (SELECT seq FROM jobs)"
                    .to_owned(),
            ),
            (
                "is gone, but the hold of its unique key is kept",
                "SELECT seq FROM timed_holds WHERE seq NOT IN (SELECT seq FROM jobs)".to_owned(),
            ),
            (
                "lacks a long text",
                "SELECT seq FROM jobs WHERE \
                 typeof(args) = 'integer' AND seq * 4 NOT IN (SELECT key FROM payload) OR \
                 typeof(result) = 'integer' AND seq * 4 + 1 NOT IN (SELECT key FROM payload)"
                    .to_owned(),
            ),
        ];
        for (what, sql) in questions {
            let seqs = rows(self.connection, &sql, |row| row.get::<_, i64>(0))?;
            tell(findings, what, &seqs);
        }
        Ok(())
    }

    /// Each job can be read, and its columns say what its record says.
    fn check_jobs(&mut self, findings: &mut Vec<String>) -> Result<()> {
        let sql = format!(
            "SELECT {COLUMNS}, jobs.state, jobs.attempt, jobs.due_at, jobs.worker, \
             jobs.started_at, jobs.finished_at FROM jobs"
        );
        let mut statement = self.connection.prepare(&sql).map_err(failed(CHECK))?;
        let mut rows = statement.query([]).map_err(failed(CHECK))?;
        let mut differing = Vec::new();
        while let Some(row) = rows.next().map_err(failed(CHECK))? {
            let seq: i64 = row.get(0).map_err(failed(CHECK))?;
            let read = row::vital(row).and_then(|vital| {
                row::more(self.connection, row)?;
                row::fixed(row, taskwright_core::Json::null())?;
                Ok(vital)
            });
            match read {
                Err(error) => findings.push(format!("job number {seq} cannot be read: {error}")),
                Ok(vital) => {
                    let shown = columns(row).map_err(failed(CHECK))?;
                    let is_sound = match vital.life.state {
                        State::Running(token) => token.attempt == vital.life.attempt,
                        _ => true,
                    };
                    let run = vital.run;
                    let kept = [
                        Some(number_of(vital.life.state.name())),
                        Some(vital.life.attempt.into()),
                        Some(vital.due_at.as_micros()),
                        run.map(|run| run.worker.into()),
                        run.map(|run| run.started_at.as_micros()),
                        vital.finished_at.map(|at| at.as_micros()),
                    ];
                    if shown != kept || !is_sound {
                        differing.push(seq);
                    }
                }
            }
        }
        tell(findings, "shows another state than its record", &differing);
        Ok(())
    }
}

fn columns(row: &Row<'_>) -> rusqlite::Result<[Option<i64>; 6]> {
    let mut shown = [None; 6];
    for (column, value) in (BEHIND..).zip(&mut shown) {
        *value = row.get(column)?;
    }
    Ok(shown)
}

fn tell(findings: &mut Vec<String>, what: &str, seqs: &[i64]) {
    for seq in seqs.iter().take(TOLD_MAX) {
        findings.push(format!("job number {seq} {what}"));
    }
    if seqs.len() > TOLD_MAX {
        findings.push(format!("… {} more: a job {what}", seqs.len() - TOLD_MAX));
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    make: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare(sql).map_err(failed(CHECK))?;
    let rows = statement.query_map([], make).map_err(failed(CHECK))?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed(CHECK))
}

#[cfg(test)]
#[path = "tests/check.rs"]
mod tests;
