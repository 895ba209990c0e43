//! Unique keys on the wire: `unique_key`, until when it is held, and what a conflict does.

use std::sync::Arc;

use serde::Deserialize;
use taskwright_core::{OnConflict, Replace, Unique, Until};

use crate::write;

/// `unique_until`; where it is absent beside a key, [`ConflictField::until`] says.
#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UntilField {
    Claimed,
    Finished,
}

/// `on_conflict`; absent: `keep`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictField {
    #[default]
    Keep,
    Refuse,
    Debounce,
    Throttle,
    Replace,
}

impl ConflictField {
    /// Until when a key is held where the request does not say. What debounces or throttles lets go
    /// when it starts: else a job that runs already, perhaps with args that are old, would swallow
    /// the new ones.
    pub fn until(self) -> UntilField {
        match self {
            ConflictField::Debounce | ConflictField::Throttle => UntilField::Claimed,
            _ => UntilField::Finished,
        }
    }
}

/// One of `replace`.
#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplaceField {
    Args,
    Priority,
    RunAt,
    MaxAttempts,
    TimeoutMs,
    Tags,
}

/// What a conflict does, as a request says it.
#[derive(Debug, Default)]
pub struct ConflictFields {
    pub on_conflict: ConflictField,
    pub replace: Vec<ReplaceField>,
    pub scheduled_only: bool,
    pub at_most_ms: Option<u64>,
}

impl ConflictFields {
    /// What the fields mean together, or the one that does not go with the others, and why.
    pub fn on_conflict(&self) -> Result<OnConflict, (&'static str, &'static str)> {
        use ConflictField as C;
        let replaces = matches!(self.on_conflict, C::Debounce | C::Throttle | C::Replace);
        if self.on_conflict != C::Replace && !self.replace.is_empty() {
            return Err(("replace", "it goes with \"on_conflict\": \"replace\" only"));
        }
        if self.on_conflict == C::Replace && self.replace.is_empty() {
            return Err(("replace", "name the fields to replace"));
        }
        if self.scheduled_only && !replaces {
            return Err(("replace_scheduled_only", "nothing is replaced"));
        }
        let replace = match self.on_conflict {
            C::Keep => return self.without_at_most(OnConflict::Keep),
            C::Refuse => return self.without_at_most(OnConflict::Refuse),
            C::Debounce => Replace::debounce(None),
            C::Throttle => Replace::throttle(),
            C::Replace => replace_of(&self.replace),
        };
        if self.at_most_ms.is_some() && !replace.run_at {
            return Err(("replace_at_most_ms", "run_at is not replaced"));
        }
        let (scheduled_only, at_most_ms) = (self.scheduled_only, self.at_most_ms);
        Ok(OnConflict::Replace(Replace { scheduled_only, at_most_ms, ..replace }))
    }

    fn without_at_most(
        &self,
        wanted: OnConflict,
    ) -> Result<OnConflict, (&'static str, &'static str)> {
        match self.at_most_ms {
            None => Ok(wanted),
            Some(_) => Err(("replace_at_most_ms", "nothing is replaced")),
        }
    }
}

fn replace_of(fields: &[ReplaceField]) -> Replace {
    let mut replace = Replace::default();
    for field in fields {
        match field {
            ReplaceField::Args => replace.args = true,
            ReplaceField::Priority => replace.priority = true,
            ReplaceField::RunAt => replace.run_at = true,
            ReplaceField::MaxAttempts => replace.max_attempts = true,
            ReplaceField::TimeoutMs => replace.timeout = true,
            ReplaceField::Tags => replace.tags = true,
        }
    }
    replace
}

/// The key and its hold; `unique_for_ms` is a time in place of `unique_until`.
pub fn unique(
    key: Option<Arc<str>>,
    until: Option<UntilField>,
    for_ms: Option<u64>,
) -> Option<Unique> {
    let until = match (until, for_ms) {
        (_, Some(ms)) => Until::Elapsed { ms },
        (Some(UntilField::Claimed), None) => Until::Claimed,
        (Some(UntilField::Finished) | None, None) => Until::Finished,
    };
    key.map(|key| Unique { key, until })
}

pub fn write_unique(unique: &Unique, object: &mut write::Object<'_>) {
    object.text("unique_key", &unique.key);
    match unique.until {
        Until::Claimed => object.word("unique_until", "claimed"),
        Until::Finished => object.word("unique_until", "finished"),
        Until::Elapsed { ms } => object.number("unique_for_ms", ms),
    }
}

pub fn write_on_conflict(on_conflict: OnConflict, object: &mut write::Object<'_>) {
    let replace = match on_conflict {
        OnConflict::Keep => return,
        OnConflict::Refuse => return object.word("on_conflict", "refuse"),
        OnConflict::Replace(replace) => replace,
    };
    object.word("on_conflict", "replace");
    let fields = [
        ("args", replace.args),
        ("priority", replace.priority),
        ("run_at", replace.run_at),
        ("max_attempts", replace.max_attempts),
        ("timeout_ms", replace.timeout),
        ("tags", replace.tags),
    ];
    let named: Vec<Arc<str>> =
        fields.into_iter().filter(|(_, is_named)| *is_named).map(|(name, _)| name.into()).collect();
    object.texts("replace", &named);
    if replace.scheduled_only {
        object.flag("replace_scheduled_only", true);
    }
    if let Some(ms) = replace.at_most_ms {
        object.number("replace_at_most_ms", ms);
    }
}
