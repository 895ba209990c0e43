//! What a worker says of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::cost::SLOTS;
use super::fault_of_value;
use super::resources::{Resources, amount_of, read_amount};
use crate::limits::LABELS_MAX;
use crate::name::Name;

/// The labels of a worker: at most `LABELS_MAX` names, each with a value of 1 to
/// `LABEL_VALUE_BYTES_MAX` bytes or without one, or a resource with how much of it the worker has in
/// all, which jobs take from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(BTreeMap<Name, Value>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Value {
    Nothing,
    Text(Arc<str>),
    /// So much of a resource, as a text.
    Capacity(Arc<str>),
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Value::Nothing => "",
            Value::Text(text) | Value::Capacity(text) => text,
        }
    }

    fn is_capacity(&self) -> bool {
        matches!(self, Value::Capacity(_))
    }
}

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
    /// The labels that these texts say, each `name=value`, `name` or `64 of name`, which is a resource.
    /// Refuses a name that is there twice.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidLabel> {
        let mut labels = Labels::default();
        for text in texts {
            let (name, value) = match (amount_of(text), text.split_once('=')) {
                (Some((amount, name)), _) => (name, Value::Capacity(amount.into())),
                (None, Some((name, value))) => (name, Value::Text(value.into())),
                (None, None) => (text, Value::Nothing),
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
        if value.is_empty() {
            return self.add(name, name, Value::Nothing);
        }
        self.add(&format!("{name}={value}"), name, Value::Text(value.into()))
    }

    /// Says how much the worker has of a resource in all, up to `RESOURCE_MAX`.
    ///
    /// # Errors
    /// Where that is more, the name is none, is `slots` or that of a label, or there are too many.
    pub fn set_capacity(&mut self, resource: &str, amount: u64) -> Result<(), InvalidLabel> {
        let value = Value::Capacity(amount.to_string().into());
        self.add(&format!("{amount} of {resource}"), resource, value)
    }

    fn add(&mut self, text: &str, name: &str, value: Value) -> Result<(), InvalidLabel> {
        let name = Name::new(name).map_err(|error| InvalidLabel::new(text, error))?;
        let fault = match &value {
            Value::Nothing => None,
            Value::Text(value) => fault_of_value(value),
            Value::Capacity(_) if name.as_str() == SLOTS => {
                Some(format!("{SLOTS} is no resource: it says how many slots the worker has"))
            }
            Value::Capacity(amount) => read_amount(amount).err(),
        };
        if let Some(fault) = fault {
            return Err(InvalidLabel::new(text, fault));
        }
        if self.0.get(&name).is_some_and(|old| old.is_capacity() != value.is_capacity()) {
            let reason = format!("{name} is a label and a resource; give it one meaning");
            return Err(InvalidLabel::new(text, reason));
        }
        if self.0.len() >= LABELS_MAX && !self.0.contains_key(&name) {
            let reason = format!("a worker has at most {LABELS_MAX} labels");
            return Err(InvalidLabel::new(text, reason));
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a label: `None` where there is no such label, an empty text where it has no value.
    pub fn get(&self, name: &Name) -> Option<&str> {
        self.0.get(name).map(Value::text)
    }

    /// How much the worker has in all of a resource; `None`: it has no such resource.
    pub fn capacity(&self, resource: &Name) -> Option<u64> {
        let value = self.0.get(resource).filter(|value| value.is_capacity())?;
        read_amount(value.text()).ok()
    }

    /// Whether the worker has any resource.
    pub fn has_resources(&self) -> bool {
        self.0.values().any(Value::is_capacity)
    }

    /// How much the worker has in all of each of its resources.
    pub fn capacities(&self) -> Resources {
        let of = |name: &Name| Some((name.clone(), self.capacity(name)?));
        self.0.keys().filter_map(of).collect()
    }

    /// Each label with its value, an empty text where it has none, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.0.iter().map(|(name, value)| (name, value.text()))
    }

    /// The same without its resources.
    pub fn without_resources(&self) -> Labels {
        let labels = self.0.iter().filter(|(_, value)| !value.is_capacity());
        Labels(labels.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Each label as `name=value` or `name`, each resource as `64 of name`, by name.
    pub fn texts(&self) -> Vec<String> {
        let text = |(name, value): (&Name, &Value)| match value {
            Value::Nothing => name.to_string(),
            Value::Text(value) => format!("{name}={value}"),
            Value::Capacity(amount) => format!("{amount} of {name}"),
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
