//! Random changes, for tests of whatever carries them.

use std::sync::Arc;

use taskwright_core::{
    AttemptRecord, Cause, Extras, JobError, JobId, Json, Life, Place, Requirement, RetryPolicy,
    Shard, State, Timestamp, Token, Unique, Until, Verdict, WorkerId,
};

use super::Random;
use crate::change::{
    Audit, Change, Fixed, Lane, More, QueueSettings, Rewrite, Run, Update, Vital, WorkerFact,
};

/// Makes changes that no ledger would make, but that every codec must carry.
pub struct Samples {
    /// The chance in them.
    pub random: Random,
}

const VERDICTS: [Verdict; 6] = [
    Verdict::Completed,
    Verdict::Failed,
    Verdict::Snoozed,
    Verdict::Released,
    Verdict::Lapsed,
    Verdict::TimedOut,
];

const CAUSES: [Cause; 4] = [Cause::Exhausted, Cause::Final, Cause::Quarantined, Cause::Returned];

impl Samples {
    /// The samples that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Samples { random: Random::new(seed) }
    }

    /// Any change.
    pub fn change(&mut self) -> Change {
        match self.random.below(11) {
            0..=3 => Change::Insert(Arc::new(self.fixed()), self.vital()),
            4..=6 => Change::Update(self.update()),
            7 => Change::Delete(self.random.uneven()),
            9 => Change::Rewrite(Box::new(self.rewrite())),
            8 => Change::Lane(Lane {
                number: self.number(),
                namespace: self.text(),
                queue: self.text(),
                task: self.text(),
                requires: self.text(),
            }),
            _ => self.rare(),
        }
    }

    fn rare(&mut self) -> Change {
        match self.random.below(3) {
            0 => Change::Queue(QueueSettings {
                namespace: self.text(),
                queue: self.text(),
                paused: self.random.one_in(2),
            }),
            1 => Change::Worker(WorkerFact {
                number: self.number(),
                id: self.worker(),
                namespace: self.text(),
                first_seen_at: self.instant(),
                in_process: self.random.one_in(2),
            }),
            _ => {
                Change::Audit(Audit { at: self.instant(), actor: self.text(), action: self.text() })
            }
        }
    }

    /// What of a job never changes.
    pub fn fixed(&mut self) -> Fixed {
        Fixed {
            seq: self.random.uneven(),
            id: JobId::from_u128(self.wide()),
            lane: self.number(),
            priority: self.random.bits() as i8,
            timeout_ms: self.maybe(Random::uneven),
            created_at: self.instant(),
            fingerprint: self.random.bits(),
            max_attempts: self.usually(20),
            args: self.json(),
            extras: self.random.one_in(2).then(|| Box::new(self.extras())),
        }
    }

    /// A whole update.
    pub fn update(&mut self) -> Update {
        let more = self.random.one_in(2).then(|| Box::new(self.more()));
        Update { seq: self.random.uneven(), vital: self.vital(), more }
    }

    /// Any rewrite.
    pub fn rewrite(&mut self) -> Rewrite {
        Rewrite {
            seq: self.random.uneven(),
            priority: self.random.bits() as i8,
            timeout_ms: self.maybe(Random::uneven),
            max_attempts: self.usually(20),
            tags: self.random.one_in(2).then(|| self.texts()),
            args: self.random.one_in(2).then(|| self.json()),
            vital: self.vital(),
        }
    }

    /// What of a job changes with every step.
    pub fn vital(&mut self) -> Vital {
        Vital {
            life: self.life(),
            due_at: self.instant(),
            run: self.random.one_in(2).then(|| Run {
                worker: self.number(),
                claim: self.random.uneven(),
                started_at: self.instant(),
            }),
            finished_at: self.random.one_in(2).then(|| self.instant()),
        }
    }

    /// A life in any state.
    pub fn life(&mut self) -> Life {
        let state = match self.random.below(10) {
            0 => State::Blocked,
            1 => State::Available(Place::Ready(self.instant().as_micros())),
            2 => State::Available(Place::Until(self.instant())),
            3 => State::Available(Place::Line(self.random.uneven())),
            4 => State::Available(Place::Intake),
            5 => State::Running(self.token()),
            6 => State::Completed,
            7 => State::Dead(*self.random.pick(&CAUSES)),
            8 => State::Cancelled,
            _ => State::Expired,
        };
        let verdict = *self.random.pick(&VERDICTS);
        Life {
            state,
            waits_for: self.usually(0),
            attempt: self.number(),
            failures: self.usually(0),
            losses: self.usually(0),
            released: self.usually(0),
            snoozed: self.usually(0),
            max_attempts: self.usually(20),
            max_losses: self.usually(3),
            cancel_requested: self.random.one_in(2),
            last: self.random.one_in(2).then(|| (self.token(), verdict)),
        }
    }

    /// Any extras.
    pub fn extras(&mut self) -> Extras {
        let retry = match self.random.below(4) {
            0 => None,
            1 => Some(RetryPolicy::Exponential {
                base_ms: self.random.uneven(),
                max_ms: self.random.uneven(),
            }),
            2 => Some(RetryPolicy::Fixed { delay_ms: self.random.uneven() }),
            _ => Some(RetryPolicy::List { delays_ms: self.list(Random::uneven) }),
        };
        Extras {
            retry,
            expires_at: self.random.one_in(2).then(|| self.instant()),
            tags: self.texts(),
            group: self.maybe_text(),
            limit_keys: self.texts(),
            unique: self.maybe_text().map(|key| Unique { key, until: self.until() }),
            // Their lane says it.
            requires: Requirement::NONE,
            cost: self.usually(0),
            parents: self.list(|random| JobId::from_u128(u128::from(random.bits()))),
            alias: self.maybe_text(),
            trace: self.maybe_text(),
            shard: self.shard(),
        }
    }

    fn shard(&mut self) -> Option<Shard> {
        let mut number = || u32::try_from(self.random.below(1_000)).unwrap_or(0);
        let shard = Shard { index: number(), total: number() };
        self.random.one_in(2).then_some(shard)
    }

    fn until(&mut self) -> Until {
        match self.random.below(3) {
            0 => Until::Claimed,
            1 => Until::Finished,
            _ => Until::Elapsed { ms: self.random.uneven() },
        }
    }

    /// Any seldom fields.
    pub fn more(&mut self) -> More {
        More {
            attempt: self.random.one_in(2).then(|| self.attempt()),
            error: self.random.one_in(2).then(|| self.error()),
            result: self.random.one_in(2).then(|| self.json()),
            cancel_reason: self.maybe_text(),
            progress: self.random.one_in(2).then(|| self.json()),
            checkpoint: self.random.one_in(2).then(|| self.json()),
        }
    }

    /// Any ended attempt.
    pub fn attempt(&mut self) -> AttemptRecord {
        AttemptRecord {
            attempt: self.number(),
            worker: self.worker(),
            started_at: self.instant(),
            ended_at: self.instant(),
            verdict: *self.random.pick(&VERDICTS),
            error: self.random.one_in(2).then(|| self.error()),
        }
    }

    /// Any error.
    pub fn error(&mut self) -> JobError {
        JobError { kind: self.text(), message: self.text() }
    }

    fn token(&mut self) -> Token {
        Token { epoch: self.number(), attempt: self.number(), nonce: self.random.bits() }
    }

    fn worker(&mut self) -> WorkerId {
        WorkerId::from_u128(self.wide())
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.random.bits()) << 64 | u128::from(self.random.bits())
    }

    fn number(&mut self) -> u32 {
        (self.random.bits() as u32) >> self.random.below(32)
    }

    fn usually(&mut self, usual: u32) -> u32 {
        if self.random.one_in(2) { usual } else { self.number() }
    }

    fn instant(&mut self) -> Timestamp {
        Timestamp::from_micros(self.random.uneven().cast_signed())
    }

    fn text(&mut self) -> Arc<str> {
        const WORDS: [&str; 6] = ["", "default", "mail", "grüße", "\"quoted\"\n", "東京"];
        (*self.random.pick(&WORDS)).into()
    }

    fn json(&mut self) -> Json {
        let length = self.random.below(40);
        Json::from_trusted(format!("\"{}\"", "x".repeat(length)))
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
        self.random.one_in(2).then(|| make(&mut self.random))
    }

    fn maybe_text(&mut self) -> Option<Arc<str>> {
        self.random.one_in(2).then(|| self.text())
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.random.below(4)).map(|_| make(&mut self.random)).collect()
    }

    fn texts(&mut self) -> Vec<Arc<str>> {
        (0..self.random.below(4)).map(|_| self.text()).collect()
    }
}
