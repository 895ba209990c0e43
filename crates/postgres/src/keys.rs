//! Unique keys as rows, and what is rewritten in jobs that wait. How a key is free again stands in
//! `migrations/0001/unique.sql`.

use std::borrow::Cow;
use std::time::Duration;

use taskwright_core::{Job, JobId, NewJob, Replace, StateName, Timestamp, Until};
use taskwright_store::{Controlled, Error, ErrorKind, Result};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::change::{Held, Selection};
use crate::codec::extras_text;
use crate::connect::Fault;
use crate::link::{Argument, Transaction};
use crate::record::{Record, Shelf, place};
use crate::row::get;
use crate::store::PostgresStore;

/// What the database raises where somebody has taken a key or an id since the caller looked.
pub(crate) const LOST: &str = "TW005";

/// How often a call that takes keys begins again. Each time somebody else was done with a job that
/// had the same key.
pub(crate) const KEYS_TRIED_MAX: usize = 50;

/// Holds that one sweep forgets.
const FORGOTTEN_MAX: i32 = 10_000;

/// The number of a way to let go of a key, in the database.
pub(crate) fn until_number(until: Until) -> i16 {
    match until {
        Until::Claimed => 0,
        Until::Finished => 1,
        Until::Elapsed { .. } => 2,
    }
}

/// A key as the database can hold it, which has no text with zeros in it.
pub(crate) fn key_text(key: &str) -> Cow<'_, str> {
    if !key.contains(['\0', '\\']) {
        return Cow::Borrowed(key);
    }
    Cow::Owned(key.replace('\\', "\\\\").replace('\0', "\\0"))
}

/// The key in a text of [`key_text`].
pub(crate) fn key_from(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.next() == Some('0') => key.push('\0'),
            other => key.push(other),
        }
    }
    key
}

/// How long a key is held, in milliseconds, where it is for a time.
pub(crate) fn for_ms(until: Until) -> Option<i64> {
    match until {
        Until::Elapsed { ms } => Some(i64::try_from(ms).unwrap_or(i64::MAX)),
        Until::Claimed | Until::Finished => None,
    }
}

/// The error for one who lost his keys to others again and again.
pub(crate) fn keys_taken() -> Error {
    let message = "unique keys of the jobs were taken and freed again and again; try again";
    Error::new(ErrorKind::Busy, message).retry_after(Duration::from_millis(200))
}

/// Keys that jobs are to hold, column by column, as `take_keys` takes them.
#[derive(Default)]
pub(crate) struct Keys {
    seqs: Vec<i64>,
    namespaces: Vec<i32>,
    keys: Vec<String>,
    expires_at: Vec<Option<i64>>,
}

impl Keys {
    /// Adds the key of a job, if it has one that it holds.
    pub fn add(&mut self, seq: u64, namespace: i32, job: &Job, now: Timestamp) {
        let unique = job.extras.unique.as_ref();
        let Some(unique) = unique.filter(|it| it.is_held(&job.life, job.created_at, now)) else {
            return;
        };
        let expires_at = match unique.until {
            Until::Elapsed { ms } => Some(job.created_at.plus(Duration::from_millis(ms))),
            Until::Claimed | Until::Finished => None,
        };
        self.seqs.push(seq.cast_signed());
        self.namespaces.push(namespace);
        self.keys.push(key_text(&unique.key).into_owned());
        self.expires_at.push(expires_at.map(Timestamp::as_micros));
    }

    /// Takes the keys; the fault is [`LOST`] where one is held by another job.
    pub async fn take(&self, tx: &Transaction<'_>, now: Timestamp) -> Result<(), Fault> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let arguments: [Argument<'_>; 5] = [
            (&now.as_micros(), Type::INT8),
            (&self.seqs, Type::INT8_ARRAY),
            (&self.namespaces, Type::INT4_ARRAY),
            (&self.keys, Type::TEXT_ARRAY),
            (&self.expires_at, Type::INT8_ARRAY),
        ];
        let statement = "select count(taskwright.take_keys($1, $2, $3, $4, $5)::text)";
        tx.query(statement, &arguments).await.map(drop)
    }
}

/// What changed in waiting jobs beside what `save_jobs` writes, column by column.
#[derive(Default)]
pub(crate) struct Rewrites {
    seqs: Vec<i64>,
    priorities: Vec<i16>,
    timeouts: Vec<Option<i64>>,
    extras: Vec<Option<String>>,
    args: Vec<Option<String>>,
}

impl Rewrites {
    /// Adds a job, if something of the kind differs from how it was.
    pub fn add(&mut self, before: &Job, job: &Job) {
        let is_the_same = before.priority == job.priority
            && before.timeout_ms == job.timeout_ms
            && before.extras == job.extras
            && before.args == job.args;
        if is_the_same {
            return;
        }
        self.seqs.push(job.seq.cast_signed());
        self.priorities.push(i16::from(job.priority));
        self.timeouts.push(job.timeout_ms.map(u64::cast_signed));
        self.extras.push(extras_text(&job.extras));
        self.args.push(job.args.as_ref().map(|args| args.as_str().to_owned()));
    }

    /// Writes them to rows that are locked.
    pub async fn write(&self, tx: &Transaction<'_>) -> Result<(), Fault> {
        if self.seqs.is_empty() {
            return Ok(());
        }
        let arguments: [Argument<'_>; 5] = [
            (&self.seqs, Type::INT8_ARRAY),
            (&self.priorities, Type::INT2_ARRAY),
            (&self.timeouts, Type::INT8_ARRAY),
            (&self.extras, Type::TEXT_ARRAY),
            (&self.args, Type::TEXT_ARRAY),
        ];
        let statement = "select count(taskwright.rewrite_jobs($1, $2, $3, $4, $5)::text)";
        tx.query(statement, &arguments).await.map(drop)
    }
}

impl Record {
    /// Gives a waiting job fields of a new one that has its unique key.
    pub fn replace(&mut self, replace: Replace, new: &NewJob, now: Timestamp) {
        let job = &mut self.job;
        let priority = job.priority;
        if replace.args {
            job.args = Some(new.args.clone());
        }
        if replace.priority {
            job.priority = new.priority;
        }
        if replace.timeout {
            job.timeout_ms = new.timeout_ms;
        }
        if replace.tags {
            job.extras.tags.clone_from(&new.extras.tags);
        }
        if replace.max_attempts {
            job.life.max_attempts = new.max_attempts.max(1);
            self.allowance = job.life.max_attempts;
        }
        let due_at = replace.due_at(new.run_at, job.created_at, job.run_at, now);
        // A blocked job has no place to change.
        let _ = self.put(priority, due_at, now);
    }

    /// Changes how urgent a waiting job is, or when it is due.
    pub fn adjust(
        &mut self,
        priority: Option<i8>,
        run_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<StateName, taskwright_core::Refused> {
        let due_at = run_at.map_or(self.job.run_at, |run_at| run_at.max(now));
        let before = self.job.priority;
        self.job.priority = priority.unwrap_or(before);
        self.put(before, due_at, now).inspect_err(|_| self.job.priority = before)
    }

    /// Puts an available job where its priority and this due time belong. One for which both are as
    /// before keeps its place, and its turn.
    fn put(
        &mut self,
        priority_before: i8,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<StateName, taskwright_core::Refused> {
        let state = self.job.life.state;
        let is_there = (self.job.priority, self.job.run_at) == (priority_before, due_at);
        if is_there && matches!(state, taskwright_core::State::Available(_)) {
            return Ok(state.name());
        }
        let place = place(due_at, self.job.priority, now);
        self.change(&taskwright_core::lifecycle::Event::Adjust { place }, due_at, None, now)
    }

    /// Redrives an ended job, unless another one (`rival`) holds its key now.
    pub fn redrive_if_free(
        &mut self,
        attempts: u32,
        rival: Option<JobId>,
        now: Timestamp,
    ) -> Controlled {
        let before = self.clone();
        let state = match self.redrive(attempts, now) {
            Ok(state) => state,
            Err(_) => return Controlled::Refused { state: self.job.life.state.name() },
        };
        let Job { extras, life, created_at, .. } = &self.job;
        let holds = extras.unique.as_ref().is_some_and(|it| it.is_held(life, *created_at, now));
        match rival.filter(|_| holds) {
            None => Controlled::Done { state: Some(state) },
            Some(holder) => {
                // Nothing has changed, but it was looked at whether its keys have room.
                *self = Record { touched: true, ..before };
                Controlled::Taken { holder }
            }
        }
    }
}

impl PostgresStore {
    /// Restarts an ended job for an operator.
    pub(crate) async fn redrive(
        &self,
        namespace: &taskwright_core::Name,
        id: JobId,
        attempts: u32,
    ) -> Result<Controlled> {
        let namespace = self.lanes.namespace(&self.link, namespace).await?;
        self.change_jobs(Selection::Ids { namespace, ids: &[id] }, |held| {
            let (now, rival) = (held.now, held.rivals.get(&id).copied());
            let Some(record) = held.jobs.get_mut(&id) else { return Controlled::NotFound };
            record.redrive_if_free(attempts, rival, now)
        })
        .await
    }

    /// Looks which ended jobs of a transaction have keys that others hold.
    pub(crate) async fn find_rivals(
        &self,
        tx: &Transaction<'_>,
        held: &mut Held,
    ) -> Result<(), Fault> {
        let has_ended = |record: &&Record| record.shelf != Shelf::Live;
        let ended = || held.jobs.values().filter(has_ended);
        let (mut namespaces, mut keys, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
        for record in ended() {
            let Some(unique) = &record.job.extras.unique else { continue };
            namespaces.push(self.lanes.namespace(&self.link, &record.job.namespace).await?);
            keys.push(key_text(&unique.key).into_owned());
            jobs.push(record.job.id);
        }
        if jobs.is_empty() {
            return Ok(());
        }
        let rows = tx
            .query(
                "select ord, id from taskwright.holders($1, $2, $3)",
                &[
                    (&held.now.as_micros(), Type::INT8),
                    (&namespaces, Type::INT4_ARRAY),
                    (&keys, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        for row in &rows {
            let place = usize::try_from(get::<i64>(row, "ord")? - 1).unwrap_or(usize::MAX);
            let holder = JobId::from_u128(get::<Uuid>(row, "id")?.as_u128());
            if let Some(job) = jobs.get(place).filter(|job| **job != holder) {
                held.rivals.insert(*job, holder);
            }
        }
        Ok(())
    }

    /// Forgets holds whose time is over; where that is not done they are in nobody's way.
    pub(crate) async fn forget_holds(&self, now: i64) -> Result<()> {
        self.link
            .query(
                "select count(taskwright.forget_holds($1, $2)::text)",
                &[(&now, Type::INT8), (&FORGOTTEN_MAX, Type::INT4)],
            )
            .await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/keys.rs"]
mod tests;
