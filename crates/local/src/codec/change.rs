//! The changes of a group.

use std::sync::Arc;

use taskwright_core::{JobId, Json, WorkerId};

use super::vital::{self, Draft, MAX_ATTEMPTS_USUAL, at_base, from_base};
use super::wire::{Reader, Tag, Writer};
use super::{Base, CodecError, documents, extras, limits, more};
use crate::change::{
    Audit, Change, Fixed, Lane, QueueSettings, Rewrite, Update, Vital, WorkerFact,
};

const INSERT: Tag = Tag::record(1);
const UPDATE: Tag = Tag::record(2);
const DELETE: Tag = Tag::unsigned(3);
const LANE: Tag = Tag::record(4);
const QUEUE: Tag = Tag::record(5);
const WORKER: Tag = Tag::record(6);
const AUDIT: Tag = Tag::record(7);
const REWRITE: Tag = Tag::record(8);
const POLICY: Tag = Tag::record(9);
const ARRIVAL: Tag = Tag::record(10);
const DOCUMENT: Tag = Tag::record(11);
const TURN: Tag = Tag::record(49);

/// Appends one change.
#[inline]
pub fn put(writer: &mut Writer<'_>, change: &Change, base: Base) {
    match change {
        Change::Update(update) => put_update(writer, update, base),
        Change::Insert(fixed, vital) => put_insert(writer, fixed, vital, base),
        Change::Delete(seq) => writer.unsigned(DELETE, *seq),
        Change::Lane(lane) => put_lane(writer, lane),
        Change::Queue(queue) => put_queue(writer, queue),
        Change::Worker(worker) => put_worker(writer, worker, base),
        Change::Policy(policy) => {
            writer.flag(POLICY);
            limits::put_policy(writer, policy);
        }
        Change::Arrival(arrival) => {
            writer.flag(ARRIVAL);
            limits::put_arrival(writer, *arrival, base);
        }
        Change::Turn(turn) => {
            writer.flag(TURN);
            limits::put_turn(writer, *turn);
        }
        Change::Document(fact) => {
            writer.flag(DOCUMENT);
            documents::put(writer, fact, base);
        }
        Change::Audit(audit) => put_audit(writer, audit, base),
        Change::Rewrite(rewrite) => put_rewrite(writer, rewrite, base),
    }
}

/// Takes one change.
#[inline]
pub fn take(reader: &mut Reader<'_>, base: Base) -> Result<Change, CodecError> {
    match reader.tag("a group")? {
        Some(UPDATE) => take_update(reader, base).map(Change::Update),
        Some(INSERT) => take_insert(reader, base),
        Some(DELETE) => reader.unsigned().map(Change::Delete),
        Some(LANE) => take_lane(reader).map(Change::Lane),
        Some(QUEUE) => take_queue(reader).map(Change::Queue),
        Some(WORKER) => take_worker(reader, base).map(Change::Worker),
        Some(POLICY) => limits::take_policy(reader).map(|policy| Change::Policy(Box::new(policy))),
        Some(ARRIVAL) => limits::take_arrival(reader, base).map(Change::Arrival),
        Some(TURN) => limits::take_turn(reader).map(Change::Turn),
        Some(DOCUMENT) => documents::take(reader, base).map(Box::new).map(Change::Document),
        Some(AUDIT) => take_audit(reader, base).map(Change::Audit),
        Some(REWRITE) => take_rewrite(reader, base).map(Box::new).map(Change::Rewrite),
        Some(_) => Err(reader.unknown()),
        None => Err(CodecError::Missing { record: "a group", field: "change where one must be" }),
    }
}

// In an insert, an update and a rewrite; their other numbers are those of the vital fields.
const SEQ: Tag = Tag::unsigned(12);
const MORE: Tag = Tag::record(13);
const ID: Tag = Tag::fixed_16(14);
const ARGS: Tag = Tag::text(15);
const CREATED_AT: Tag = Tag::signed(40);
const LANE_NUMBER: Tag = Tag::unsigned(41);
const PRIORITY: Tag = Tag::signed(42);
const TIMEOUT_MS: Tag = Tag::unsigned(43);
const FINGERPRINT: Tag = Tag::fixed_8(44);
const MAX_ATTEMPTS_FIRST: Tag = Tag::unsigned(45);
const EXTRAS: Tag = Tag::record(46);
/// The tags of a rewritten job are replaced, by those that follow.
const OTHER_TAGS: Tag = Tag::flag(47);
const OTHER_TAG: Tag = Tag::text(48);

#[inline]
fn put_update(writer: &mut Writer<'_>, update: &Update, base: Base) {
    writer.reserve(128);
    writer.flag(UPDATE);
    writer.unsigned(SEQ, update.seq);
    vital::put(writer, &update.vital, base);
    if let Some(changed) = &update.more {
        writer.flag(MORE);
        more::put(writer, changed, base);
        writer.end();
    }
    writer.end();
}

fn take_update(reader: &mut Reader<'_>, base: Base) -> Result<Update, CodecError> {
    const RECORD: &str = "an update";
    let (mut seq, mut changed, mut draft) = (None, None, Draft::default());
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            SEQ => seq = Some(reader.unsigned()?),
            MORE => changed = Some(Box::new(more::take(reader, base)?)),
            tag if draft.accept(tag, reader)? => {}
            _ => return Err(reader.unknown()),
        }
    }
    let seq = seq.ok_or(CodecError::Missing { record: RECORD, field: "seq" })?;
    Ok(Update { seq, vital: draft.finish(base, RECORD)?, more: changed })
}

#[inline]
fn put_insert(writer: &mut Writer<'_>, fixed: &Fixed, vital: &Vital, base: Base) {
    writer.reserve(160 + fixed.args.len());
    writer.flag(INSERT);
    writer.unsigned(SEQ, fixed.seq);
    writer.fixed_16(ID, fixed.id.as_u128());
    writer.unsigned(LANE_NUMBER, fixed.lane);
    writer.fixed_8(FINGERPRINT, fixed.fingerprint);
    writer.apart(CREATED_AT, fixed.created_at.as_micros(), base.now.as_micros());
    writer.apart(PRIORITY, fixed.priority.into(), 0);
    if let Some(timeout_ms) = fixed.timeout_ms {
        writer.unsigned(TIMEOUT_MS, timeout_ms);
    }
    writer.unusual(MAX_ATTEMPTS_FIRST, fixed.max_attempts, MAX_ATTEMPTS_USUAL);
    vital::put(writer, vital, base);
    if let Some(filled) = &fixed.extras {
        writer.flag(EXTRAS);
        extras::put(writer, filled, base);
        writer.end();
    }
    writer.text(ARGS, fixed.args.as_str());
    writer.end();
}

fn take_insert(reader: &mut Reader<'_>, base: Base) -> Result<Change, CodecError> {
    const RECORD: &str = "an insert";
    let (mut seq, mut id, mut lane, mut fingerprint) = (None, None, None, None);
    let (mut created_at, mut priority, mut timeout_ms) = (0, 0, None);
    let (mut max_attempts, mut args, mut filled) = (MAX_ATTEMPTS_USUAL, None, None);
    let mut draft = Draft::default();
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            SEQ => seq = Some(reader.unsigned()?),
            ID => id = Some(JobId::from_u128(reader.fixed_16()?)),
            LANE_NUMBER => lane = Some(reader.unsigned()?),
            FINGERPRINT => fingerprint = Some(reader.fixed_8()?),
            CREATED_AT => created_at = reader.signed()?,
            PRIORITY => priority = take_priority(reader)?,
            TIMEOUT_MS => timeout_ms = Some(reader.unsigned()?),
            MAX_ATTEMPTS_FIRST => max_attempts = reader.unsigned()?,
            EXTRAS => filled = Some(Box::new(extras::take(reader, base)?)),
            ARGS => args = Some(Json::from_trusted(reader.text()?)),
            tag if draft.accept(tag, reader)? => {}
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: RECORD, field };
    let fixed = Fixed {
        seq: seq.ok_or(missing("seq"))?,
        id: id.ok_or(missing("id"))?,
        lane: lane.ok_or(missing("lane"))?,
        priority,
        timeout_ms,
        created_at: at_base(created_at, base),
        fingerprint: fingerprint.ok_or(missing("fingerprint"))?,
        max_attempts,
        args: args.ok_or(missing("args"))?,
        extras: filled,
    };
    Ok(Change::Insert(Arc::new(fixed), draft.finish(base, RECORD)?))
}

fn put_rewrite(writer: &mut Writer<'_>, rewrite: &Rewrite, base: Base) {
    writer.reserve(128 + rewrite.args.as_ref().map_or(0, Json::len));
    writer.flag(REWRITE);
    writer.unsigned(SEQ, rewrite.seq);
    writer.apart(PRIORITY, rewrite.priority.into(), 0);
    if let Some(timeout_ms) = rewrite.timeout_ms {
        writer.unsigned(TIMEOUT_MS, timeout_ms);
    }
    writer.unusual(MAX_ATTEMPTS_FIRST, rewrite.max_attempts, MAX_ATTEMPTS_USUAL);
    vital::put(writer, &rewrite.vital, base);
    if let Some(tags) = &rewrite.tags {
        writer.flag(OTHER_TAGS);
        for tag in tags {
            writer.text(OTHER_TAG, tag);
        }
    }
    writer.text_if_any(ARGS, rewrite.args.as_ref().map(Json::as_str));
    writer.end();
}

fn take_rewrite(reader: &mut Reader<'_>, base: Base) -> Result<Rewrite, CodecError> {
    const RECORD: &str = "a rewrite";
    let (mut seq, mut priority, mut timeout_ms) = (None, 0, None);
    let (mut max_attempts, mut args, mut tags) = (MAX_ATTEMPTS_USUAL, None, None);
    let mut draft = Draft::default();
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            SEQ => seq = Some(reader.unsigned()?),
            PRIORITY => priority = take_priority(reader)?,
            TIMEOUT_MS => timeout_ms = Some(reader.unsigned()?),
            MAX_ATTEMPTS_FIRST => max_attempts = reader.unsigned()?,
            OTHER_TAGS => tags = Some(Vec::new()),
            OTHER_TAG => {
                let text = reader.text()?;
                tags.as_mut().ok_or_else(|| reader.impossible())?.push(text);
            }
            ARGS => args = Some(Json::from_trusted(reader.text()?)),
            tag if draft.accept(tag, reader)? => {}
            _ => return Err(reader.unknown()),
        }
    }
    let seq = seq.ok_or(CodecError::Missing { record: RECORD, field: "seq" })?;
    let vital = draft.finish(base, RECORD)?;
    Ok(Rewrite { seq, priority, timeout_ms, max_attempts, tags, args, vital })
}

fn take_priority(reader: &mut Reader<'_>) -> Result<i8, CodecError> {
    let level = reader.signed()?;
    i8::try_from(level).map_err(|_| reader.impossible())
}

// In a lane, the settings of a queue and a worker.
const NUMBER: Tag = Tag::unsigned(1);
const NAMESPACE: Tag = Tag::text(2);
const QUEUE_NAME: Tag = Tag::text(3);
const TASK: Tag = Tag::text(4);
const PAUSED: Tag = Tag::flag(5);
const WORKER_ID: Tag = Tag::fixed_16(6);
const FIRST_SEEN_AT: Tag = Tag::signed(7);
const IN_PROCESS: Tag = Tag::flag(8);
const REQUIRES: Tag = Tag::text(9);

fn put_lane(writer: &mut Writer<'_>, lane: &Lane) {
    writer.flag(LANE);
    writer.unsigned(NUMBER, lane.number);
    writer.text(NAMESPACE, &lane.namespace);
    writer.text(QUEUE_NAME, &lane.queue);
    writer.text(TASK, &lane.task);
    writer.text_if_any(REQUIRES, Some(&*lane.requires).filter(|requires| !requires.is_empty()));
    writer.end();
}

fn take_lane(reader: &mut Reader<'_>) -> Result<Lane, CodecError> {
    const RECORD: &str = "a lane";
    let (mut number, mut namespace, mut queue, mut task) = (None, None, None, None);
    let mut requires = None;
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            NUMBER => number = Some(reader.unsigned()?),
            NAMESPACE => namespace = Some(reader.text()?),
            QUEUE_NAME => queue = Some(reader.text()?),
            TASK => task = Some(reader.text()?),
            REQUIRES => requires = Some(reader.text()?),
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: RECORD, field };
    Ok(Lane {
        number: number.ok_or(missing("number"))?,
        namespace: namespace.ok_or(missing("namespace"))?,
        queue: queue.ok_or(missing("queue"))?,
        task: task.ok_or(missing("task"))?,
        requires: requires.unwrap_or_default(),
    })
}

fn put_queue(writer: &mut Writer<'_>, settings: &QueueSettings) {
    writer.flag(QUEUE);
    writer.text(NAMESPACE, &settings.namespace);
    writer.text(QUEUE_NAME, &settings.queue);
    if settings.paused {
        writer.flag(PAUSED);
    }
    writer.end();
}

fn take_queue(reader: &mut Reader<'_>) -> Result<QueueSettings, CodecError> {
    const RECORD: &str = "the settings of a queue";
    let (mut namespace, mut queue, mut paused) = (None, None, false);
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            NAMESPACE => namespace = Some(reader.text()?),
            QUEUE_NAME => queue = Some(reader.text()?),
            PAUSED => paused = true,
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: RECORD, field };
    Ok(QueueSettings {
        namespace: namespace.ok_or(missing("namespace"))?,
        queue: queue.ok_or(missing("queue"))?,
        paused,
    })
}

fn put_worker(writer: &mut Writer<'_>, worker: &WorkerFact, base: Base) {
    writer.flag(WORKER);
    writer.unsigned(NUMBER, worker.number);
    writer.fixed_16(WORKER_ID, worker.id.as_u128());
    writer.text(NAMESPACE, &worker.namespace);
    writer.signed(FIRST_SEEN_AT, from_base(worker.first_seen_at, base));
    if worker.in_process {
        writer.flag(IN_PROCESS);
    }
    writer.end();
}

fn take_worker(reader: &mut Reader<'_>, base: Base) -> Result<WorkerFact, CodecError> {
    const RECORD: &str = "a worker";
    let (mut number, mut id, mut namespace) = (None, None, None);
    let (mut first_seen_at, mut in_process) = (None, false);
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            NUMBER => number = Some(reader.unsigned()?),
            WORKER_ID => id = Some(WorkerId::from_u128(reader.fixed_16()?)),
            NAMESPACE => namespace = Some(reader.text()?),
            FIRST_SEEN_AT => first_seen_at = Some(at_base(reader.signed()?, base)),
            IN_PROCESS => in_process = true,
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: RECORD, field };
    Ok(WorkerFact {
        number: number.ok_or(missing("number"))?,
        id: id.ok_or(missing("id"))?,
        namespace: namespace.ok_or(missing("namespace"))?,
        first_seen_at: first_seen_at.ok_or(missing("first_seen_at"))?,
        in_process,
    })
}

const AUDIT_AT: Tag = Tag::signed(1);
const ACTOR: Tag = Tag::text(2);
const ACTION: Tag = Tag::text(3);

fn put_audit(writer: &mut Writer<'_>, audit: &Audit, base: Base) {
    writer.flag(AUDIT);
    writer.signed(AUDIT_AT, from_base(audit.at, base));
    writer.text(ACTOR, &audit.actor);
    writer.text(ACTION, &audit.action);
    writer.end();
}

fn take_audit(reader: &mut Reader<'_>, base: Base) -> Result<Audit, CodecError> {
    const RECORD: &str = "an audit entry";
    let (mut at, mut actor, mut action) = (None, None, None);
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            AUDIT_AT => at = Some(at_base(reader.signed()?, base)),
            ACTOR => actor = Some(reader.text()?),
            ACTION => action = Some(reader.text()?),
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: RECORD, field };
    Ok(Audit {
        at: at.ok_or(missing("time"))?,
        actor: actor.ok_or(missing("actor"))?,
        action: action.ok_or(missing("action"))?,
    })
}
