//! Calendars of excluded days.

use std::sync::Arc;

use super::civil::Date;
use super::icalendar;
use crate::limits::{CALENDAR_BYTES_MAX, CALENDAR_LOOKS_MAX};
use crate::name::Name;

/// A named set of days on which schedules that name it do not tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    name: Name,
    days: DaySet,
}

/// A text that is not a calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the calendar {calendar:?} cannot be read: {reason}")]
pub struct InvalidCalendar {
    calendar: String,
    reason: String,
}

impl Calendar {
    /// The calendar of these dates.
    pub fn of_dates(name: Name, dates: impl IntoIterator<Item = Date>) -> Self {
        let days = dates.into_iter().map(|date| (date.day(), date.day())).collect();
        Calendar { name, days: DaySet::new(days) }
    }

    /// Reads a calendar of at most [`CALENDAR_BYTES_MAX`] bytes: either one date in each line, where
    /// `#` begins a remark, or iCalendar (RFC 5545), of which each event excludes the days that it
    /// touches. Recurring events are followed up to the end of the year 2199.
    pub fn parse(name: Name, text: &str) -> Result<Self, InvalidCalendar> {
        let text = text.trim_start_matches('\u{feff}');
        let read = if text.len() > CALENDAR_BYTES_MAX {
            Err(format!(
                "it has {} bytes, and at most {CALENDAR_BYTES_MAX} are allowed",
                text.len()
            ))
        } else if icalendar::looks_like_it(text) {
            icalendar::read(text, CALENDAR_LOOKS_MAX)
        } else {
            read_dates(text)
        };
        match read {
            Ok(days) => Ok(Calendar { name, days: DaySet::new(days) }),
            Err(reason) => Err(InvalidCalendar { calendar: name.to_string(), reason }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether a day is excluded.
    pub fn excludes(&self, date: Date) -> bool {
        self.days.free_from(date.day()) != date.day()
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.days.spans
    }
}

fn read_dates(text: &str) -> Result<Vec<Span>, String> {
    let mut days = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let date = line.split('#').next().unwrap_or_default().trim();
        if !date.is_empty() {
            let date: Date =
                date.parse().map_err(|error| format!("line {}: {error}", index + 1))?;
            days.push((date.day(), date.day()));
        }
    }
    Ok(days)
}

/// Days from the first to the last, both included.
pub(super) type Span = (i64, i64);

/// Days as spans in order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DaySet {
    spans: Arc<[Span]>,
}

impl DaySet {
    pub fn new(mut spans: Vec<Span>) -> Self {
        spans.sort_unstable();
        let mut apart: Vec<Span> = Vec::new();
        for (first, last) in spans {
            match apart.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => apart.push((first, last)),
            }
        }
        DaySet { spans: apart.into() }
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The first day that is not in the set, from `day` on.
    pub fn free_from(&self, day: i64) -> i64 {
        let index = self.spans.partition_point(|&(_, last)| last < day);
        match self.spans.get(index) {
            Some(&(first, last)) if first <= day => last + 1,
            _ => day,
        }
    }
}

#[cfg(test)]
#[path = "tests/calendar.rs"]
mod tests;
