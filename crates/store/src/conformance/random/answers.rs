//! What must be equal in the answers of a store and of the model, and what may differ.
//!
//! A store chooses the nonces and epochs of its tokens, the numbers of its jobs (they only have to
//! grow) and the words of its own errors. [`Translation`] turns the store's into the model's.

use std::collections::BTreeMap;

use taskwright_core::lifecycle::State;
use taskwright_core::{Job, JobError, JobId, Name, Token};

use crate::request::*;
use crate::view::QueueCounts;

/// An attempt as the model and the store know it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub namespace: Name,
    pub id: JobId,
    pub worker: usize,
    pub in_model: Token,
    pub in_store: Token,
}

/// From what the store says to what the model says.
#[derive(Default)]
pub struct Translation {
    pub attempts: Vec<Attempt>,
    /// Job numbers, from the store's to the model's.
    numbers: BTreeMap<u64, u64>,
}

impl Translation {
    /// A job is new in both; the store's numbers must grow as the model's do.
    pub fn admit(&mut self, in_model: u64, in_store: u64) -> Result<(), String> {
        match self.numbers.last_key_value() {
            Some((&last, _)) if last >= in_store => {
                Err(format!("job number {in_store} was given after {last}"))
            }
            _ => {
                self.numbers.insert(in_store, in_model);
                Ok(())
            }
        }
    }

    pub fn number(&self, in_store: u64) -> u64 {
        self.numbers.get(&in_store).copied().unwrap_or(u64::MAX)
    }

    pub fn token(&self, id: JobId, in_store: Token) -> Token {
        let is_same = |a: &&Attempt| a.id == id && a.in_store == in_store;
        self.attempts.iter().find(is_same).map_or(in_store, |attempt| attempt.in_model)
    }

    pub fn inserted(&self, mut answer: Inserted) -> Inserted {
        if let Inserted::New { seq }
        | Inserted::Existing { seq, .. }
        | Inserted::Duplicate { seq, .. } = &mut answer
        {
            *seq = self.number(*seq);
        }
        answer
    }

    pub fn claimed(&self, job: ClaimedJob) -> ClaimedJob {
        ClaimedJob { seq: self.number(job.seq), token: self.token(job.id, job.token), ..job }
    }

    pub fn reply(&self, reply: HeartbeatReply) -> HeartbeatReply {
        let lost = reply.lost.into_iter().map(|(id, token)| (id, self.token(id, token)));
        let cancel = reply
            .cancel
            .into_iter()
            .map(|order| CancelOrder { token: self.token(order.id, order.token), ..order });
        in_any_order(HeartbeatReply { lost: lost.collect(), cancel: cancel.collect() })
    }

    pub fn job(&self, mut job: Job) -> Job {
        job.seq = self.number(job.seq);
        if let State::Running(token) = &mut job.life.state {
            *token = self.token(job.id, *token);
        }
        if let Some((token, _)) = &mut job.life.last {
            *token = self.token(job.id, *token);
        }
        without_words(job)
    }

    pub fn page(&self, page: Page) -> Page {
        Page {
            jobs: page.jobs.into_iter().map(|job| self.job(job)).collect(),
            next: page.next.map(|next| self.number(next)),
        }
    }
}

/// Leaves out the words that a store finds for what it saw itself.
pub fn without_words(mut job: Job) -> Job {
    let errors = job.attempts.iter_mut().filter_map(|attempt| attempt.error.as_mut());
    for error in errors.chain(job.error.as_mut()) {
        if ["lost", "timeout"].contains(&&*error.kind) {
            *error = JobError::new(&error.kind, "");
        }
    }
    job
}

/// Cancel orders come in any order, and those of timeouts in any words.
pub fn in_any_order(mut reply: HeartbeatReply) -> HeartbeatReply {
    reply.cancel.sort_unstable_by_key(|order| order.id);
    for order in reply.cancel.iter_mut().filter(|order| order.timed_out) {
        order.reason = "".into();
    }
    reply
}

/// Queues that say nothing may be left out.
pub fn telling(counts: Vec<QueueCounts>) -> Vec<QueueCounts> {
    let is_telling = |c: &QueueCounts| *c != QueueCounts::empty(c.queue.clone());
    counts.into_iter().filter(is_telling).collect()
}

/// What the store may answer where the model answers `expected` to a call that the store was asked
/// twice, because its first reply was lost.
pub fn inserted_again(expected: Inserted) -> Inserted {
    match expected {
        Inserted::New { seq } => {
            Inserted::Existing { seq, state: taskwright_core::StateName::Available }
        }
        other => without_state(other),
    }
}

/// A repetition may find the holder of a key in the state in which the first call left it.
pub fn without_state(answer: Inserted) -> Inserted {
    match answer {
        Inserted::Duplicate { id, seq, .. } => Inserted::Duplicate {
            id,
            seq,
            state: taskwright_core::StateName::Available,
            replaced: false,
        },
        other => other,
    }
}

/// Whether a repeated report may be answered so.
pub fn is_reported_again(expected: &Reported, answer: &Reported) -> bool {
    match expected {
        // A checkpoint in front of the end of its attempt is stale the second time, and so is the
        // repeated report of an attempt in front of the end of the next one.
        Reported::Applied { .. } | Reported::Already => {
            answer == expected || matches!(answer, Reported::Already | Reported::Stale)
        }
        Reported::Stale | Reported::Unknown => answer == expected,
    }
}
