//! Unique keys, and what jobs are given while they wait.

use std::collections::BTreeMap;

use taskwright_core::{
    Extras, Job, JobId, Json, NewJob, OnConflict, Replace, StateName, Timestamp, Unique, Until,
};
use taskwright_store::{Controlled, Inserted, Refusal};

use super::Random;
use super::history::{Broken, History, Insertion, Known, ensure};
use crate::ledger::Ledger;

const KEYS: usize = 3;

/// What a job was given last, as its clients know it.
pub struct Given {
    pub args: Json,
    priority: i8,
    /// What requests without an answer may have given it instead.
    perhaps_args: Vec<Json>,
    perhaps_priority: Vec<i8>,
}

impl Given {
    /// What a job is inserted with.
    pub fn with(new: &NewJob) -> Self {
        let (args, priority) = (new.args.clone(), new.priority);
        Given { args, priority, perhaps_args: Vec::new(), perhaps_priority: Vec::new() }
    }

    /// Compares it with what the store has, and believes the store where nobody knows.
    pub fn audit(&mut self, index: usize, job: &Job) -> Result<(), Broken> {
        let Some(args) = &job.args else { return Err(format!("job {index} has no args")) };
        let is_given = *args == self.args || self.perhaps_args.contains(args);
        ensure!(is_given, "job {index} has args {args}, not {}", self.args);
        let priority = job.priority;
        let is_given = priority == self.priority || self.perhaps_priority.contains(&priority);
        ensure!(is_given, "job {index} has priority {priority}, not {}", self.priority);
        *self = Given {
            args: args.clone(),
            priority,
            perhaps_args: Vec::new(),
            perhaps_priority: Vec::new(),
        };
        Ok(())
    }
}

/// A unique key for some new jobs, and what happens where another one holds it.
pub fn unique(random: &mut Random) -> (Extras, OnConflict) {
    if random.one_in(2) {
        return (Extras::default(), OnConflict::default());
    }
    let ms = random.uneven() % 60_000;
    let until = *random.pick(&[Until::Claimed, Until::Finished, Until::Elapsed { ms }]);
    let key = format!("key {}", random.below(KEYS)).into();
    let extras = Extras { unique: Some(Unique { key, until }), ..Extras::default() };
    let all = Replace { priority: true, tags: true, ..Replace::debounce(None) };
    let conflicts = [
        OnConflict::Keep,
        OnConflict::Refuse,
        OnConflict::Replace(Replace::throttle()),
        OnConflict::Replace(Replace::debounce(Some(30_000))),
        OnConflict::Replace(all),
    ];
    (extras, *random.pick(&conflicts))
}

impl Known {
    fn key(&self) -> Option<&Unique> {
        self.new.extras.unique.as_ref()
    }
}

impl History {
    fn inserted_as(&mut self, index: usize, seq: u64) -> Result<(), Broken> {
        ensure!(seq > self.last_seq, "job {index} got seq {seq} after {}", self.last_seq);
        self.last_seq = seq;
        self.jobs[index].insert = Insertion::Yes(seq);
        Ok(())
    }

    pub fn inserted(
        &mut self,
        jobs: &[usize],
        answers: &[Inserted],
        now: Timestamp,
    ) -> Result<(), Broken> {
        for (index, answer) in jobs.iter().zip(answers) {
            match (self.jobs[*index].insert, answer) {
                (Insertion::No, Inserted::New { seq }) => {
                    self.inserted_as(*index, *seq)?;
                    self.acknowledge(now)?;
                }
                (Insertion::Yes(known), Inserted::Existing { seq, .. }) if known == *seq => {}
                (Insertion::No, Inserted::Duplicate { id, seq, replaced, .. }) => {
                    self.shares_its_key(*index, *id)?;
                    let holder = self.index(*id)?;
                    let known = self.jobs[holder].insert;
                    ensure!(known == Insertion::Yes(*seq), "job {holder} is {known:?}, not {seq}");
                    if *replaced {
                        self.replaced(*index, holder)?;
                        self.acknowledge(now)?;
                    }
                }
                (Insertion::No, Inserted::Refused(Refusal::UniqueTaken { holder, .. })) => {
                    self.was_to_be_refused(*index)?;
                    self.shares_its_key(*index, *holder)?;
                }
                (_, Inserted::Skipped) => {}
                (known, answer) => return Err(format!("job {index} was {known:?}, is {answer:?}")),
            }
        }
        Ok(())
    }

    /// Another job can only be in the way of one that has the same key.
    pub(super) fn shares_its_key(&self, index: usize, holder: JobId) -> Result<(), Broken> {
        let other = self.index(holder)?;
        let key_of = |index: usize| self.jobs[index].key().map(|unique| &unique.key);
        let is_in_the_way = other != index && key_of(index).is_some();
        ensure!(is_in_the_way, "job {index} cannot be in the way of job {other}");
        let is_same = key_of(index) == key_of(other);
        ensure!(is_same, "job {other} is in the way of job {index}, which has another key");
        Ok(())
    }

    fn was_to_be_refused(&self, index: usize) -> Result<(), Broken> {
        let is_asked = self.jobs[index].new.on_conflict == OnConflict::Refuse;
        ensure!(is_asked, "job {index} was refused and not to be");
        Ok(())
    }

    fn replaced(&mut self, index: usize, holder: usize) -> Result<(), Broken> {
        let new = &self.jobs[index].new;
        let OnConflict::Replace(replace) = new.on_conflict else {
            return Err(format!("job {index} was not to give job {holder} anything"));
        };
        let (args, priority) = (new.args.clone(), new.priority);
        let known = &mut self.jobs[holder];
        ensure!(known.attempt == 0, "job {holder} was claimed, and then given something");
        if replace.args {
            known.given.args = args;
        }
        if replace.priority {
            known.given.priority = priority;
        }
        Ok(())
    }

    /// An insert got no answer.
    pub fn insert_unanswered(&mut self, jobs: &[usize]) {
        for index in jobs {
            let known = &mut self.jobs[*index];
            if known.insert == Insertion::No {
                known.insert = Insertion::Perhaps;
            }
            let NewJob { args, priority, extras, .. } = known.new.clone();
            let Some(unique) = extras.unique else { continue };
            let shares = |other: &&mut Known| other.key().is_some_and(|own| own.key == unique.key);
            for other in self.jobs.iter_mut().filter(shares) {
                other.given.perhaps_args.push(args.clone());
                other.given.perhaps_priority.push(priority);
            }
        }
    }

    pub(super) fn adjusted(
        &mut self,
        index: usize,
        priority: Option<i8>,
        answer: &Controlled,
    ) -> Result<(), Broken> {
        let known = &mut self.jobs[index];
        match answer {
            Controlled::Done { state } => {
                let waits = *state == Some(StateName::Available);
                ensure!(waits, "job {index} was adjusted and is {state:?}");
                let runs = known.holder.is_some() && !known.is_shaky;
                ensure!(!runs, "job {index} was adjusted while it ran");
                known.given.priority = priority.unwrap_or(known.given.priority);
                Ok(())
            }
            Controlled::Refused { .. } => Ok(()),
            Controlled::Taken { .. } | Controlled::PoliciesFull { .. } => {
                Err(format!("adjusting job {index} needs no key"))
            }
            Controlled::NotFound => self.not_found(index),
        }
    }

    pub(super) fn adjust_unanswered(&mut self, index: usize, priority: Option<i8>) {
        self.jobs[index].given.perhaps_priority.extend(priority);
    }
}

/// Each key has one holder at most, the ledger knows it, and it knows of no other.
pub fn check_keys(ledger: &Ledger, jobs: &[Job]) -> Result<(), Broken> {
    let now = ledger.now();
    let mut holders = BTreeMap::new();
    for job in jobs {
        let Some(unique) = &job.extras.unique else { continue };
        if unique.is_held(&job.life, job.created_at, now)
            && let Some(other) = holders.insert((&job.namespace, &*unique.key), job.seq)
        {
            return Err(format!("jobs number {other} and {} both hold {:?}", job.seq, unique.key));
        }
    }
    let mut known = BTreeMap::new();
    for (namespace, key, seq) in ledger.keys() {
        known.insert((namespace, key), seq);
        let job = jobs.iter().find(|job| job.seq == seq);
        let unique = job.and_then(|job| job.extras.unique.as_ref());
        let is_its_key = unique.is_some_and(|unique| *unique.key == *key);
        ensure!(is_its_key, "{key:?} is said to be held by job number {seq}, which has none such");
        let is_held = holders.get(&(namespace, key)) == Some(&seq);
        // What ends with time stays in the index until it is swept.
        let is_timed = unique.is_some_and(|unique| matches!(unique.until, Until::Elapsed { .. }));
        ensure!(is_held || is_timed, "job number {seq} does not hold {key:?} any more");
    }
    for (key, seq) in &holders {
        let found = known.get(key);
        ensure!(found == Some(seq), "job number {seq} holds {key:?}, and {found:?} is known");
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/given.rs"]
mod tests;
