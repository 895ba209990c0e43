//! Policies, and when the next start is due by a rate.

use std::sync::Arc;

use taskwright_core::{Name, Ordered, Policy, Rate, Subject};

use super::vital::{at_base, from_base};
use super::wire::{Reader, Tag, Writer};
use super::{Base, CodecError};
use crate::change::{Arrival, PolicyFact, Turn};

const NAMESPACE: Tag = Tag::text(1);
const QUEUE: Tag = Tag::text(2);
const TASK: Tag = Tag::text(3);
const GROUP: Tag = Tag::text(4);
const KEY: Tag = Tag::text(5);
/// Without any of the following there is no policy any more.
const CONCURRENCY: Tag = Tag::unsigned(6);
const RATE_COUNT: Tag = Tag::unsigned(7);
const RATE_PERIOD_MS: Tag = Tag::unsigned(8);
const RATE_BURST: Tag = Tag::unsigned(9);
const FAIR: Tag = Tag::flag(10);
const WEIGHT: Tag = Tag::unsigned(11);
/// What the dead do there to those behind them.
const ORDERED: Tag = Tag::text(12);
const RETRIES_COUNT: Tag = Tag::unsigned(13);
const RETRIES_PERIOD_MS: Tag = Tag::unsigned(14);
const RETRIES_BURST: Tag = Tag::unsigned(15);
const WAITING: Tag = Tag::unsigned(16);
const STRICT: Tag = Tag::flag(17);

/// Appends the fields and the end of the record.
pub fn put_policy(writer: &mut Writer<'_>, fact: &PolicyFact) {
    writer.text(NAMESPACE, fact.namespace.as_str());
    match &fact.subject {
        Subject::Queue(queue) => writer.text(QUEUE, queue.as_str()),
        Subject::Task(task) => writer.text(TASK, task.as_str()),
        Subject::Group { queue, group } => {
            writer.text(QUEUE, queue.as_str());
            writer.text(GROUP, group);
        }
        Subject::Key(key) => writer.text(KEY, key),
    }
    let policy = fact.policy.unwrap_or_default();
    if let Some(concurrency) = policy.concurrency {
        writer.unsigned(CONCURRENCY, concurrency);
    }
    if let Some(rate) = policy.rate {
        writer.unsigned(RATE_COUNT, rate.count);
        writer.unsigned(RATE_PERIOD_MS, rate.period_ms);
        writer.unsigned(RATE_BURST, rate.burst);
    }
    if policy.fair {
        writer.flag(FAIR);
    }
    if policy.strict {
        writer.flag(STRICT);
    }
    if let Some(weight) = policy.weight {
        writer.unsigned(WEIGHT, weight);
    }
    if let Some(retries) = policy.retries {
        writer.unsigned(RETRIES_COUNT, retries.count);
        writer.unsigned(RETRIES_PERIOD_MS, retries.period_ms);
        writer.unsigned(RETRIES_BURST, retries.burst);
    }
    if let Some(waiting) = policy.waiting {
        writer.unsigned(WAITING, waiting);
    }
    writer.text_if_any(ORDERED, policy.ordered.map(Ordered::as_str));
    writer.end();
}

/// Takes a whole record.
pub fn take_policy(reader: &mut Reader<'_>) -> Result<PolicyFact, CodecError> {
    const RECORD: &str = "a policy";
    let missing = |field| CodecError::Missing { record: RECORD, field };
    let (mut namespace, mut queue, mut task) = (None, None, None);
    let (mut group, mut key): (Option<Arc<str>>, Option<Arc<str>>) = (None, None);
    let (mut concurrency, mut count, mut period_ms, mut burst) = (None, None, None, None);
    let (mut fair, mut strict, mut weight, mut ordered) = (false, false, None, None);
    let (mut retries, mut waiting) = ((None, None, None), None);
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            NAMESPACE => namespace = Some(name(reader)?),
            QUEUE => queue = Some(name(reader)?),
            TASK => task = Some(name(reader)?),
            GROUP => group = Some(reader.text()?),
            KEY => key = Some(reader.text()?),
            CONCURRENCY => concurrency = Some(reader.unsigned()?),
            RATE_COUNT => count = Some(reader.unsigned()?),
            RATE_PERIOD_MS => period_ms = Some(reader.unsigned()?),
            RATE_BURST => burst = Some(reader.unsigned()?),
            FAIR => fair = true,
            STRICT => strict = true,
            WEIGHT => weight = Some(reader.unsigned()?),
            RETRIES_COUNT => retries.0 = Some(reader.unsigned()?),
            RETRIES_PERIOD_MS => retries.1 = Some(reader.unsigned()?),
            RETRIES_BURST => retries.2 = Some(reader.unsigned()?),
            WAITING => waiting = Some(reader.unsigned()?),
            ORDERED => {
                let known = Ordered::from_word(&reader.text()?);
                ordered = Some(known.ok_or_else(|| reader.impossible())?);
            }
            _ => return Err(reader.unknown()),
        }
    }
    let subject = match (queue, group, task, key) {
        (Some(queue), Some(group), None, None) => Subject::Group { queue, group },
        (Some(queue), None, None, None) => Subject::Queue(queue),
        (None, None, Some(task), None) => Subject::Task(task),
        (None, None, None, Some(key)) => Subject::Key(key),
        _ => return Err(missing("subject")),
    };
    let rate = |parts| match parts {
        (None, None, None) => Ok(None),
        (Some(count), Some(period_ms), Some(burst)) => Ok(Some(Rate { count, period_ms, burst })),
        _ => Err(missing("whole rate")),
    };
    let (rate, retries) = (rate((count, period_ms, burst))?, rate(retries)?);
    let policy = Policy { concurrency, rate, fair, strict, weight, retries, waiting, ordered };
    Ok(PolicyFact {
        namespace: namespace.ok_or(missing("namespace"))?,
        subject,
        policy: (!policy.is_empty()).then_some(policy),
    })
}

fn name(reader: &mut Reader<'_>) -> Result<Name, CodecError> {
    let text = reader.text()?;
    Name::new(&*text).map_err(|_| reader.impossible())
}

const NUMBER: Tag = Tag::fixed_8(1);
const AT: Tag = Tag::signed(2);

/// Appends the fields and the end of the record.
pub fn put_arrival(writer: &mut Writer<'_>, arrival: Arrival, base: Base) {
    writer.fixed_8(NUMBER, arrival.number);
    writer.signed(AT, from_base(arrival.at, base));
    writer.end();
}

/// Takes a whole record.
pub fn take_arrival(reader: &mut Reader<'_>, base: Base) -> Result<Arrival, CodecError> {
    const RECORD: &str = "an arrival";
    let (mut number, mut at) = (None, None);
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            NUMBER => number = Some(reader.fixed_8()?),
            AT => at = Some(at_base(reader.signed()?, base)),
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: RECORD, field };
    Ok(Arrival { number: number.ok_or(missing("number"))?, at: at.ok_or(missing("time"))? })
}

const CLOCK: Tag = Tag::fixed_8(3);
const TURN: Tag = Tag::signed(4);

/// Appends the fields and the end of the record.
pub fn put_turn(writer: &mut Writer<'_>, turn: Turn) {
    writer.fixed_8(NUMBER, turn.number);
    writer.fixed_8(CLOCK, turn.clock);
    writer.signed(TURN, turn.at);
    writer.end();
}

/// Takes a whole record.
pub fn take_turn(reader: &mut Reader<'_>) -> Result<Turn, CodecError> {
    const RECORD: &str = "a turn";
    let (mut number, mut clock, mut at) = (None, None, None);
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            NUMBER => number = Some(reader.fixed_8()?),
            CLOCK => clock = Some(reader.fixed_8()?),
            TURN => at = Some(reader.signed()?),
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: RECORD, field };
    Ok(Turn {
        number: number.ok_or(missing("number"))?,
        clock: clock.ok_or(missing("clock"))?,
        at: at.ok_or(missing("turn"))?,
    })
}
