//! Cron expressions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::civil::{DAY, YEAR_MAX, day_of, year_month_day};
use super::days::Days;
use super::field::{HOUR, MINUTE, MONTH, SECOND};
use super::zone::Zone;
use crate::duration::parse_duration;
use crate::limits::{CRON_BYTES_MAX, INTERVAL_MAX, INTERVAL_MIN};

/// A cron expression: five fields, six with seconds first, or a word such as `@daily` or
/// `@every 90s`. `docs/schedules.md` describes the dialect. Prints as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: Arc<str>,
    beat: Beat,
}

/// What an expression means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// A tick each so often, whatever clocks show.
    Every(Duration),
    /// A tick where a wall clock shows what the fields say.
    Fields(Arc<Fields>),
}

/// The fields of an expression, as sets of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    /// The hour field is `*` or `*/n`: each real second counts. Otherwise the hours are fixed, and
    /// each time of a day counts once.
    every_hour: bool,
}

/// A text that is not a cron expression, or one that is never due.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a usable cron expression: {reason}")]
pub struct InvalidCron {
    text: String,
    reason: String,
}

const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Cron {
    /// Reads an expression of at most [`CRON_BYTES_MAX`] bytes. One that can never be due, such as
    /// `0 0 31 2 *`, is an error.
    pub fn parse(text: &str) -> Result<Self, InvalidCron> {
        let text = text.trim();
        let beat = read(text).map_err(|reason| InvalidCron {
            text: text.chars().take(CRON_BYTES_MAX).collect(),
            reason,
        })?;
        Ok(Cron { text: text.into(), beat })
    }

    /// The expression as it was written, without spaces around it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn beat(&self) -> &Beat {
        &self.beat
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        Cron::parse(text)
    }
}

fn read(text: &str) -> Result<Beat, String> {
    if text.len() > CRON_BYTES_MAX {
        return Err(format!(
            "it has {} bytes, and at most {CRON_BYTES_MAX} are allowed",
            text.len()
        ));
    }
    if let Some(every) = text.strip_prefix("@every ") {
        return read_every(every).map(Beat::Every);
    }
    let known = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    let fields = match known {
        Some((_, fields)) => Fields::parse(fields)?,
        None if text.starts_with('@') => {
            let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
            return Err(format!("known words are {} and @every 90s", words.join(", ")));
        }
        None => Fields::parse(text)?,
    };
    Ok(Beat::Fields(Arc::new(fields)))
}

fn read_every(text: &str) -> Result<Duration, String> {
    let every = parse_duration(text).map_err(|error| error.to_string())?;
    check_interval(every)?;
    Ok(every)
}

/// Refuses an interval that is too short or too long.
pub(super) fn check_interval(every: Duration) -> Result<(), String> {
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&every) {
        return Ok(());
    }
    let days = INTERVAL_MAX.as_secs() / 86_400;
    Err(format!("intervals are {}s to {days}d", INTERVAL_MIN.as_secs()))
}

impl Fields {
    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split_ascii_whitespace().collect();
        let (second, [minute, hour, of_month, month, of_week]) = match parts[..] {
            [minute, hour, of_month, month, of_week] => {
                ("0", [minute, hour, of_month, month, of_week])
            }
            [second, minute, hour, of_month, month, of_week] => {
                (second, [minute, hour, of_month, month, of_week])
            }
            _ => {
                return Err(format!(
                    "it has {} fields; write 5 (minute, hour, day-of-month, month, day-of-week), \
                     or 6 with seconds first",
                    parts.len()
                ));
            }
        };
        let fields = Fields {
            seconds: SECOND.set(second)?,
            minutes: MINUTE.set(minute)?,
            hours: HOUR.set(hour)?,
            months: MONTH.set(month)?,
            days: Days::parse(of_month, of_week)?,
            every_hour: hour == "*" || (hour.starts_with("*/") && !hour.contains(',')),
        };
        fields.check_due()?;
        Ok(fields)
    }

    fn check_due(&self) -> Result<(), String> {
        let is_due = (1..=12).any(|month| has(self.months, month) && self.days.occur_in(month));
        if is_due {
            return Ok(());
        }
        Err("it is never due, because none of its months has such a day; correct the day or the \
             month"
            .to_owned())
    }

    /// The first tick later than `after`; both in seconds since the Unix epoch.
    pub fn next_after(&self, after: i64, zone: &Zone) -> Option<i64> {
        if self.every_hour { self.next_elapsed(after, zone) } else { self.next_fixed(after, zone) }
    }

    /// Every real second whose wall time matches.
    fn next_elapsed(&self, after: i64, zone: &Zone) -> Option<i64> {
        let mut from = after.checked_add(1)?;
        loop {
            let offset = zone.offset(from);
            let tick = self.next_wall(from + offset)? - offset;
            let Some(change) = zone.change_after(from).filter(|&change| change <= tick) else {
                return Some(tick);
            };
            // Up to the change nothing matches. What it repeats might; but where it is far from
            // here it only repeats what was looked at.
            let far = change - from > 2 * DAY;
            from = if far { change.max(tick - 2 * DAY) } else { change };
        }
    }

    /// Each wall time that matches, once: the first where a clock shows it twice, and where it is
    /// never shown, the instant at which the clock leaves it out.
    fn next_fixed(&self, after: i64, zone: &Zone) -> Option<i64> {
        let mut from = after.checked_add(zone.offset(after))?.checked_add(1)?;
        loop {
            let wall = self.next_wall(from)?;
            let tick = zone.first_at(wall)?;
            if tick > after {
                return Some(tick);
            }
            // The clock was put back, and has not yet shown all of its hour again.
            from = zone.shown_again_until(wall).unwrap_or(wall + 1).max(wall + 1);
        }
    }

    /// The first wall time that matches, from `from` on.
    fn next_wall(&self, from: i64) -> Option<i64> {
        let (today, second) = (from.div_euclid(DAY), from.rem_euclid(DAY));
        let mut day = self.next_day(today)?;
        if day == today {
            if let Some(second) = self.next_second(second) {
                return Some(day * DAY + second);
            }
            day = self.next_day(today + 1)?;
        }
        Some(day * DAY + self.next_second(0)?)
    }

    /// The first day that matches, from `from` on.
    fn next_day(&self, from: i64) -> Option<i64> {
        let (mut year, mut month, mut first) = year_month_day(from);
        while year <= YEAR_MAX {
            if has(self.months, month) {
                let day = next_in(self.days.in_month(year, month), first);
                if let Some(day) = day {
                    return Some(day_of(year, month, day));
                }
            }
            (year, month, first) =
                if month == 12 { (year + 1, 1, 1) } else { (year, month + 1, 1) };
        }
        None
    }

    /// The first second of a day that matches, from `from` on.
    fn next_second(&self, from: i64) -> Option<i64> {
        let (hour, minute, second) = hour_minute_second(from);
        let first_minute = next_in(self.minutes, 0)?;
        let first_second = next_in(self.seconds, 0)?;
        let in_this_minute = || {
            let here = has(self.hours, hour) && has(self.minutes, minute);
            let second = next_in(self.seconds, second).filter(|_| here)?;
            Some((hour, minute, second))
        };
        let in_this_hour = || {
            let minute = next_in(self.minutes, minute + 1).filter(|_| has(self.hours, hour))?;
            Some((hour, minute, first_second))
        };
        let later = || Some((next_in(self.hours, hour + 1)?, first_minute, first_second));
        let (hour, minute, second) = in_this_minute().or_else(in_this_hour).or_else(later)?;
        Some(i64::from(hour * 3_600 + minute * 60 + second))
    }
}

fn hour_minute_second(second_of_day: i64) -> (u32, u32, u32) {
    let seconds = u32::try_from(second_of_day).unwrap_or(0);
    (seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

/// The smallest number of a set that is not below `from` (less than 64).
fn next_in(set: u64, from: u32) -> Option<u32> {
    let rest = set & (u64::MAX << from);
    if rest == 0 { None } else { Some(rest.trailing_zeros()) }
}

#[cfg(test)]
#[path = "tests/cron.rs"]
mod tests;
