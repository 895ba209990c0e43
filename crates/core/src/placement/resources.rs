//! Amounts of named resources, such as memory: what jobs take, what workers have.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::limits::{LABELS_MAX, RESOURCE_MAX};
use crate::name::Name;

/// How much of each of some resources. What is not named is none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources(BTreeMap<Name, u64>);

/// A text that is no amount of a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid amount of a resource ({reason}); write NAME=AMOUNT, such as memory=8"
)]
pub struct InvalidResource {
    text: String,
    reason: String,
}

impl Resources {
    /// Nothing of anything.
    pub const NONE: Resources = Resources(BTreeMap::new());

    /// The amounts that these texts say, each `name=amount`.
    ///
    /// # Errors
    /// Where one is none, a name is there twice, or there are more than `LABELS_MAX`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidResource> {
        let mut resources = Resources::NONE;
        for text in texts {
            let invalid =
                |reason: String| InvalidResource { text: text.chars().take(200).collect(), reason };
            let Some((name, amount)) = text.split_once('=') else {
                return Err(invalid("it says no amount".to_owned()));
            };
            let name = Name::new(name).map_err(|error| invalid(error.to_string()))?;
            let amount = read_amount(amount).map_err(invalid)?;
            if resources.0.len() == LABELS_MAX {
                return Err(invalid(format!("at most {LABELS_MAX} are allowed")));
            }
            if resources.0.insert(name, amount).is_some() {
                return Err(invalid("it is given twice".to_owned()));
            }
        }
        Ok(resources)
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much there is of a resource.
    pub fn get(&self, resource: &Name) -> u64 {
        self.0.get(resource).copied().unwrap_or(0)
    }

    /// Whether a resource is named.
    pub fn names(&self, resource: &Name) -> bool {
        self.0.contains_key(resource)
    }

    /// Each resource that is named, and how much there is of it, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, u64)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    /// Whether that much is there of everything.
    pub fn fit(&self, free: &Resources) -> bool {
        self.0.iter().all(|(name, amount)| *amount <= free.get(name))
    }

    /// What is left of this when those are taken, never below zero; it names what it named.
    pub fn minus(&self, taken: &Resources) -> Resources {
        let left =
            |(name, amount): (&Name, &u64)| (name.clone(), amount.saturating_sub(taken.get(name)));
        Resources(self.0.iter().map(left).collect())
    }

    /// Adds what others name.
    pub fn add(&mut self, others: &Resources) {
        for (name, amount) in &others.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    /// Takes away what others name; of what is none any more the name is left out.
    pub fn take_away(&mut self, others: &Resources) {
        *self = self.minus(others);
        self.0.retain(|_, amount| *amount > 0);
    }
}

impl FromIterator<(Name, u64)> for Resources {
    fn from_iter<I: IntoIterator<Item = (Name, u64)>>(amounts: I) -> Self {
        Resources(amounts.into_iter().collect())
    }
}

/// Amounts with commas between them; an empty text: none.
impl FromStr for Resources {
    type Err = InvalidResource;

    fn from_str(text: &str) -> Result<Self, InvalidResource> {
        Resources::parse(text.split(',').filter(|_| !text.is_empty()))
    }
}

/// As [`Resources::from_str`] reads it.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={amount}")?;
        }
        Ok(())
    }
}

/// Of `8 of memory`, the amount and the name.
pub(super) fn amount_of(text: &str) -> Option<(&str, &str)> {
    let (amount, name) = text.split_once(" of ")?;
    Some((amount.trim(), name.trim()))
}

/// A whole number up to `RESOURCE_MAX`; `Err`: why it is none.
pub(super) fn read_amount(text: &str) -> Result<u64, String> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_whole {
        return Err(format!("{text:?} is no whole number"));
    }
    let amount = text.parse().ok().filter(|amount| *amount <= RESOURCE_MAX);
    amount.ok_or_else(|| format!("{text} is over {RESOURCE_MAX}"))
}
