//! What of a job changes with every step.

use taskwright_core::{Cause, Life, Place, State, Timestamp, Token, Verdict};

use super::wire::{Reader, Tag, Writer};
use super::{Base, CodecError};
use crate::change::{Run, Vital};

const RECORD: &str = "the vital fields of a job";

const READY: Tag = Tag::signed(1);
const UNTIL: Tag = Tag::signed(2);
const RUNNING: Tag = Tag::fixed_8(3);
const COMPLETED: Tag = Tag::flag(4);
const ATTEMPT: Tag = Tag::unsigned(5);
const DUE_AT: Tag = Tag::signed(6);
const WORKER: Tag = Tag::unsigned(7);
const CLAIM: Tag = Tag::unsigned(8);
const STARTED_AT: Tag = Tag::signed(9);
const FINISHED_AT: Tag = Tag::signed(10);
const LAST: Tag = Tag::fixed_8(11);
// 12 to 15 belong to the records that these fields are part of.
const BLOCKED: Tag = Tag::flag(16);
const LINE: Tag = Tag::unsigned(17);
const INTAKE: Tag = Tag::flag(18);
const DEAD: Tag = Tag::unsigned(19);
const CANCELLED: Tag = Tag::flag(20);
const EXPIRED: Tag = Tag::flag(21);
const RUNNING_EPOCH: Tag = Tag::signed(22);
const RUNNING_ATTEMPT: Tag = Tag::signed(23);
const LAST_EPOCH: Tag = Tag::signed(24);
const LAST_ATTEMPT: Tag = Tag::signed(25);
const LAST_VERDICT: Tag = Tag::unsigned(26);
const WAITS_FOR: Tag = Tag::unsigned(27);
const FAILURES: Tag = Tag::unsigned(28);
const LOSSES: Tag = Tag::unsigned(29);
const RELEASED: Tag = Tag::unsigned(30);
const SNOOZED: Tag = Tag::unsigned(31);
const MAX_ATTEMPTS: Tag = Tag::unsigned(32);
const MAX_LOSSES: Tag = Tag::unsigned(33);
const CANCEL_REQUESTED: Tag = Tag::flag(34);
// Numbers from 40 on belong to the records that these fields are part of.

/// The `max_attempts` that is left out: part of the format, whatever the default becomes.
pub const MAX_ATTEMPTS_USUAL: u32 = 20;
/// The `max_losses` that is left out.
const MAX_LOSSES_USUAL: u32 = 3;

/// Appends the fields, without the end of the record.
#[inline]
pub fn put(writer: &mut Writer<'_>, vital: &Vital, base: Base) {
    put_life(writer, &vital.life, vital.due_at, base);
    writer.apart(DUE_AT, vital.due_at.as_micros(), base.now.as_micros());
    if let Some(run) = vital.run {
        writer.unsigned(WORKER, run.worker);
        writer.unusual(CLAIM, run.claim, 0);
        writer.apart(STARTED_AT, run.started_at.as_micros(), base.now.as_micros());
    }
    if let Some(finished_at) = vital.finished_at {
        writer.signed(FINISHED_AT, from_base(finished_at, base));
    }
}

#[inline]
fn put_life(writer: &mut Writer<'_>, life: &Life, due_at: Timestamp, base: Base) {
    match life.state {
        State::Available(Place::Ready(rank)) => {
            writer.signed(READY, rank.wrapping_sub(due_at.as_micros()));
        }
        State::Available(Place::Until(at)) => {
            writer.signed(UNTIL, at.as_micros().wrapping_sub(due_at.as_micros()));
        }
        State::Available(Place::Line(key)) => writer.unsigned(LINE, key),
        State::Available(Place::Intake) => writer.flag(INTAKE),
        State::Blocked => writer.flag(BLOCKED),
        State::Running(token) => {
            writer.fixed_8(RUNNING, token.nonce);
            writer.apart(RUNNING_EPOCH, token.epoch.into(), base.epoch.into());
            writer.apart(RUNNING_ATTEMPT, token.attempt.into(), life.attempt.into());
        }
        State::Completed => writer.flag(COMPLETED),
        State::Dead(cause) => writer.unsigned(DEAD, cause_number(cause)),
        State::Cancelled => writer.flag(CANCELLED),
        State::Expired => writer.flag(EXPIRED),
    }
    if let Some((token, verdict)) = life.last {
        writer.fixed_8(LAST, token.nonce);
        writer.apart(LAST_EPOCH, token.epoch.into(), base.epoch.into());
        writer.apart(LAST_ATTEMPT, token.attempt.into(), life.attempt.into());
        writer.unusual(LAST_VERDICT, verdict_number(verdict), 0);
    }
    writer.unusual(ATTEMPT, life.attempt, 0);
    writer.unusual(WAITS_FOR, life.waits_for, 0);
    writer.unusual(FAILURES, life.failures, 0);
    writer.unusual(LOSSES, life.losses, 0);
    writer.unusual(RELEASED, life.released, 0);
    writer.unusual(SNOOZED, life.snoozed, 0);
    writer.unusual(MAX_ATTEMPTS, life.max_attempts, MAX_ATTEMPTS_USUAL);
    writer.unusual(MAX_LOSSES, life.max_losses, MAX_LOSSES_USUAL);
    if life.cancel_requested {
        writer.flag(CANCEL_REQUESTED);
    }
}

/// Appends a life that stands alone.
pub fn put_life_alone(writer: &mut Writer<'_>, life: &Life) {
    put_life(writer, life, Timestamp::ZERO, Base::ALONE);
}

/// Takes a life that stands alone.
pub fn take_life_alone(reader: &mut Reader<'_>) -> Result<Life, CodecError> {
    take(reader, Base::ALONE).map(|vital| vital.life)
}

/// Takes a whole record.
pub fn take(reader: &mut Reader<'_>, base: Base) -> Result<Vital, CodecError> {
    let mut draft = Draft::default();
    while let Some(tag) = reader.tag(RECORD)? {
        if !draft.accept(tag, reader)? {
            return Err(reader.unknown());
        }
    }
    draft.finish(base, RECORD)
}

/// The fields of a [`Vital`] as they come.
#[derive(Default)]
pub struct Draft {
    state: Option<StateDraft>,
    running: TokenDraft,
    last: Option<u64>,
    last_token: TokenDraft,
    last_verdict: u8,
    attempt: u32,
    due_at: i64,
    worker: Option<u32>,
    claim: u64,
    started_at: i64,
    finished_at: Option<i64>,
    waits_for: u32,
    failures: u32,
    losses: u32,
    released: u32,
    snoozed: u32,
    max_attempts: Option<u32>,
    max_losses: Option<u32>,
    cancel_requested: bool,
}

enum StateDraft {
    Ready(i64),
    Until(i64),
    Running(u64),
    Other(State),
}

#[derive(Default)]
struct TokenDraft {
    epoch: i64,
    attempt: i64,
}

impl TokenDraft {
    fn finish(&self, nonce: u64, base: Base, attempt: u32) -> Option<Token> {
        let epoch = i64::from(base.epoch).checked_add(self.epoch)?;
        let attempt = i64::from(attempt).checked_add(self.attempt)?;
        Some(Token { epoch: epoch.try_into().ok()?, attempt: attempt.try_into().ok()?, nonce })
    }
}

impl Draft {
    /// Takes the value of `tag` if it is one of these fields.
    #[inline]
    pub fn accept(&mut self, tag: Tag, reader: &mut Reader<'_>) -> Result<bool, CodecError> {
        match tag {
            READY => self.state = Some(StateDraft::Ready(reader.signed()?)),
            UNTIL => self.state = Some(StateDraft::Until(reader.signed()?)),
            RUNNING => self.state = Some(StateDraft::Running(reader.fixed_8()?)),
            COMPLETED => self.state = Some(StateDraft::Other(State::Completed)),
            BLOCKED => self.state = Some(StateDraft::Other(State::Blocked)),
            INTAKE => self.state = Some(StateDraft::Other(State::Available(Place::Intake))),
            CANCELLED => self.state = Some(StateDraft::Other(State::Cancelled)),
            EXPIRED => self.state = Some(StateDraft::Other(State::Expired)),
            LINE => {
                let line = Place::Line(reader.unsigned()?);
                self.state = Some(StateDraft::Other(State::Available(line)));
            }
            DEAD => {
                let number: u8 = reader.unsigned()?;
                let cause = cause_from(number).ok_or_else(|| reader.impossible())?;
                self.state = Some(StateDraft::Other(State::Dead(cause)));
            }
            RUNNING_EPOCH => self.running.epoch = reader.signed()?,
            RUNNING_ATTEMPT => self.running.attempt = reader.signed()?,
            LAST => self.last = Some(reader.fixed_8()?),
            LAST_EPOCH => self.last_token.epoch = reader.signed()?,
            LAST_ATTEMPT => self.last_token.attempt = reader.signed()?,
            LAST_VERDICT => self.last_verdict = reader.unsigned()?,
            ATTEMPT => self.attempt = reader.unsigned()?,
            DUE_AT => self.due_at = reader.signed()?,
            WORKER => self.worker = Some(reader.unsigned()?),
            CLAIM => self.claim = reader.unsigned()?,
            STARTED_AT => self.started_at = reader.signed()?,
            FINISHED_AT => self.finished_at = Some(reader.signed()?),
            WAITS_FOR => self.waits_for = reader.unsigned()?,
            FAILURES => self.failures = reader.unsigned()?,
            LOSSES => self.losses = reader.unsigned()?,
            RELEASED => self.released = reader.unsigned()?,
            SNOOZED => self.snoozed = reader.unsigned()?,
            MAX_ATTEMPTS => self.max_attempts = Some(reader.unsigned()?),
            MAX_LOSSES => self.max_losses = Some(reader.unsigned()?),
            CANCEL_REQUESTED => self.cancel_requested = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The whole, from all the fields of `record`.
    #[inline]
    pub fn finish(self, base: Base, record: &'static str) -> Result<Vital, CodecError> {
        let missing = |field| CodecError::Missing { record, field };
        let due_at = at_base(self.due_at, base);
        let state = match self.state.ok_or(missing("state"))? {
            StateDraft::Ready(apart) => {
                State::Available(Place::Ready(due_at.as_micros().wrapping_add(apart)))
            }
            StateDraft::Until(apart) => {
                let at = due_at.as_micros().wrapping_add(apart);
                State::Available(Place::Until(Timestamp::from_micros(at)))
            }
            StateDraft::Running(nonce) => {
                let token = self.running.finish(nonce, base, self.attempt);
                State::Running(token.ok_or(missing("possible token"))?)
            }
            StateDraft::Other(state) => state,
        };
        let last = match self.last {
            None => None,
            Some(nonce) => {
                let token = self.last_token.finish(nonce, base, self.attempt);
                let verdict = verdict_from(self.last_verdict);
                Some((
                    token.ok_or(missing("possible last token"))?,
                    verdict.ok_or(missing("possible verdict"))?,
                ))
            }
        };
        let run = self.worker.map(|worker| Run {
            worker,
            claim: self.claim,
            started_at: at_base(self.started_at, base),
        });
        let life = Life {
            state,
            waits_for: self.waits_for,
            attempt: self.attempt,
            failures: self.failures,
            losses: self.losses,
            released: self.released,
            snoozed: self.snoozed,
            max_attempts: self.max_attempts.unwrap_or(MAX_ATTEMPTS_USUAL),
            max_losses: self.max_losses.unwrap_or(MAX_LOSSES_USUAL),
            cancel_requested: self.cancel_requested,
            last,
        };
        let finished_at = self.finished_at.map(|apart| at_base(apart, base));
        Ok(Vital { life, due_at, run, finished_at })
    }
}

/// How far an instant is from the time of the group.
#[inline]
pub fn from_base(at: Timestamp, base: Base) -> i64 {
    at.as_micros().wrapping_sub(base.now.as_micros())
}

/// The instant that is so far from the time of the group.
#[inline]
pub fn at_base(apart: i64, base: Base) -> Timestamp {
    Timestamp::from_micros(base.now.as_micros().wrapping_add(apart))
}

fn cause_number(cause: Cause) -> u8 {
    match cause {
        Cause::Exhausted => 1,
        Cause::Final => 2,
        Cause::Quarantined => 3,
        Cause::Returned => 4,
    }
}

fn cause_from(number: u8) -> Option<Cause> {
    Some(match number {
        1 => Cause::Exhausted,
        2 => Cause::Final,
        3 => Cause::Quarantined,
        4 => Cause::Returned,
        _ => return None,
    })
}

/// The number that stands for a verdict.
pub fn verdict_number(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Completed => 0,
        Verdict::Failed => 1,
        Verdict::Snoozed => 2,
        Verdict::Released => 3,
        Verdict::Lapsed => 4,
        Verdict::TimedOut => 5,
    }
}

/// The verdict that a number stands for.
pub fn verdict_from(number: u8) -> Option<Verdict> {
    Some(match number {
        0 => Verdict::Completed,
        1 => Verdict::Failed,
        2 => Verdict::Snoozed,
        3 => Verdict::Released,
        4 => Verdict::Lapsed,
        5 => Verdict::TimedOut,
        _ => return None,
    })
}
