//! What a job costs, as a part of what it requires.
//!
//! A job that takes four slots requires a worker that has four: the term `slots>=4`, which only its
//! cost can say. One that takes 8 of the memory of its worker requires a worker that has as much in
//! all: the term `8 of memory`. So jobs of one lane all cost the same, and a worker that never has
//! enough is not offered them. A worker says how many slots it has with the label `slots`, and how much
//! of a resource with a label of that kind.

use super::labels::{InvalidLabel, Labels};
use super::requirement::{InvalidRequirement, Requirement};
use super::resources::Resources;
use super::term::{Comparator, Rule, Term};

/// The label that says how many slots a worker has in all.
pub const SLOTS: &str = "slots";

/// What a job takes of its worker while it runs; also what a worker has free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Slots.
    pub slots: usize,
    /// How much of each resource. What is not named is none.
    pub resources: Resources,
}

impl Cost {
    /// One slot and nothing else.
    pub const ONE: Cost = Cost { slots: 1, resources: Resources::NONE };

    /// Whether that much is there of everything.
    pub fn fits(&self, free: &Cost) -> bool {
        self.slots <= free.slots && self.resources.fit(&free.resources)
    }

    /// What is left of this when that is taken, never below zero.
    pub fn minus(&self, taken: &Cost) -> Cost {
        let slots = self.slots.saturating_sub(taken.slots);
        Cost { slots, resources: self.resources.minus(&taken.resources) }
    }
}

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

    /// The same of a job that takes so much of a resource, from 1 to `RESOURCE_MAX`, instead of what it
    /// took of it.
    ///
    /// # Errors
    /// Where that is no resource or no such amount, or it is too long with this term.
    pub fn with_taken(
        &self,
        resource: &str,
        amount: u64,
    ) -> Result<Requirement, InvalidRequirement> {
        let term = format!("{amount} of {resource}");
        Term::read(&term).map_err(|reason| InvalidRequirement::new(&term, reason))?;
        let is_of_it =
            |term: &Term| matches!(term.rule, Rule::Takes(_)) && term.label.as_str() == resource;
        let others = self.terms().iter().filter(|term| !is_of_it(term)).map(Term::to_string);
        others.chain([term]).collect::<Vec<_>>().join(",").parse()
    }

    /// How much a job takes of each resource that requires this.
    pub fn taken(&self) -> Resources {
        let amount = |term: &Term| match term.rule {
            Rule::Takes(amount) => Some((term.label.clone(), amount)),
            _ => None,
        };
        self.terms().iter().filter_map(amount).collect()
    }

    /// Whether a job that requires this takes anything but slots.
    pub fn takes_resources(&self) -> bool {
        self.terms().iter().any(|term| matches!(term.rule, Rule::Takes(_)))
    }

    /// What a job takes in all that requires this.
    pub fn cost(&self) -> Cost {
        Cost { slots: self.slots() as usize, resources: self.taken() }
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
