//! What a worker says of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::fault_of_value;
use crate::limits::LABELS_MAX;
use crate::name::Name;

/// The labels of a worker: at most `LABELS_MAX` names, each with a value of 1 to
/// `LABEL_VALUE_BYTES_MAX` bytes or without one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(BTreeMap<Name, Option<Arc<str>>>);

/// A text that cannot be a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid label ({reason}); write NAME=VALUE or NAME, such as gpu=24")]
pub struct InvalidLabel {
    text: String,
    reason: String,
}

impl InvalidLabel {
    fn new(text: &str, reason: impl fmt::Display) -> Self {
        InvalidLabel { text: text.chars().take(200).collect(), reason: reason.to_string() }
    }
}

impl Labels {
    /// The labels that these texts say, each `name=value` or `name`. Refuses a name that is there
    /// twice.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidLabel> {
        let mut labels = Labels::default();
        for text in texts {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            if labels.0.contains_key(name) {
                return Err(InvalidLabel::new(text, format!("label {name} is given twice")));
            }
            labels.add(text, name, value)?;
        }
        Ok(labels)
    }

    /// Gives a label a value, in place of the one it had; an empty value: it has none.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidLabel> {
        let text = if value.is_empty() { name.to_owned() } else { format!("{name}={value}") };
        self.add(&text, name, (!value.is_empty()).then_some(value))
    }

    fn add(&mut self, text: &str, name: &str, value: Option<&str>) -> Result<(), InvalidLabel> {
        let name = Name::new(name).map_err(|error| InvalidLabel::new(text, error))?;
        if let Some(fault) = value.and_then(fault_of_value) {
            return Err(InvalidLabel::new(text, fault));
        }
        if self.0.len() >= LABELS_MAX && !self.0.contains_key(&name) {
            let reason = format!("a worker has at most {LABELS_MAX} labels");
            return Err(InvalidLabel::new(text, reason));
        }
        self.0.insert(name, value.map(Arc::from));
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a label: `None` where there is no such label, an empty text where it has no value.
    pub fn get(&self, name: &Name) -> Option<&str> {
        self.0.get(name).map(|value| value.as_deref().unwrap_or_default())
    }

    /// Each label with its value, an empty text where it has none, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_deref().unwrap_or_default()))
    }

    /// Each label as `name=value` or `name`, by name.
    pub fn texts(&self) -> Vec<String> {
        let text = |(name, value): (&Name, &Option<Arc<str>>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.to_string(),
        };
        self.0.iter().map(text).collect()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join(","))
    }
}

/// Labels with commas between them; an empty text: none.
impl FromStr for Labels {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        Labels::parse(text.split(',').filter(|_| !text.is_empty()))
    }
}
