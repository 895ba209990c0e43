//! Schedules and calendars as the bodies of documents.
//!
//! The fields are those of format 1. A body of a newer format is refused by its number, and one with
//! a field that this version does not know by the name of the field.

mod job;
mod spec;
mod standing;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use taskwright_core::{Json, Name};

use self::spec::SpecBody;
use self::standing::StandingBody;
use super::spec::{ScheduleSpec, Standing};
use crate::error::{Error, ErrorCode, Result};

const FORMAT: u32 = 1;

/// A schedule and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub spec: ScheduleSpec,
    pub standing: Standing,
}

impl Saved {
    /// The body of its document.
    pub fn write(&self) -> Result<Json> {
        let body = Body {
            format: FORMAT,
            spec: SpecBody::of(&self.spec)?,
            standing: StandingBody::of(&self.standing),
        };
        written(&body)
    }

    /// Reads the body of a document of this namespace.
    pub fn read(namespace: &Name, body: &Json) -> Result<Saved> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = read(body)?;
        if head.format > FORMAT {
            let message = format!(
                "a schedule is of format {}, and this version reads up to {FORMAT}; upgrade it",
                head.format
            );
            return Err(Error::new(ErrorCode::TooNew, message));
        }
        let Body { spec, standing, .. } = read(body)?;
        Ok(Saved { spec: spec.spec(namespace)?, standing: standing.standing()? })
    }

    /// The part that people write, to tell whether two are the same.
    pub fn spec_text(spec: &ScheduleSpec) -> Result<Json> {
        written(&SpecBody::of(spec)?)
    }
}

/// The body of a calendar's document.
pub(super) fn write_calendar(text: &str) -> Result<Json> {
    written(&CalendarBody { format: FORMAT, text: text.to_owned() })
}

/// The text of a calendar.
pub(super) fn read_calendar(body: &Json) -> Result<String> {
    Ok(read::<CalendarBody>(body)?.text)
}

fn written(body: &impl Serialize) -> Result<Json> {
    let text = serde_json::to_string(body).map_err(|error| {
        Error::new(ErrorCode::Invalid, format!("a schedule cannot be written down: {error}"))
    })?;
    Ok(Json::from_trusted(text))
}

fn read<'a, T: Deserialize<'a>>(body: &'a Json) -> Result<T> {
    serde_json::from_str(body.as_str()).map_err(corrupt)
}

fn corrupt(cause: impl std::fmt::Display) -> Error {
    let message = format!("a schedule of the store makes no sense: {cause}; remove it by name");
    Error::new(ErrorCode::Corrupt, message)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarBody {
    format: u32,
    text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    format: u32,
    spec: SpecBody,
    standing: StandingBody,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn name(text: &str) -> Result<Name> {
    Name::new(text).map_err(corrupt)
}

#[cfg(test)]
#[path = "../tests/saved.rs"]
mod tests;
