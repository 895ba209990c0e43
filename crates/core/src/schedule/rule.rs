//! When a schedule is due.

use std::sync::Arc;
use std::time::Duration;

use super::calendar::{Calendar, DaySet};
use super::civil::DAY;
use super::cron::{Beat, Cron, check_interval};
use super::window::{Window, next_begin, time_left};
use super::zone::{UnknownZone, Zone};
use crate::id::JobId;
use crate::limits::{
    CALENDARS_MAX, INSTANTS_MAX, JITTER_MAX, OverLimit, TICK_LOOKS_MAX, WINDOWS_MAX, check,
};
use crate::name::Name;
use crate::retry;
use crate::time::Timestamp;

const MICROS: i64 = 1_000_000;
/// The beginning of the year 1: nothing is due before.
const FIRST_SECOND: i64 = -62_135_596_800;

/// What a rule repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// A cron expression, on the wall clocks of the rule's zone.
    Cron(Cron),
    /// A tick each so often (1 second to ten years), whatever clocks show: at an anchor, and at all
    /// whole multiples of the interval before and after it.
    Every {
        /// The interval.
        every: Duration,
        /// The anchor; else the rule's start, else the Unix epoch.
        anchor: Option<Timestamp>,
    },
    /// These instants, in any order; at most [`INSTANTS_MAX`].
    At(Vec<Timestamp>),
}

/// A rule as it is written down. [`Rule::new`] checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// What is repeated.
    pub when: When,
    /// The IANA name of the zone whose wall clocks count, for cron, windows and calendars.
    pub zone: String,
    /// No tick is before this instant.
    pub start: Option<Timestamp>,
    /// No tick is at this instant or later.
    pub end: Option<Timestamp>,
    /// Jobs start up to so much (at most [`JITTER_MAX`]) later than their instant.
    pub jitter: Duration,
    /// Only ticks in one of these windows count; all do where there is none.
    pub windows: Vec<Window>,
    /// The names of calendars on whose days no tick counts.
    pub excluded: Vec<Name>,
}

impl RuleSpec {
    /// A rule in UTC without start, end, jitter, windows and calendars.
    pub fn new(when: When) -> Self {
        RuleSpec {
            when,
            zone: "UTC".to_owned(),
            start: None,
            end: None,
            jitter: Duration::ZERO,
            windows: Vec::new(),
            excluded: Vec::new(),
        }
    }
}

/// Why a rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Its zone is not known.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// Something is too much.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// The interval is too short or too long.
    #[error("{every:?} cannot be the interval of a schedule: {reason}")]
    Interval {
        /// The interval.
        every: Duration,
        /// What is wrong with it.
        reason: String,
    },
    /// A calendar is named that does not exist.
    #[error("the rule names the calendar {0:?}, which does not exist; load it first")]
    Calendar(Name),
    /// Nothing is ever due.
    #[error(
        "the rule is never due: {0}; widen its start, end, windows or calendars, or correct what \
         it repeats"
    )]
    NeverDue(&'static str),
}

/// A rule that was checked: when a schedule is due.
#[derive(Clone, Debug)]
pub struct Rule {
    spec: RuleSpec,
    zone: Zone,
    excluded: DaySet,
    /// The list of [`When::At`], in order.
    instants: Arc<[Timestamp]>,
}

impl Rule {
    /// Checks a rule. `calendars` holds at least those that it names. One that is never due from
    /// its start on (1970 where it has none) is refused.
    pub fn new(mut spec: RuleSpec, calendars: &[Calendar]) -> Result<Self, InvalidRule> {
        check_limits(&spec)?;
        let zone = Zone::named(&spec.zone)?;
        let mut instants = Vec::new();
        if let When::At(list) = &mut spec.when {
            list.sort_unstable();
            list.dedup();
            instants.clone_from(list);
        }
        let excluded = days_excluded(&spec.excluded, calendars)?;
        let rule = Rule { spec, zone, excluded, instants: instants.into() };
        rule.check_due()?;
        Ok(rule)
    }

    fn check_due(&self) -> Result<(), InvalidRule> {
        let (start, end) = (self.spec.start, self.spec.end);
        if start.zip(end).is_some_and(|(start, end)| end <= start) {
            return Err(InvalidRule::NeverDue("its end is not later than its start"));
        }
        match self.next_after(before(start.unwrap_or(Timestamp::ZERO))) {
            Some(_) => Ok(()),
            None => Err(InvalidRule::NeverDue(
                "nothing that it repeats is between its start and end, in a window and not on an \
                 excluded day",
            )),
        }
    }

    /// The rule as it was written down; a list of instants is in order.
    pub fn spec(&self) -> &RuleSpec {
        &self.spec
    }

    /// The zone whose wall clocks count.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first instant that is later than `after` and due; `None` where there is none.
    ///
    /// Where windows and calendars leave out [`TICK_LOOKS_MAX`] ticks or days one after another,
    /// nothing more counts as due.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let first = Timestamp::from_micros(FIRST_SECOND * MICROS);
        let start = self.spec.start.map_or(first, |start| before(start).max(first));
        let mut after = after.max(start);
        for _ in 0..TICK_LOOKS_MAX {
            let tick = self.tick_after(after)?;
            if self.spec.end.is_some_and(|end| tick >= end) {
                return None;
            }
            match self.closed_at(tick) {
                Closed::No => return Some(tick),
                Closed::Until(open) => after = before(open),
                Closed::ForEver => return None,
            }
        }
        None
    }

    /// The instants that are due later than `from` and not later than `to`, in order: the first
    /// `max` of them. For previews, for what was missed, and for backfill.
    pub fn between(&self, from: Timestamp, to: Timestamp, max: usize) -> Vec<Timestamp> {
        let next = |&after: &Timestamp| self.next_after(after).filter(|&tick| tick <= to);
        std::iter::successors(next(&from), next).take(max).collect()
    }

    /// The last `max` instants that are due later than `from` and not later than `to`, in order.
    pub(super) fn newest(&self, from: Timestamp, to: Timestamp, max: usize) -> Vec<Timestamp> {
        let (mut early, mut late) = (from, to);
        let mut found = self.between(early, to, max.saturating_add(1));
        // One instant more or less in each microsecond: some beginning fits exactly.
        while found.len() > max && early < late {
            let half = late.since(early) / 2;
            let middle = early.plus(half.max(Duration::from_micros(1)));
            let later = self.between(middle, to, max.saturating_add(1));
            if later.len() >= max {
                early = middle;
                found = later;
            } else {
                late = before(middle);
            }
        }
        found
    }

    /// When the job of an instant starts: up to the jitter later, by a chance that its id decides,
    /// but before the next instant and the rule's end, in the same window and not on an excluded
    /// day.
    pub fn run_at(&self, job: JobId, instant: Timestamp) -> Timestamp {
        let jitter = self.spec.jitter;
        if jitter.is_zero() {
            return instant;
        }
        let window = match time_left(&self.spec.windows, self.wall(instant)) {
            Some(left) => instant.plus(Duration::from_secs(left.unsigned_abs())),
            None => instant.plus(jitter),
        };
        let bounds =
            [Some(instant.plus(jitter)), Some(window), self.next_after(instant), self.spec.end];
        let bound = bounds.into_iter().flatten().min().unwrap_or(instant).since(instant);
        let later = instant.plus(share(bound, retry::seed(job, 0)));
        if self.closed_at(later) == Closed::No { later } else { instant }
    }

    /// The first tick later than `after`, whatever windows and calendars say.
    fn tick_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.spec.when {
            When::Cron(cron) => match cron.beat() {
                Beat::Fields(fields) => {
                    let second =
                        fields.next_after(after.as_micros().div_euclid(MICROS), &self.zone)?;
                    second.checked_mul(MICROS).map(Timestamp::from_micros)
                }
                Beat::Every(every) => self.multiple_after(after, *every, None),
            },
            When::Every { every, anchor } => self.multiple_after(after, *every, *anchor),
            When::At(_) => {
                let index = self.instants.partition_point(|&instant| instant <= after);
                self.instants.get(index).copied()
            }
        }
    }

    fn multiple_after(
        &self,
        after: Timestamp,
        every: Duration,
        anchor: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let anchor = anchor.or(self.spec.start).unwrap_or(Timestamp::ZERO);
        let step = i64::try_from(every.as_micros()).ok()?;
        let since = after.as_micros().checked_sub(anchor.as_micros())?;
        let next = since.div_euclid(step).checked_add(1)?.checked_mul(step)?;
        anchor.as_micros().checked_add(next).map(Timestamp::from_micros)
    }

    /// Whether windows and calendars leave out a tick, and up to when they leave out every one.
    fn closed_at(&self, tick: Timestamp) -> Closed {
        if self.spec.windows.is_empty() && self.excluded.is_empty() {
            return Closed::No;
        }
        let second = tick.as_micros().div_euclid(MICROS);
        let wall = self.wall(tick);
        let day = wall.div_euclid(DAY);
        let free_day = self.excluded.free_from(day);
        let windows = &self.spec.windows;
        let open_wall = if free_day != day {
            Some(free_day * DAY)
        } else if windows.is_empty() || time_left(windows, wall).is_some() {
            return Closed::No;
        } else {
            next_begin(windows, wall)
        };
        let Some(open_wall) = open_wall else { return Closed::ForEver };
        // A change of the clocks may come first: from there on, one looks anew.
        let opens = second + (open_wall - wall);
        let change = self.zone.change_after(second).unwrap_or(i64::MAX);
        Closed::Until(Timestamp::from_micros(opens.min(change).saturating_mul(MICROS)))
    }

    fn wall(&self, at: Timestamp) -> i64 {
        let second = at.as_micros().div_euclid(MICROS);
        second + self.zone.offset(second)
    }
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Closed {
    No,
    Until(Timestamp),
    ForEver,
}

fn before(instant: Timestamp) -> Timestamp {
    instant.minus(Duration::from_micros(1))
}

/// A part of `bound`, never all of it, that `chance` chooses evenly.
fn share(bound: Duration, chance: u64) -> Duration {
    let micros = bound.as_micros().min(u128::from(u64::MAX));
    let micros = (micros * u128::from(chance)) >> 64;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn check_limits(spec: &RuleSpec) -> Result<(), InvalidRule> {
    check("jitter", seconds(spec.jitter), seconds(JITTER_MAX), "seconds")?;
    check("windows", spec.windows.len(), WINDOWS_MAX, "windows")?;
    check("excluded", spec.excluded.len(), CALENDARS_MAX, "calendars")?;
    match &spec.when {
        When::At(instants) => Ok(check("at", instants.len(), INSTANTS_MAX, "instants")?),
        When::Every { every, .. } => {
            check_interval(*every).map_err(|reason| InvalidRule::Interval { every: *every, reason })
        }
        When::Cron(_) => Ok(()),
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> usize {
    let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    usize::try_from(whole).unwrap_or(usize::MAX)
}

fn days_excluded(names: &[Name], calendars: &[Calendar]) -> Result<DaySet, InvalidRule> {
    let mut spans = Vec::new();
    for name in names {
        let calendar = calendars.iter().find(|calendar| calendar.name() == name);
        let calendar = calendar.ok_or_else(|| InvalidRule::Calendar(name.clone()))?;
        spans.extend_from_slice(calendar.spans());
    }
    Ok(DaySet::new(spans))
}

#[cfg(test)]
#[path = "tests/rule.rs"]
mod tests;
