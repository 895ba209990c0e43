//! What is kept as JSON in a column: the extras of a job, and notes on its attempts.
//!
//! Every field has a name, and a name that is not known is refused: a newer version may have
//! written it, and to skip it would be to forget it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use taskwright_core::{
    AttemptRecord, Extras, JobError, JobId, Labels, Name, OnConflict, Replace, RetryPolicy, Shard,
    Timestamp, Unique, Until, Verdict, WorkerId,
};
use taskwright_store::{Error, ErrorKind, Profile, Result};

use crate::requirements::requirement;
use crate::row::name;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExtrasText {
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<RetryText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limit_keys: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<Arc<str>>,
    /// Without either: until the job has ended.
    #[serde(skip_serializing_if = "is_false")]
    unique_until_claimed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_for_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    cost: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Arc<str>>,
    /// Index and total.
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum RetryText {
    Exponential { base_ms: u64, max_ms: u64 },
    Fixed { delay_ms: u64 },
    List { delays_ms: Vec<u64> },
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The extras of a job as text; `None` where all are empty.
pub(crate) fn extras_text(extras: &Extras) -> Option<String> {
    if extras.is_empty() {
        return None;
    }
    let retry = extras.retry.as_ref().map(|policy| match policy {
        RetryPolicy::Exponential { base_ms, max_ms } => {
            RetryText::Exponential { base_ms: *base_ms, max_ms: *max_ms }
        }
        RetryPolicy::Fixed { delay_ms } => RetryText::Fixed { delay_ms: *delay_ms },
        RetryPolicy::List { delays_ms } => RetryText::List { delays_ms: delays_ms.clone() },
    });
    let until = extras.unique.as_ref().map(|unique| unique.until);
    let text = ExtrasText {
        retry,
        expires_at: extras.expires_at.map(Timestamp::as_micros),
        tags: extras.tags.clone(),
        group: extras.group.clone(),
        limit_keys: extras.limit_keys.clone(),
        unique_key: extras.unique.as_ref().map(|unique| Arc::clone(&unique.key)),
        unique_until_claimed: until == Some(Until::Claimed),
        unique_for_ms: match until {
            Some(Until::Elapsed { ms }) => Some(ms),
            _ => None,
        },
        requires: (!extras.requires.is_none()).then(|| extras.requires.to_string()),
        cost: extras.cost,
        parents: extras.parents.iter().map(ToString::to_string).collect(),
        alias: extras.alias.clone(),
        trace: extras.trace.clone(),
        shard: extras.shard.map(|shard| (shard.index, shard.total)),
    };
    Some(written(&text))
}

/// The extras in a text.
pub(crate) fn extras_from(text: Option<&str>) -> Result<Extras> {
    let Some(text) = text else { return Ok(Extras::default()) };
    let text: ExtrasText = read(text, "extras")?;
    let retry = text.retry.map(|policy| match policy {
        RetryText::Exponential { base_ms, max_ms } => RetryPolicy::Exponential { base_ms, max_ms },
        RetryText::Fixed { delay_ms } => RetryPolicy::Fixed { delay_ms },
        RetryText::List { delays_ms } => RetryPolicy::List { delays_ms },
    });
    let until = match (text.unique_until_claimed, text.unique_for_ms) {
        (true, _) => Until::Claimed,
        (false, Some(ms)) => Until::Elapsed { ms },
        (false, None) => Until::Finished,
    };
    let parents: Result<Vec<JobId>> = text.parents.iter().map(|id| parsed(id, "extras")).collect();
    Ok(Extras {
        retry,
        expires_at: text.expires_at.map(Timestamp::from_micros),
        tags: text.tags,
        group: text.group,
        limit_keys: text.limit_keys,
        unique: text.unique_key.map(|key| Unique { key, until }),
        requires: text.requires.as_deref().map(requirement).transpose()?.unwrap_or_default(),
        cost: text.cost,
        parents: parents?,
        alias: text.alias,
        trace: text.trace,
        shard: text.shard.map(|(index, total)| Shard { index, total }),
    })
}

/// What a worker serves; without `tasks`, all of them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileText {
    queues: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
}

/// What a worker serves, as text.
pub(crate) fn profile_text(profile: &Profile) -> String {
    let texts = |names: &[Name]| names.iter().map(|name| name.as_str().to_owned()).collect();
    written(&ProfileText {
        queues: texts(&profile.queues),
        tasks: profile.tasks.as_deref().map(texts),
        labels: profile.labels.texts(),
    })
}

/// What a worker serves, in a text.
pub(crate) fn profile_from(text: Option<&str>) -> Result<Option<Profile>> {
    let Some(text) = text else { return Ok(None) };
    let text: ProfileText = read(text, "profile")?;
    let named = |names: &[String]| names.iter().map(|text| name(text)).collect::<Result<Vec<_>>>();
    let labels = text.labels.iter().map(String::as_str);
    Ok(Some(Profile {
        queues: named(&text.queues)?,
        tasks: text.tasks.as_deref().map(named).transpose()?,
        labels: Labels::parse(labels).map_err(|error| unknown("label", error))?,
    }))
}

/// What an insert at intake does on a conflict, as `conflict_text` of the database writes it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConflictText {
    refuse: bool,
    replace: Vec<FieldText>,
    scheduled_only: bool,
    at_most_ms: Option<u64>,
}

#[derive(Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FieldText {
    Args,
    Priority,
    RunAt,
    MaxAttempts,
    TimeoutMs,
    Tags,
}

/// What a job at intake does where its unique key is held.
pub(crate) fn conflict_from(text: Option<&str>) -> Result<OnConflict> {
    let Some(text) = text else { return Ok(OnConflict::Keep) };
    let ConflictText { refuse, replace, scheduled_only, at_most_ms } = read(text, "on_conflict")?;
    if refuse {
        return Ok(OnConflict::Refuse);
    }
    let names = |field| replace.contains(&field);
    Ok(OnConflict::Replace(Replace {
        args: names(FieldText::Args),
        priority: names(FieldText::Priority),
        run_at: names(FieldText::RunAt),
        max_attempts: names(FieldText::MaxAttempts),
        timeout: names(FieldText::TimeoutMs),
        tags: names(FieldText::Tags),
        scheduled_only,
        at_most_ms,
    }))
}

/// The names of the fields that are replaced, as `taskwright.enqueue` takes them.
pub(crate) fn replaced_names(replace: &Replace) -> Vec<&'static str> {
    let named = [
        (replace.args, "args"),
        (replace.priority, "priority"),
        (replace.run_at, "run_at"),
        (replace.max_attempts, "max_attempts"),
        (replace.timeout, "timeout_ms"),
        (replace.tags, "tags"),
    ];
    named.into_iter().filter(|(is_replaced, _)| *is_replaced).map(|(_, name)| name).collect()
}

/// What went wrong in the attempts of a job, and why it was asked to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub cancel_reason: Option<Arc<str>>,
    pub error: Option<JobError>,
    pub attempts: Vec<AttemptRecord>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NotesText {
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorText {
    kind: Arc<str>,
    message: Arc<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptText {
    attempt: u32,
    worker: String,
    started_at: i64,
    ended_at: i64,
    verdict: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorText>,
}

/// Notes as text; `None` where there are none.
pub(crate) fn notes_text(notes: &Notes) -> Option<String> {
    if *notes == Notes::default() {
        return None;
    }
    let attempts = notes.attempts.iter().map(|attempt| AttemptText {
        attempt: attempt.attempt,
        worker: attempt.worker.to_string(),
        started_at: attempt.started_at.as_micros(),
        ended_at: attempt.ended_at.as_micros(),
        verdict: attempt.verdict.as_str().to_owned(),
        error: attempt.error.as_ref().map(error_text),
    });
    let text = NotesText {
        cancel_reason: notes.cancel_reason.clone(),
        error: notes.error.as_ref().map(error_text),
        attempts: attempts.collect(),
    };
    Some(written(&text))
}

fn error_text(error: &JobError) -> ErrorText {
    ErrorText { kind: error.kind.clone(), message: error.message.clone() }
}

/// The notes in a text.
pub(crate) fn notes_from(text: Option<&str>) -> Result<Notes> {
    let Some(text) = text else { return Ok(Notes::default()) };
    let text: NotesText = read(text, "notes")?;
    let error = |error: ErrorText| JobError { kind: error.kind, message: error.message };
    let attempts = text.attempts.into_iter().map(|attempt| {
        Ok(AttemptRecord {
            attempt: attempt.attempt,
            worker: parsed::<WorkerId>(&attempt.worker, "notes")?,
            started_at: Timestamp::from_micros(attempt.started_at),
            ended_at: Timestamp::from_micros(attempt.ended_at),
            verdict: verdict_named(&attempt.verdict)?,
            error: attempt.error.map(error),
        })
    });
    Ok(Notes {
        cancel_reason: text.cancel_reason,
        error: text.error.map(error),
        attempts: attempts.collect::<Result<_>>()?,
    })
}

/// The verdicts with their numbers in the database.
pub(crate) const VERDICTS: [(Verdict, i16); 6] = [
    (Verdict::Completed, 0),
    (Verdict::Failed, 1),
    (Verdict::Snoozed, 2),
    (Verdict::Released, 3),
    (Verdict::Lapsed, 4),
    (Verdict::TimedOut, 5),
];

fn verdict_named(word: &str) -> Result<Verdict> {
    let named = VERDICTS.into_iter().find(|(verdict, _)| verdict.as_str() == word);
    named.map(|(verdict, _)| verdict).ok_or_else(|| unknown("verdict", word))
}

/// The error for something in the database that this version has no name for.
pub(crate) fn unknown(what: &str, value: impl std::fmt::Display) -> Error {
    let message = format!(
        "the database holds the {what} {value}, which this version does not know; use a newer one"
    );
    Error::new(ErrorKind::TooNew, message)
}

fn written(text: &impl Serialize) -> String {
    // Structs of texts and numbers always have a JSON form.
    serde_json::to_string(text).unwrap_or_default()
}

fn read<'t, T: Deserialize<'t>>(text: &'t str, column: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!(
            "the column {column} of a job cannot be read ({error}); use the version that wrote it, or a newer one"
        );
        Error::new(ErrorKind::TooNew, message)
    })
}

fn parsed<T: std::str::FromStr>(text: &str, column: &str) -> Result<T> {
    text.parse().map_err(|_| {
        let message = format!("the column {column} of a job holds {text:?}, which is not an id");
        Error::new(ErrorKind::Corrupt, message)
    })
}

#[cfg(test)]
#[path = "tests/codec.rs"]
mod tests;
