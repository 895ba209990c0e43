//! What a job requires of the worker that runs it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::labels::Labels;
use super::term::{Rule, Term};
use crate::limits::{REQUIREMENT_BYTES_MAX, REQUIREMENT_TERMS_MAX};
use crate::name::Name;

/// The terms that the labels of a worker must meet, all of them: at most `REQUIREMENT_TERMS_MAX`,
/// and at most `REQUIREMENT_BYTES_MAX` as a text. Without terms every worker will do.
///
/// As a text the terms are joined by commas: `gpu` (has the label), `!spot` (does not have it),
/// `gpu>=24`, `gpu=24`, `region!=eu`, `region in (eu us)`, `8 of memory` (has as much in all, and the
/// job takes it while it runs). Clones are cheap.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement(pub(super) Option<Arc<[Term]>>);

/// A text that is no requirement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid requirement ({reason}); write terms such as gpu>=24, region=eu, \
     region in (eu us), gpu or !spot, with commas between them"
)]
pub struct InvalidRequirement {
    text: String,
    reason: String,
}

impl InvalidRequirement {
    /// A text that is none for this reason.
    pub(super) fn new(text: &str, reason: String) -> Self {
        InvalidRequirement { text: text.chars().take(200).collect(), reason }
    }
}

impl Requirement {
    /// No requirement: every worker will do, and nothing is taken but one slot.
    pub const NONE: Requirement = Requirement(None);

    /// Whether every worker will do.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The terms, sorted, each once.
    pub fn terms(&self) -> &[Term] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether a worker with these labels may run the job.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.terms().iter().all(|term| term.is_met(labels))
    }

    /// The terms that these labels do not meet.
    pub fn unmet(&self, labels: &Labels) -> Vec<&Term> {
        self.terms().iter().filter(|term| !term.is_met(labels)).collect()
    }
}

impl FromStr for Requirement {
    type Err = InvalidRequirement;

    fn from_str(text: &str) -> Result<Self, InvalidRequirement> {
        let invalid = |reason: String| InvalidRequirement::new(text, reason);
        if text.trim().is_empty() {
            return Ok(Requirement::NONE);
        }
        let mut terms = Vec::new();
        for part in parts(text) {
            terms.push(Term::read(part).map_err(invalid)?);
        }
        terms.sort_unstable();
        terms.dedup();
        if let Some(resource) = taken_twice(&terms) {
            return Err(invalid(format!("it says twice how much it takes of {resource}")));
        }
        if terms.len() > REQUIREMENT_TERMS_MAX {
            let count = terms.len();
            return Err(invalid(format!(
                "it has {count} terms, and at most {REQUIREMENT_TERMS_MAX} are allowed"
            )));
        }
        let requirement = Requirement(Some(terms.into()));
        let length = requirement.to_string().len();
        if length > REQUIREMENT_BYTES_MAX {
            return Err(invalid(format!(
                "it has {length} bytes, and at most {REQUIREMENT_BYTES_MAX} are allowed"
            )));
        }
        Ok(requirement)
    }
}

/// A resource of which sorted terms take two amounts.
fn taken_twice(terms: &[Term]) -> Option<&Name> {
    let takes = |term: &Term| matches!(term.rule, Rule::Takes(_));
    let mut pairs = terms.windows(2);
    let twice = pairs.find(|pair| pair[0].label == pair[1].label && pair.iter().all(takes));
    twice.map(|pair| &pair[0].label)
}

/// A text cut at its commas, but for those between brackets.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    text.split(move |c| {
        is_inside = c == '(' || (is_inside && c != ')');
        c == ',' && !is_inside
    })
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{term}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requirement({self})")
    }
}
