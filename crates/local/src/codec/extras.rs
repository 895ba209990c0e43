//! What most jobs leave empty.

use taskwright_core::{Extras, JobId, RetryPolicy, Shard, Unique, Until};

use super::vital::{at_base, from_base};
use super::wire::{Reader, Tag, Writer};
use super::{Base, CodecError};

const RECORD: &str = "the extras of a job";

const RETRY: Tag = Tag::record(1);
const EXPIRES_AT: Tag = Tag::signed(2);
const TAG: Tag = Tag::text(3);
const GROUP: Tag = Tag::text(4);
const LIMIT_KEY: Tag = Tag::text(5);
const UNIQUE_KEY: Tag = Tag::text(6);
const COST: Tag = Tag::unsigned(8);
const PARENT: Tag = Tag::fixed_16(9);
const ALIAS: Tag = Tag::text(10);
const TRACE: Tag = Tag::text(11);
/// Absent: until it has ended.
const UNIQUE_UNTIL_CLAIMED: Tag = Tag::flag(12);
const UNIQUE_FOR_MS: Tag = Tag::unsigned(13);
const SHARD_INDEX: Tag = Tag::unsigned(14);
/// Follows the index.
const SHARD_TOTAL: Tag = Tag::unsigned(15);

/// Appends the fields, without the end of the record. What the job requires, its lane says.
pub fn put(writer: &mut Writer<'_>, extras: &Extras, base: Base) {
    if let Some(retry) = &extras.retry {
        writer.flag(RETRY);
        put_retry(writer, retry);
        writer.end();
    }
    if let Some(expires_at) = extras.expires_at {
        writer.signed(EXPIRES_AT, from_base(expires_at, base));
    }
    for tag in &extras.tags {
        writer.text(TAG, tag);
    }
    writer.text_if_any(GROUP, extras.group.as_deref());
    for key in &extras.limit_keys {
        writer.text(LIMIT_KEY, key);
    }
    if let Some(unique) = &extras.unique {
        writer.text(UNIQUE_KEY, &unique.key);
        match unique.until {
            Until::Finished => {}
            Until::Claimed => writer.flag(UNIQUE_UNTIL_CLAIMED),
            Until::Elapsed { ms } => writer.unsigned(UNIQUE_FOR_MS, ms),
        }
    }
    writer.unusual(COST, extras.cost, 0);
    for parent in &extras.parents {
        writer.fixed_16(PARENT, parent.as_u128());
    }
    writer.text_if_any(ALIAS, extras.alias.as_deref());
    writer.text_if_any(TRACE, extras.trace.as_deref());
    if let Some(Shard { index, total }) = extras.shard {
        writer.unsigned(SHARD_INDEX, index);
        writer.unsigned(SHARD_TOTAL, total);
    }
}

/// Takes a whole record.
pub fn take(reader: &mut Reader<'_>, base: Base) -> Result<Extras, CodecError> {
    let mut extras = Extras::default();
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            RETRY => extras.retry = Some(take_retry(reader)?),
            EXPIRES_AT => extras.expires_at = Some(at_base(reader.signed()?, base)),
            TAG => extras.tags.push(reader.text()?),
            GROUP => extras.group = Some(reader.text()?),
            LIMIT_KEY => extras.limit_keys.push(reader.text()?),
            UNIQUE_KEY => {
                extras.unique = Some(Unique { key: reader.text()?, until: Until::Finished });
            }
            UNIQUE_UNTIL_CLAIMED => until(reader, &mut extras, Until::Claimed)?,
            UNIQUE_FOR_MS => {
                let ms = reader.unsigned()?;
                until(reader, &mut extras, Until::Elapsed { ms })?;
            }
            COST => extras.cost = reader.unsigned()?,
            PARENT => extras.parents.push(JobId::from_u128(reader.fixed_16()?)),
            ALIAS => extras.alias = Some(reader.text()?),
            TRACE => extras.trace = Some(reader.text()?),
            SHARD_INDEX => extras.shard = Some(Shard { index: reader.unsigned()?, total: 1 }),
            SHARD_TOTAL => {
                let total = reader.unsigned()?;
                extras.shard.as_mut().ok_or_else(|| reader.impossible())?.total = total;
            }
            _ => return Err(reader.unknown()),
        }
    }
    Ok(extras)
}

/// The unique key that was just read is held so long.
fn until(reader: &Reader<'_>, extras: &mut Extras, until: Until) -> Result<(), CodecError> {
    extras.unique.as_mut().ok_or_else(|| reader.impossible())?.until = until;
    Ok(())
}

const RETRY_RECORD: &str = "a retry policy";

const EXPONENTIAL_BASE_MS: Tag = Tag::unsigned(1);
const EXPONENTIAL_MAX_MS: Tag = Tag::unsigned(2);
const FIXED_MS: Tag = Tag::unsigned(3);
const LIST: Tag = Tag::flag(4);
const LIST_MS: Tag = Tag::unsigned(5);

fn put_retry(writer: &mut Writer<'_>, retry: &RetryPolicy) {
    match retry {
        RetryPolicy::Exponential { base_ms, max_ms } => {
            writer.unsigned(EXPONENTIAL_BASE_MS, *base_ms);
            writer.unsigned(EXPONENTIAL_MAX_MS, *max_ms);
        }
        RetryPolicy::Fixed { delay_ms } => writer.unsigned(FIXED_MS, *delay_ms),
        RetryPolicy::List { delays_ms } => {
            writer.flag(LIST);
            for delay_ms in delays_ms {
                writer.unsigned(LIST_MS, *delay_ms);
            }
        }
    }
}

fn take_retry(reader: &mut Reader<'_>) -> Result<RetryPolicy, CodecError> {
    let mut exponential = (None, None);
    let mut fixed = None;
    let mut list = None;
    while let Some(tag) = reader.tag(RETRY_RECORD)? {
        match tag {
            EXPONENTIAL_BASE_MS => exponential.0 = Some(reader.unsigned()?),
            EXPONENTIAL_MAX_MS => exponential.1 = Some(reader.unsigned()?),
            FIXED_MS => fixed = Some(reader.unsigned()?),
            LIST => list = Some(Vec::new()),
            LIST_MS => {
                let delay_ms = reader.unsigned()?;
                list.as_mut().ok_or_else(|| reader.impossible())?.push(delay_ms);
            }
            _ => return Err(reader.unknown()),
        }
    }
    match (exponential, fixed, list) {
        ((Some(base_ms), Some(max_ms)), None, None) => {
            Ok(RetryPolicy::Exponential { base_ms, max_ms })
        }
        ((None, None), Some(delay_ms), None) => Ok(RetryPolicy::Fixed { delay_ms }),
        ((None, None), None, Some(delays_ms)) => Ok(RetryPolicy::List { delays_ms }),
        _ => Err(CodecError::Missing { record: RETRY_RECORD, field: "one kind" }),
    }
}
