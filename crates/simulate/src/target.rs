//! How many workers a target takes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use taskwright_core::limits::SIMULATED_WORKERS_MAX;
use taskwright_core::{format_duration, parse_duration};

use crate::error::{Error, Result, invalid};
use crate::outcome::{Outcome, Waits};
use crate::workload::Workload;

/// What waiting times should be, written like `p99 wait <= 5s` or `mean wait of mail <= 200ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    figure: Figure,
    of: Option<String>,
    most: Duration,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Figure {
    Mean,
    P50,
    P90,
    P99,
    Max,
}

/// A number of workers that was tried.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// How many.
    pub count: u32,
    /// What the figure of the target was then.
    pub figure: Duration,
    /// Whether that is within the target, and every job ended.
    pub is_met: bool,
}

/// How many workers a target takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// The class of workers that was varied.
    pub class: String,
    /// The smallest number that meets the target; `None`: as many as can be do not.
    pub count: Option<u32>,
    /// What was tried, in this order.
    pub tried: Vec<Tried>,
    /// What comes of that number, or of the largest that was tried.
    pub outcome: Outcome,
}

/// Finds the smallest number of workers of a class, by default the first, that meets a target: by
/// doubling, then halving. It takes for granted that more workers do not wait longer.
///
/// # Errors
/// Where the class or the task of the target is not in the workload, or the workload makes no sense.
pub fn size(workload: &Workload, target: &Target, class: Option<&str>) -> Result<Sizing> {
    target.check(workload)?;
    let classes = &workload.workers;
    let place = match class {
        None => (!classes.is_empty()).then_some(0),
        Some(class) => classes.iter().position(|worker| worker.name == class),
    };
    let Some(place) = place else {
        let part = format!("worker {:?}", class.unwrap_or_default());
        return Err(invalid(part, "the workload has no such class of workers"));
    };
    let others: usize = classes.iter().map(|worker| worker.count as usize).sum();
    let others = others - classes[place].count as usize;
    let most = SIMULATED_WORKERS_MAX.saturating_sub(others) as u32;
    let mut search = Search { workload: workload.clone(), place, target, tried: Vec::new() };

    let mut best: Option<(u32, Outcome)> = None;
    let (mut low, mut high) = (0, 1);
    let last = loop {
        let outcome = search.play(high)?;
        if search.is_met() {
            best = Some((high, outcome.clone()));
            break outcome;
        }
        low = high;
        if high >= most || search.is_hopeless() {
            break outcome;
        }
        high = (high * 2).min(most);
    };
    while let Some((count, _)) = best.as_ref().filter(|(count, _)| count - low > 1) {
        let middle = low + (count - low) / 2;
        let outcome = search.play(middle)?;
        if search.is_met() {
            best = Some((middle, outcome));
        } else {
            low = middle;
        }
    }
    let class = classes[place].name.clone();
    let (count, outcome) = match best {
        Some((count, outcome)) => (Some(count), outcome),
        None => (None, last),
    };
    Ok(Sizing { class, count, tried: search.tried, outcome })
}

struct Search<'a> {
    workload: Workload,
    place: usize,
    target: &'a Target,
    tried: Vec<Tried>,
}

impl Search<'_> {
    fn play(&mut self, count: u32) -> Result<Outcome> {
        self.workload.workers[self.place].count = count;
        let outcome = crate::simulate(&self.workload)?;
        let figure = self.target.figure(&outcome);
        let is_met = figure <= self.target.most && outcome.left == 0;
        self.tried.push(Tried { count, figure, is_met });
        Ok(outcome)
    }

    fn is_met(&self) -> bool {
        self.tried.last().is_some_and(|tried| tried.is_met)
    }

    /// Whether workers are not what is missing: twice doubled, nothing has changed.
    fn is_hopeless(&self) -> bool {
        match self.tried.as_slice() {
            [.., before, last, now] => {
                before.figure == now.figure && last.figure == now.figure && now.count >= 64
            }
            _ => false,
        }
    }
}

impl Target {
    fn check(&self, workload: &Workload) -> Result<()> {
        match &self.of {
            Some(of) if !workload.tasks.iter().any(|class| class.name == *of) => {
                Err(invalid(format!("the target: task {of:?}"), "the workload has no such class"))
            }
            _ => Ok(()),
        }
    }

    /// What it speaks of, in an outcome.
    pub fn figure(&self, outcome: &Outcome) -> Duration {
        let class = self.of.as_ref().and_then(|of| {
            outcome.tasks.iter().find(|class| class.name == *of).map(|class| class.waiting)
        });
        let Waits { mean, p50, p90, p99, max, .. } = class.unwrap_or(outcome.waiting);
        match self.figure {
            Figure::Mean => mean,
            Figure::P50 => p50,
            Figure::P90 => p90,
            Figure::P99 => p99,
            Figure::Max => max,
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Target> {
        let wrong = || Error::Target(text.to_owned());
        let (left, right) = text.split_once("<=").ok_or_else(wrong)?;
        let words: Vec<&str> = left.split_whitespace().collect();
        let (figure, of) = match words.as_slice() {
            [figure, "wait"] => (*figure, None),
            [figure, "wait", "of", of] => (*figure, Some((*of).to_owned())),
            _ => return Err(wrong()),
        };
        let figures = [Figure::Mean, Figure::P50, Figure::P90, Figure::P99, Figure::Max];
        let figure = figures.into_iter().find(|known| known.as_str() == figure);
        let most = parse_duration(right).map_err(|_| wrong())?;
        Ok(Target { figure: figure.ok_or_else(wrong)?, of, most })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wait", self.figure.as_str())?;
        if let Some(of) = &self.of {
            write!(f, " of {of}")?;
        }
        write!(f, " <= {}", format_duration(self.most))
    }
}

impl Figure {
    fn as_str(self) -> &'static str {
        match self {
            Figure::Mean => "mean",
            Figure::P50 => "p50",
            Figure::P90 => "p90",
            Figure::P99 => "p99",
            Figure::Max => "max",
        }
    }
}

#[cfg(test)]
#[path = "tests/target.rs"]
mod tests;
