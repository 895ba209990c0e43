//! One term of a requirement.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::cost::SLOTS;
use super::fault_of_value;
use super::labels::Labels;
use super::number::Number;
use super::resources::{amount_of, read_amount};
use crate::name::Name;

/// What is required of one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term {
    /// The label.
    pub label: Name,
    /// What is required of it.
    pub rule: Rule,
}

/// What can be required of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `gpu`: the worker has it, with any value or none.
    Present,
    /// `!spot`: the worker does not have it.
    Absent,
    /// `region in (eu us)`: it has one of these values, which are sorted and at least two.
    OneOf(Arc<[Arc<str>]>),
    /// `gpu>=24`: its value compares so with this one.
    Compared(Comparator, Arc<str>),
    /// `8 of memory`: it is a resource of which the worker has as much in all; the job takes so much.
    Takes(u64),
}

/// How the value of a label is compared with that of a requirement.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparator {
    /// `=`: the same number, where both are numbers, else the same text.
    Equal,
    /// `!=`: not the same, or there is no such label.
    NotEqual,
    /// `<`: a smaller number.
    Less,
    /// `<=`: a smaller number or the same.
    AtMost,
    /// `>`: a greater number.
    Greater,
    /// `>=`: a greater number or the same.
    AtLeast,
}

impl Comparator {
    /// Every comparator; of two that begin alike the longer one first.
    pub const ALL: [Comparator; 6] = [
        Comparator::NotEqual,
        Comparator::AtMost,
        Comparator::AtLeast,
        Comparator::Less,
        Comparator::Greater,
        Comparator::Equal,
    ];

    /// Its sign.
    pub const fn as_str(self) -> &'static str {
        match self {
            Comparator::Equal => "=",
            Comparator::NotEqual => "!=",
            Comparator::Less => "<",
            Comparator::AtMost => "<=",
            Comparator::Greater => ">",
            Comparator::AtLeast => ">=",
        }
    }

    /// Whether it orders numbers, and says nothing of other texts.
    pub const fn is_ordering(self) -> bool {
        !matches!(self, Comparator::Equal | Comparator::NotEqual)
    }

    fn holds(self, value: &str, wanted: &str) -> bool {
        match self {
            Comparator::Equal => is_same(value, wanted),
            Comparator::NotEqual => !is_same(value, wanted),
            Comparator::Less => order(value, wanted).is_some_and(Ordering::is_lt),
            Comparator::AtMost => order(value, wanted).is_some_and(Ordering::is_le),
            Comparator::Greater => order(value, wanted).is_some_and(Ordering::is_gt),
            Comparator::AtLeast => order(value, wanted).is_some_and(Ordering::is_ge),
        }
    }
}

/// How two texts compare as numbers, where both are.
fn order(a: &str, b: &str) -> Option<Ordering> {
    Some(Number::read(a)?.cmp(&Number::read(b)?))
}

fn is_same(value: &str, wanted: &str) -> bool {
    order(value, wanted).map_or(value == wanted, Ordering::is_eq)
}

impl Term {
    /// Whether labels meet it.
    pub fn is_met(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label);
        match &self.rule {
            Rule::Present => value.is_some(),
            Rule::Absent => value.is_none(),
            Rule::OneOf(wanted) => {
                value.is_some_and(|value| wanted.iter().any(|wanted| is_same(value, wanted)))
            }
            Rule::Compared(Comparator::NotEqual, _) if value.is_none() => true,
            Rule::Compared(comparator, wanted) => {
                value.is_some_and(|value| comparator.holds(value, wanted))
            }
            Rule::Takes(amount) => labels.capacity(&self.label).is_some_and(|all| all >= *amount),
        }
    }

    /// Why labels do not meet it, such as `gpu is 16, asked is gpu>=24`.
    pub fn explain(&self, labels: &Labels) -> String {
        let label = &self.label;
        if let Rule::Takes(_) = self.rule {
            return match labels.capacity(label) {
                None => format!("has no resource {label}, asked is {self}"),
                Some(all) => format!("has {all} of {label} in all, asked is {self}"),
            };
        }
        match labels.get(label) {
            None => format!("has no label {label}, asked is {self}"),
            Some("") => format!("has label {label} without a value, asked is {self}"),
            Some(value) => format!("{label} is {value}, asked is {self}"),
        }
    }

    /// The term that a text says; `Err`: why it says none.
    pub(super) fn read(text: &str) -> Result<Term, String> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('!') {
            return Ok(Term { label: label(name)?, rule: Rule::Absent });
        }
        if let Some((name, values)) = list_of(text) {
            return Ok(Term { label: label(name)?, rule: one_of(values)? });
        }
        if let Some((amount, name)) = amount_of(text) {
            return taken(amount, label(name)?);
        }
        let Some(at) = text.find(['=', '!', '<', '>']) else {
            return Ok(Term { label: label(text)?, rule: Rule::Present });
        };
        let (name, rest) = text.split_at(at);
        let found = Comparator::ALL.into_iter().find(|sign| rest.starts_with(sign.as_str()));
        let comparator = found.ok_or("after the name comes one of = != < <= > >=")?;
        let value = rest[comparator.as_str().len()..].trim();
        check_value(value)?;
        if comparator.is_ordering() && Number::read(value).is_none() {
            let sign = comparator.as_str();
            return Err(format!("{sign} compares numbers, and {value:?} is none"));
        }
        Ok(Term { label: label(name)?, rule: Rule::Compared(comparator, value.into()) })
    }
}

fn label(name: &str) -> Result<Name, String> {
    Name::new(name.trim()).map_err(|error| error.to_string())
}

fn check_value(value: &str) -> Result<(), String> {
    fault_of_value(value).map_or(Ok(()), Err)
}

/// Of `region in (eu us)`, the name and what stands between the brackets.
fn list_of(text: &str) -> Option<(&str, &str)> {
    let (head, values) = text.strip_suffix(')')?.split_once('(')?;
    let name = head.trim_end().strip_suffix("in")?;
    name.ends_with(char::is_whitespace).then_some((name, values))
}

/// The term of a job that takes something.
fn taken(amount: &str, resource: Name) -> Result<Term, String> {
    let amount = read_amount(amount)?;
    if amount == 0 {
        return Err(format!("it takes 0 of {resource}; give at least 1, or leave it out"));
    }
    if resource.as_str() == SLOTS {
        return Err(format!("what a job takes of the {SLOTS} of its worker is its cost"));
    }
    Ok(Term { label: resource, rule: Rule::Takes(amount) })
}

fn one_of(values: &str) -> Result<Rule, String> {
    let mut wanted: Vec<Arc<str>> = Vec::new();
    let separates = |c: char| c.is_whitespace() || c == ',';
    for value in values.split(separates).filter(|value| !value.is_empty()) {
        check_value(value)?;
        wanted.push(value.into());
    }
    wanted.sort_unstable();
    wanted.dedup();
    match wanted.as_slice() {
        [] => Err("between the brackets there is no value".to_owned()),
        [only] => Ok(Rule::Compared(Comparator::Equal, Arc::clone(only))),
        _ => Ok(Rule::OneOf(wanted.into())),
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.rule {
            Rule::Present => write!(f, "{label}"),
            Rule::Absent => write!(f, "!{label}"),
            Rule::OneOf(values) => write!(f, "{label} in ({})", values.join(" ")),
            Rule::Compared(comparator, value) => {
                write!(f, "{label}{}{value}", comparator.as_str())
            }
            Rule::Takes(amount) => write!(f, "{amount} of {label}"),
        }
    }
}
