//! Which workers may run a job: labels of workers, and what jobs require of them.
//!
//! A worker has [`Labels`] such as `gpu=24` or `spot`. A job has a [`Requirement`] such as
//! `gpu>=24,region in (eu us),!spot`; it is offered to those workers only whose labels meet every
//! term of it. The order in which a requirement names its terms means nothing: both types have one
//! canonical text, so that equal ones are equal as texts.

mod cost;
mod labels;
mod load;
mod number;
mod requirement;
mod resources;
mod term;

pub use cost::{Cost, SLOTS};
pub use labels::{InvalidLabel, Labels};
pub use load::{Load, LoadMeasure, takes_after};
pub use requirement::{InvalidRequirement, Requirement};
pub use resources::{InvalidResource, Resources};
pub use term::{Comparator, Rule, Term};

/// Whether a text can be the value of a label, and so stand in a requirement: not empty, without
/// spaces and without the signs that requirements are made of.
fn fault_of_value(value: &str) -> Option<String> {
    use crate::limits::LABEL_VALUE_BYTES_MAX;

    if value.is_empty() {
        return Some("its value is empty".to_owned());
    }
    if value.len() > LABEL_VALUE_BYTES_MAX {
        let length = value.len();
        return Some(format!(
            "its value has {length} bytes, and at most {LABEL_VALUE_BYTES_MAX} are allowed"
        ));
    }
    let is_sign = |c: char| matches!(c, ',' | '(' | ')' | '=' | '!' | '<' | '>');
    let refused = value.chars().find(|&c| is_sign(c) || c.is_whitespace() || c.is_control())?;
    Some(format!("its value has {refused:?}, which is not allowed"))
}

#[cfg(test)]
#[path = "tests/cost.rs"]
mod cost_tests;

#[cfg(test)]
#[path = "tests/resources.rs"]
mod resources_tests;

#[cfg(test)]
#[path = "tests/load.rs"]
mod load_tests;

#[cfg(test)]
#[path = "tests/placement.rs"]
mod tests;
