//! What of a job changes seldom.

use taskwright_core::{AttemptRecord, JobError, Json, WorkerId};

use super::vital::{at_base, from_base, verdict_from, verdict_number};
use super::wire::{Reader, Tag, Writer};
use super::{Base, CodecError};
use crate::change::More;

const RECORD: &str = "the seldom fields of a job";

const ATTEMPT: Tag = Tag::record(1);
const ERROR: Tag = Tag::record(2);
const RESULT: Tag = Tag::text(3);
const CANCEL_REASON: Tag = Tag::text(4);
const PROGRESS: Tag = Tag::text(5);
const CHECKPOINT: Tag = Tag::text(6);

/// Appends the fields, without the end of the record.
pub fn put(writer: &mut Writer<'_>, more: &More, base: Base) {
    if let Some(attempt) = &more.attempt {
        writer.flag(ATTEMPT);
        put_attempt(writer, attempt, base);
        writer.end();
    }
    if let Some(error) = &more.error {
        writer.flag(ERROR);
        put_error(writer, error);
        writer.end();
    }
    writer.text_if_any(RESULT, more.result.as_ref().map(Json::as_str));
    writer.text_if_any(CANCEL_REASON, more.cancel_reason.as_deref());
    writer.text_if_any(PROGRESS, more.progress.as_ref().map(Json::as_str));
    writer.text_if_any(CHECKPOINT, more.checkpoint.as_ref().map(Json::as_str));
}

/// Takes a whole record.
pub fn take(reader: &mut Reader<'_>, base: Base) -> Result<More, CodecError> {
    let mut more = More::default();
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            ATTEMPT => more.attempt = Some(take_attempt(reader, base)?),
            ERROR => more.error = Some(take_error(reader)?),
            RESULT => more.result = Some(Json::from_trusted(reader.text()?)),
            CANCEL_REASON => more.cancel_reason = Some(reader.text()?),
            PROGRESS => more.progress = Some(Json::from_trusted(reader.text()?)),
            CHECKPOINT => more.checkpoint = Some(Json::from_trusted(reader.text()?)),
            _ => return Err(reader.unknown()),
        }
    }
    Ok(more)
}

const ATTEMPT_RECORD: &str = "an attempt";

const NUMBER: Tag = Tag::unsigned(1);
const WORKER: Tag = Tag::fixed_16(2);
const STARTED_AT: Tag = Tag::signed(3);
const ENDED_AT: Tag = Tag::signed(4);
const VERDICT: Tag = Tag::unsigned(5);
const ATTEMPT_ERROR: Tag = Tag::record(6);

/// Appends the fields, without the end of the record.
pub fn put_attempt(writer: &mut Writer<'_>, attempt: &AttemptRecord, base: Base) {
    writer.unsigned(NUMBER, attempt.attempt);
    writer.fixed_16(WORKER, attempt.worker.as_u128());
    writer.signed(STARTED_AT, from_base(attempt.started_at, base));
    writer.signed(ENDED_AT, from_base(attempt.ended_at, base));
    writer.unsigned(VERDICT, verdict_number(attempt.verdict));
    if let Some(error) = &attempt.error {
        writer.flag(ATTEMPT_ERROR);
        put_error(writer, error);
        writer.end();
    }
}

/// Takes a whole record.
pub fn take_attempt(reader: &mut Reader<'_>, base: Base) -> Result<AttemptRecord, CodecError> {
    let (mut number, mut worker, mut started_at, mut ended_at) = (None, None, None, None);
    let (mut verdict, mut error) = (None, None);
    while let Some(tag) = reader.tag(ATTEMPT_RECORD)? {
        match tag {
            NUMBER => number = Some(reader.unsigned()?),
            WORKER => worker = Some(WorkerId::from_u128(reader.fixed_16()?)),
            STARTED_AT => started_at = Some(at_base(reader.signed()?, base)),
            ENDED_AT => ended_at = Some(at_base(reader.signed()?, base)),
            VERDICT => {
                let number = reader.unsigned()?;
                verdict = Some(verdict_from(number).ok_or_else(|| reader.impossible())?);
            }
            ATTEMPT_ERROR => error = Some(take_error(reader)?),
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: ATTEMPT_RECORD, field };
    Ok(AttemptRecord {
        attempt: number.ok_or(missing("number"))?,
        worker: worker.ok_or(missing("worker"))?,
        started_at: started_at.ok_or(missing("start"))?,
        ended_at: ended_at.ok_or(missing("end"))?,
        verdict: verdict.ok_or(missing("verdict"))?,
        error,
    })
}

const ERROR_RECORD: &str = "an error";

const KIND: Tag = Tag::text(1);
const MESSAGE: Tag = Tag::text(2);

/// Appends the fields, without the end of the record.
pub fn put_error(writer: &mut Writer<'_>, error: &JobError) {
    writer.text(KIND, &error.kind);
    writer.text(MESSAGE, &error.message);
}

/// Takes a whole record.
pub fn take_error(reader: &mut Reader<'_>) -> Result<JobError, CodecError> {
    let (mut kind, mut message) = (None, None);
    while let Some(tag) = reader.tag(ERROR_RECORD)? {
        match tag {
            KIND => kind = Some(reader.text()?),
            MESSAGE => message = Some(reader.text()?),
            _ => return Err(reader.unknown()),
        }
    }
    let missing = |field| CodecError::Missing { record: ERROR_RECORD, field };
    Ok(JobError { kind: kind.ok_or(missing("kind"))?, message: message.ok_or(missing("message"))? })
}
