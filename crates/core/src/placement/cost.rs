//! What a job costs, as a part of what it requires.
//!
//! A job that takes four slots requires a worker that has four: the term `slots>=4`, which only its
//! cost can say. So jobs of one lane all cost the same, and a worker with fewer slots is not offered
//! them. A worker says how many slots it has with the label `slots`.

use super::labels::{InvalidLabel, Labels};
use super::requirement::{InvalidRequirement, Requirement};
use super::term::{Comparator, Rule, Term};

/// The label that says how many slots a worker has in all.
pub const SLOTS: &str = "slots";

impl Requirement {
    /// The same of a job that takes so many slots; 0 and 1 require nothing more.
    ///
    /// # Errors
    /// Where it says something else of the label `slots`, or is too long with this term.
    pub fn with_cost(&self, slots: u32) -> Result<Requirement, InvalidRequirement> {
        let wanted = (slots > 1).then(|| format!("{SLOTS}>={slots}"));
        let mut rest = self.terms().iter().filter(|term| is_of_slots(term));
        if let Some(other) = rest.find(|term| Some(term.to_string()) != wanted) {
            let reason = format!(
                "{other} is not for it to say: what a job takes of the {SLOTS} of its worker is its cost"
            );
            return Err(InvalidRequirement::new(&self.to_string(), reason));
        }
        match wanted {
            None => Ok(self.clone()),
            Some(wanted) => format!("{self},{wanted}").trim_start_matches(',').parse(),
        }
    }

    /// How many slots a job takes that requires this, at least 1.
    pub fn slots(&self) -> u32 {
        let taken = self.terms().iter().filter(|term| is_of_slots(term)).find_map(at_least);
        taken.unwrap_or(1).max(1)
    }
}

impl Labels {
    /// Says how many slots the worker has in all.
    ///
    /// # Errors
    /// Where it has as many labels already as a worker can have.
    pub fn set_slots(&mut self, slots: usize) -> Result<(), InvalidLabel> {
        self.set(SLOTS, &slots.to_string())
    }

    /// How many slots the worker says that it has in all; `Err`: what it says instead of a number.
    pub fn slots(&self) -> Option<Result<u32, &str>> {
        let (_, text) = self.iter().find(|(name, _)| name.as_str() == SLOTS)?;
        Some(text.parse().ok().filter(|slots| *slots > 0).ok_or(text))
    }
}

fn is_of_slots(term: &Term) -> bool {
    term.label.as_str() == SLOTS
}

fn at_least(term: &Term) -> Option<u32> {
    match &term.rule {
        Rule::Compared(Comparator::AtLeast, slots) => slots.parse().ok(),
        _ => None,
    }
}
