//! Changes as bytes: tagged fields, so that a reader knows what it does not know.
//!
//! A record is a sequence of fields, each a tag (number × 8 + kind, as a LEB128 varint) and a
//! value of that kind, ended by a zero byte. Fields with their usual value are left out. Instants
//! and epochs are written as differences to those of the group ([`Base`]).
//!
//! A tag that this version does not know is an error that names it, never skipped: what it says
//! could matter. The numbers of fields are listed beside the record they belong to; a number is
//! never given a second meaning.

mod change;
mod documents;
mod extras;
mod limits;
mod more;
mod vital;
mod wire;

use taskwright_core::{AttemptRecord, Extras, JobError, Life, Timestamp};

use crate::change::{Change, More, Vital};
use wire::{Reader, Writer};

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What instants and epochs are written relative to: the time and the epoch of the group.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The time of the group.
    pub now: Timestamp,
    /// The epoch of the group.
    pub epoch: u32,
}

impl Base {
    /// For records that stand alone, outside a group.
    pub const ALONE: Base = Base { now: Timestamp::ZERO, epoch: 0 };
}

/// Bytes that are not a record of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A field or kind that this version does not know.
    #[error(
        "field {number} (kind {kind}) of {record} is unknown to this version (format {FORMAT}); it was written by a newer Taskwright: upgrade this one"
    )]
    Unknown {
        /// The number of the field.
        number: u64,
        /// The kind of its value.
        kind: u8,
        /// The record that it was found in.
        record: &'static str,
    },
    /// The bytes end inside a record.
    #[error("{0} ends in the middle of a field")]
    Truncated(&'static str),
    /// A value that the field cannot have.
    #[error("field {number} of {record} has a value that it cannot have")]
    Impossible {
        /// The number of the field.
        number: u64,
        /// The record that it was found in.
        record: &'static str,
    },
    /// A field that the record cannot be without.
    #[error("{record} has no {field}")]
    Missing {
        /// The record.
        record: &'static str,
        /// The field.
        field: &'static str,
    },
}

impl CodecError {
    /// Whether a newer version may be able to read it.
    pub fn is_newer(&self) -> bool {
        matches!(self, CodecError::Unknown { .. })
    }
}

/// Appends a change to `out`.
pub fn encode_change(change: &Change, base: Base, out: &mut Vec<u8>) {
    change::put(&mut Writer::new(out), change, base);
}

/// Takes one change off the front of `bytes`.
pub fn decode_change(bytes: &mut &[u8], base: Base) -> Result<Change, CodecError> {
    let mut reader = Reader::new(bytes);
    let change = change::take(&mut reader, base)?;
    *bytes = reader.rest();
    Ok(change)
}

macro_rules! alone {
    ($(#[$doc:meta])* $type:ty: $encode:ident, $decode:ident, $record:literal, $put:expr, $take:expr) => {
        $(#[$doc])*
        pub fn $encode(value: &$type, out: &mut Vec<u8>) {
            let mut writer = Writer::new(out);
            let put: fn(&mut Writer<'_>, &$type) = $put;
            put(&mut writer, value);
            writer.end();
        }

        /// Reads what the encoder of the same name wrote; all of `bytes` must belong to it.
        pub fn $decode(bytes: &[u8]) -> Result<$type, CodecError> {
            let mut reader = Reader::new(bytes);
            let take: fn(&mut Reader<'_>) -> Result<$type, CodecError> = $take;
            let value = take(&mut reader)?;
            if !reader.rest().is_empty() {
                return Err(CodecError::Impossible { number: 0, record: $record });
            }
            Ok(value)
        }
    };
}

alone! {
    /// Appends what changes with every step of a job, as a record of its own.
    Vital: encode_vital, decode_vital, "the vital fields of a job",
    |writer, value| vital::put(writer, value, Base::ALONE), |reader| vital::take(reader, Base::ALONE)
}

alone! {
    /// Appends the state and counts of a job, as a record of their own.
    Life: encode_life, decode_life, "the life of a job",
    vital::put_life_alone, vital::take_life_alone
}

alone! {
    /// Appends what most jobs leave empty, as a record of its own.
    Extras: encode_extras, decode_extras, "the extras of a job",
    |writer, value| extras::put(writer, value, Base::ALONE), |reader| extras::take(reader, Base::ALONE)
}

alone! {
    /// Appends what changes seldom, as a record of its own.
    More: encode_more, decode_more, "the seldom fields of a job",
    |writer, value| more::put(writer, value, Base::ALONE), |reader| more::take(reader, Base::ALONE)
}

alone! {
    /// Appends an ended attempt, as a record of its own.
    AttemptRecord: encode_attempt, decode_attempt, "an attempt",
    |writer, value| more::put_attempt(writer, value, Base::ALONE),
    |reader| more::take_attempt(reader, Base::ALONE)
}

alone! {
    /// Appends an error, as a record of its own.
    JobError: encode_error, decode_error, "an error",
    more::put_error, more::take_error
}

#[cfg(test)]
#[path = "tests/codec.rs"]
mod tests;
