//! Writing a fold.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Statement, Transaction};
use taskwright_core::limits::{ATTEMPTS_KEPT_FIRST, ATTEMPTS_KEPT_LAST};
use taskwright_core::{AttemptRecord, Json, StateName, Timestamp};
use taskwright_store::Result;

use super::failure::{corrupt, failed};
use super::fold::{Fold, Hold, Inserted, Patch};
use super::held::Held;
use super::prune::{Doomed, Ended, remember};
use super::schema::{LONG_BYTES, Long, WEIGHT, number_of, state_of};
use super::{Head, Table, Tally, holds, rewrite};
use super::{documents, limits};
use crate::change::{Fixed, More, Rewrite, Seq, Vital};
use crate::codec;

const APPLY: &str = "apply changes to the table";

impl Table {
    /// Applies a fold in one transaction together with its position, and empties it.
    ///
    /// # Errors
    /// After an error nothing is applied and the fold is as it was. `Corrupt`: it changes a job
    /// that the table does not have.
    pub fn apply(&mut self, fold: &mut Fold) -> Result<()> {
        self.apply_but(fold, Hold::NOTHING)
    }

    /// As `apply`, but jobs that are held back stay in the fold; which they are is noted.
    pub fn apply_but(&mut self, fold: &mut Fold, hold: Hold) -> Result<()> {
        if fold.is_empty() {
            return Ok(());
        }
        let held_from = fold.held_from(hold);
        let transaction = self.connection.transaction().map_err(failed(APPLY))?;
        let mut head = self.head;
        write(&transaction, fold, held_from, &mut head, &mut self.scratch)?;
        transaction.commit().map_err(failed(APPLY))?;
        self.head = head;
        fold.settle(held_from);
        Ok(())
    }

    /// Whether a fold of groups that are replayed has not reached what the table has of them: of a
    /// job that is held back, it must know all before any of it is written.
    pub fn is_ahead_of(&self, fold: &Fold) -> bool {
        fold.is_fresh() && fold.position < self.head.position
    }
}

fn write(
    transaction: &Transaction<'_>,
    fold: &Fold,
    held_from: usize,
    head: &mut Head,
    scratch: &mut Vec<u8>,
) -> Result<()> {
    write_facts(transaction, fold).map_err(failed(APPLY))?;
    limits::write(transaction, fold).map_err(failed(APPLY))?;
    documents::write(transaction, fold).map_err(failed(APPLY))?;
    let mut jobs = Jobs::new(transaction, scratch, fold.now).map_err(failed(APPLY))?;
    for (job, fixed) in fold.written(held_from) {
        jobs.insert(job, fixed, head)?;
    }
    let mut updated: Vec<_> = fold.updated.iter().collect();
    updated.sort_unstable_by_key(|(seq, _)| **seq);
    for (seq, patch) in updated {
        jobs.change(*seq, patch, fold.rewritten.get(seq).map(|rewrite| &**rewrite), head)?;
    }
    if let Some(last) = fold.inserted.back() {
        head.next_seq = head.next_seq.max(last.seq + 1);
    }
    head.position = head.position.max(fold.position);
    let held = Held::of(fold, held_from, head.position);
    head.whole = held.whole();
    held.write(transaction).map_err(failed(APPLY))?;
    head.high_water = head.high_water.max(fold.now);
    write_head(transaction, head).map_err(failed(APPLY))
}

fn write_facts(connection: &Connection, fold: &Fold) -> rusqlite::Result<()> {
    for lane in &fold.lanes {
        connection
            .prepare_cached("INSERT OR REPLACE INTO lanes VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((lane.number, &lane.namespace, &lane.queue, &lane.task, &lane.requires))?;
    }
    for settings in &fold.queues {
        connection
            .prepare_cached("INSERT OR REPLACE INTO queues VALUES (?1, ?2, ?3)")?
            .execute((&settings.namespace, &settings.queue, settings.paused))?;
    }
    for worker in &fold.workers {
        connection
            .prepare_cached(
                "INSERT INTO workers VALUES (?1, ?2, ?3, ?4, ?5, 0) \
                 ON CONFLICT (number) DO UPDATE SET in_process = excluded.in_process",
            )?
            .execute((
                worker.number,
                worker.id.as_u128().to_be_bytes(),
                &worker.namespace,
                worker.first_seen_at.as_micros(),
                worker.in_process,
            ))?;
    }
    for (worker, claim) in &fold.claims {
        connection
            .prepare_cached(
                "UPDATE workers SET last_claim = max(last_claim, ?2) WHERE number = ?1",
            )?
            .execute((worker, claim.cast_signed()))?;
    }
    for audit in &fold.audit {
        connection
            .prepare_cached("INSERT INTO audit (at, actor, action) VALUES (?1, ?2, ?3)")?
            .execute((audit.at.as_micros(), &audit.actor, &audit.action))?;
    }
    Ok(())
}

pub(super) fn write_head(connection: &Connection, head: &Head) -> rusqlite::Result<()> {
    let numbers = [
        head.position.cast_signed(),
        head.high_water.as_micros(),
        head.next_seq.cast_signed(),
        head.ended.jobs,
        head.ended.bytes,
        head.dead.jobs,
        head.dead.bytes,
    ];
    connection
        .prepare_cached(
            "UPDATE meta SET position = ?1, high_water = ?2, next_seq = ?3, ended_jobs = ?4, \
             ended_bytes = ?5, dead_jobs = ?6, dead_bytes = ?7",
        )?
        .execute(numbers)
        .map(|_| ())
}

impl Head {
    pub(super) fn tally(&mut self, state: StateName) -> &mut Tally {
        match state {
            StateName::Dead => &mut self.dead,
            _ => &mut self.ended,
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, jobs: i64, bytes: i64) {
        self.jobs += jobs;
        self.bytes += bytes;
    }
}

/// The statements that write jobs, prepared once for a transaction.
struct Jobs<'a> {
    connection: &'a Connection,
    scratch: &'a mut Vec<u8>,
    now: Timestamp,
    insert: CachedStatement<'a>,
    /// Whether parameters of `insert` that are mostly NULL have a value now.
    insert_is_full: bool,
    update: CachedStatement<'a>,
    /// Asked apart from `update`: RETURNING makes a table in memory for each row.
    weigh: CachedStatement<'a>,
}

const INSERT: &str = "INSERT OR FAIL INTO jobs (seq, id, lane, fingerprint, priority, max_attempts, \
    timeout_ms, created_at, state, attempt, due_at, worker, started_at, finished_at, vital, args, \
    extras, error_kind, error, cancel_reason, progress, checkpoint, result) VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
    ?21, ?22, ?23)";

const SET: &str = "UPDATE OR FAIL jobs SET state = ?2, attempt = ?3, due_at = ?4, worker = ?5, \
    started_at = ?6, finished_at = ?7, vital = ?8, error_kind = coalesce(?9, error_kind), \
    error = coalesce(?10, error), checkpoint = coalesce(?13, checkpoint), \
    progress = CASE WHEN ?15 THEN ?12 ELSE coalesce(?12, progress) END, \
    cancel_reason = CASE WHEN ?16 THEN ?11 ELSE coalesce(?11, cancel_reason) END, \
    result = CASE WHEN ?16 THEN ?14 ELSE coalesce(?14, result) END WHERE seq = ?1";

impl<'a> Jobs<'a> {
    fn new(
        connection: &'a Connection,
        scratch: &'a mut Vec<u8>,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        Ok(Jobs {
            connection,
            scratch,
            now,
            insert: connection.prepare_cached(INSERT)?,
            insert_is_full: true,
            update: connection.prepare_cached(&format!("{SET} AND finished_at IS NULL"))?,
            weigh: connection
                .prepare_cached(&format!("SELECT jobs.state, {WEIGHT} FROM jobs WHERE seq = ?1"))?,
        })
    }

    fn insert(&mut self, job: &Inserted, fixed: &Fixed, head: &mut Head) -> Result<()> {
        let Some(vital) = &job.patch.vital else { return Ok(()) };
        if job.patch.deleted {
            // The table never had it; only its id is remembered.
            let Some(finished_at) = vital.finished_at else { return Ok(()) };
            head.gone += 1;
            let Fixed { id, seq, lane, fingerprint, .. } = *fixed;
            let (state, fingerprint) = (vital.life.state.name(), fingerprint.cast_signed());
            let ended = Ended { id, seq, lane, fingerprint, state, finished_at };
            return remember(self.connection, &ended).map_err(failed(APPLY));
        }
        self.write_attempts(job.seq, &job.patch.attempts).map_err(failed(APPLY))?;
        head.has_long |= self.insert_row(fixed, vital, &job.patch).map_err(failed(APPLY))?;
        head.has_holds |= holds::note(self.connection, fixed).map_err(failed(APPLY))?;
        let state = vital.life.state.name();
        if state.is_final() {
            let bytes = match (&job.patch.more, job.patch.attempts.is_empty()) {
                (None, true) => fixed.args.len() as i64,
                _ => self.weight(job.seq)?.1,
            };
            head.tally(state).add(1, bytes);
        }
        Ok(())
    }

    /// Inserts a row; answers whether a text of it is long.
    fn insert_row(
        &mut self,
        fixed: &Fixed,
        vital: &Vital,
        patch: &Patch,
    ) -> rusqlite::Result<bool> {
        let seq = fixed.seq;
        self.scratch.clear();
        codec::encode_vital(vital, self.scratch);
        let insert = &mut self.insert;
        insert.raw_bind_parameter(1, seq.cast_signed())?;
        insert.raw_bind_parameter(2, &fixed.id.as_u128().to_be_bytes()[..])?;
        insert.raw_bind_parameter(3, fixed.lane)?;
        insert.raw_bind_parameter(4, fixed.fingerprint.cast_signed())?;
        insert.raw_bind_parameter(5, fixed.priority)?;
        insert.raw_bind_parameter(6, fixed.max_attempts)?;
        insert.raw_bind_parameter(7, fixed.timeout_ms.map(u64::cast_signed))?;
        insert.raw_bind_parameter(8, fixed.created_at.as_micros())?;
        bind_vital(insert, 9, vital, self.scratch)?;
        let mut is_long =
            bind_text(self.connection, insert, 16, seq, Long::Args, Some(&fixed.args))?;
        let is_full = fixed.extras.is_some() || patch.more.is_some();
        if is_full || self.insert_is_full {
            let extras = fixed.extras.as_ref().map(|extras| {
                self.scratch.clear();
                codec::encode_extras(extras, self.scratch);
                &self.scratch[..]
            });
            insert.raw_bind_parameter(17, extras)?;
            is_long |= bind_more(self.connection, insert, 18, seq, patch.more.as_deref())?;
            self.insert_is_full = is_full;
        }
        insert.raw_execute()?;
        Ok(is_long)
    }

    fn change(
        &mut self,
        seq: Seq,
        patch: &Patch,
        rewrite: Option<&Rewrite>,
        head: &mut Head,
    ) -> Result<()> {
        if !patch.attempts.is_empty() || rewrite.is_some() {
            // What a job that had ended weighed is taken off before it weighs more.
            self.reopen(seq, head)?;
            self.write_attempts(seq, &patch.attempts).map_err(failed(APPLY))?;
        }
        if let Some(rewrite) = rewrite {
            head.has_long |= rewrite::write(self.connection, rewrite, self.scratch)?;
        }
        if let Some(vital) = &patch.vital {
            self.update(seq, vital, patch, head)?;
        }
        if patch.deleted {
            self.remove(seq, head)?;
        }
        Ok(())
    }

    fn update(&mut self, seq: Seq, vital: &Vital, patch: &Patch, head: &mut Head) -> Result<()> {
        if self.set_live(seq, vital, patch, head).map_err(failed(APPLY))? {
            return Ok(());
        }
        // It had ended before: an operator's redrive, or something of its end is told once more.
        self.reopen(seq, head)?;
        match self.set_live(seq, vital, patch, head).map_err(failed(APPLY))? {
            true => Ok(()),
            false => Err(corrupt(format_args!("job number {seq} cannot be changed"))),
        }
    }

    /// Lets a job that had ended be changed like others.
    fn reopen(&mut self, seq: Seq, head: &mut Head) -> Result<()> {
        let (state, bytes) = self.weight(seq)?;
        if !state.is_final() {
            return Ok(());
        }
        head.tally(state).add(-1, -bytes);
        self.connection
            .prepare_cached("UPDATE jobs SET finished_at = NULL WHERE seq = ?1")
            .and_then(|mut reopen| reopen.execute([seq.cast_signed()]))
            .map(|_| ())
            .map_err(failed(APPLY))
    }

    /// Changes a job that has not ended; false where there is no such job.
    fn set_live(
        &mut self,
        seq: Seq,
        vital: &Vital,
        patch: &Patch,
        head: &mut Head,
    ) -> rusqlite::Result<bool> {
        let state = vital.life.state.name();
        let statement = &mut self.update;
        self.scratch.clear();
        codec::encode_vital(vital, self.scratch);
        statement.raw_bind_parameter(1, seq.cast_signed())?;
        bind_vital(statement, 2, vital, self.scratch)?;
        head.has_long |= bind_more(self.connection, statement, 9, seq, patch.more.as_deref())?;
        statement.raw_bind_parameter(15, patch.drops_progress)?;
        statement.raw_bind_parameter(16, patch.drops_end)?;
        if statement.raw_execute()? == 0 {
            return Ok(false);
        }
        if state.is_final() {
            let bytes = self.weigh.query_row([seq.cast_signed()], |row| row.get(1))?;
            head.tally(state).add(1, bytes);
        }
        Ok(true)
    }

    fn remove(&mut self, seq: Seq, head: &mut Head) -> Result<()> {
        let Some(job) = Doomed::find(self.connection, seq)? else {
            return Err(corrupt(format_args!("there is no job number {seq} to delete")));
        };
        job.delete(self.connection, self.now, head).map(|_| ()).map_err(failed(APPLY))
    }

    /// The state of a job and the bytes that its texts take.
    fn weight(&mut self, seq: Seq) -> Result<(StateName, i64)> {
        let found: Option<(i64, i64)> = self
            .weigh
            .query_row([seq.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(failed(APPLY))?;
        match found {
            Some((state, bytes)) => Ok((state_of(state)?, bytes)),
            None => Err(corrupt(format_args!("there is no job number {seq} to change"))),
        }
    }

    fn write_attempts(&self, seq: Seq, attempts: &[AttemptRecord]) -> rusqlite::Result<()> {
        let Some(newest) = attempts.last() else { return Ok(()) };
        for attempt in attempts {
            self.connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute((
                    seq.cast_signed(),
                    attempt.attempt,
                    attempt.worker.as_u128().to_be_bytes(),
                    attempt.started_at.as_micros(),
                    attempt.ended_at.as_micros(),
                    attempt.verdict.as_str(),
                    attempt.error.as_ref().map(|error| &*error.kind),
                    attempt.error.as_ref().map(|error| &*error.message),
                ))?;
        }
        let kept = ATTEMPTS_KEPT_FIRST + ATTEMPTS_KEPT_LAST;
        if newest.attempt as usize > kept {
            self.connection
                .prepare_cached(
                    "DELETE FROM attempts WHERE seq = ?1 AND attempt NOT IN \
                     (SELECT attempt FROM attempts WHERE seq = ?1 ORDER BY attempt LIMIT ?2) \
                     AND attempt NOT IN \
                     (SELECT attempt FROM attempts WHERE seq = ?1 ORDER BY attempt DESC LIMIT ?3)",
                )?
                .execute((
                    seq.cast_signed(),
                    ATTEMPTS_KEPT_FIRST as i64,
                    ATTEMPTS_KEPT_LAST as i64,
                ))?;
        }
        Ok(())
    }
}

/// Binds the columns from `state` to `vital`.
fn bind_vital(
    statement: &mut Statement<'_>,
    first: usize,
    vital: &Vital,
    encoded: &[u8],
) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(first, number_of(vital.life.state.name()))?;
    statement.raw_bind_parameter(first + 1, vital.life.attempt)?;
    statement.raw_bind_parameter(first + 2, vital.due_at.as_micros())?;
    statement.raw_bind_parameter(first + 3, vital.run.map(|run| run.worker))?;
    statement.raw_bind_parameter(first + 4, vital.run.map(|run| run.started_at.as_micros()))?;
    statement.raw_bind_parameter(first + 5, vital.finished_at.map(Timestamp::as_micros))?;
    statement.raw_bind_parameter(first + 6, encoded)
}

/// Binds the columns from `error_kind` to `result`; answers whether one of them is long.
fn bind_more(
    connection: &Connection,
    statement: &mut Statement<'_>,
    first: usize,
    seq: Seq,
    more: Option<&More>,
) -> rusqlite::Result<bool> {
    let error = more.and_then(|more| more.error.as_ref());
    statement.raw_bind_parameter(first, error.map(|error| &*error.kind))?;
    statement.raw_bind_parameter(first + 1, error.map(|error| &*error.message))?;
    statement.raw_bind_parameter(first + 2, more.and_then(|more| more.cancel_reason.as_deref()))?;
    let texts = [
        (Long::Progress, more.and_then(|more| more.progress.as_ref())),
        (Long::Checkpoint, more.and_then(|more| more.checkpoint.as_ref())),
        (Long::Result, more.and_then(|more| more.result.as_ref())),
    ];
    let mut is_long = false;
    for ((long, text), parameter) in texts.into_iter().zip(first + 3..) {
        is_long |= bind_text(connection, statement, parameter, seq, long, text)?;
    }
    Ok(is_long)
}

/// Binds a text, or its length where it is long and goes into `payload`; answers whether it is. A
/// text that it replaces stays in `payload` until its job goes: nobody looks at it.
pub(super) fn bind_text(
    connection: &Connection,
    statement: &mut Statement<'_>,
    parameter: usize,
    seq: Seq,
    long: Long,
    text: Option<&Json>,
) -> rusqlite::Result<bool> {
    match text {
        Some(text) if text.len() > LONG_BYTES => {
            connection
                .prepare_cached("INSERT OR REPLACE INTO payload VALUES (?1, ?2)")?
                .execute((long.key(seq), text.as_str()))?;
            statement.raw_bind_parameter(parameter, text.len() as i64)?;
            Ok(true)
        }
        text => {
            statement.raw_bind_parameter(parameter, text.map(Json::as_str))?;
            Ok(false)
        }
    }
}

#[cfg(test)]
#[path = "tests/apply.rs"]
mod tests;
