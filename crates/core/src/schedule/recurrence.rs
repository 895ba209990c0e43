//! The RRULE of an event, as far as calendars of whole days need it.

use std::ops::RangeInclusive;

use super::civil::{day_of, days_in_month, weekday, year_month_day};
use super::icalendar::day_named;

/// Recurring events are followed up to the end of this year.
const YEAR_LAST: i64 = 2_199;
const WEEKDAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];

/// How many more days may be looked at while a calendar is read.
pub(super) struct Looks {
    left: u32,
}

impl Looks {
    pub fn new(max: u32) -> Self {
        Looks { left: max }
    }

    fn spend(&mut self, count: i64) -> Result<(), String> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.left = self.left.checked_sub(count).ok_or(
            "the calendar has too many recurring events; give them an UNTIL, or write plain dates",
        )?;
        Ok(())
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
}

/// A rule by which an event recurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recurrence {
    frequency: Frequency,
    interval: i64,
    count: Option<usize>,
    until: Option<i64>,
    months: Vec<i64>,
    /// From 1, or from −1 backwards.
    month_days: Vec<i64>,
    /// Weekday, and which one of the period (from 1, or from −1 backwards); 0 for every one.
    weekdays: Vec<(u32, i64)>,
}

impl Recurrence {
    /// Reads `FREQ=YEARLY;BYMONTH=11;BYDAY=4TH`. Parts that are not supported are refused by name.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut rule = Recurrence {
            frequency: Frequency::Yearly,
            interval: 1,
            count: None,
            until: None,
            months: Vec::new(),
            month_days: Vec::new(),
            weekdays: Vec::new(),
        };
        let mut frequency = None;
        let mut week_start = "MO".to_owned();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("RRULE: {part:?} is not NAME=VALUE"))?;
            match name.to_ascii_uppercase().as_str() {
                "FREQ" => frequency = Some(read_frequency(value)?),
                "INTERVAL" => rule.interval = number(name, value, 1..=10_000)?,
                "COUNT" => rule.count = usize::try_from(number(name, value, 1..=100_000)?).ok(),
                "UNTIL" => rule.until = Some(day_named(value)?),
                "BYMONTH" => rule.months = numbers(name, value, 1..=12)?,
                "BYMONTHDAY" => rule.month_days = numbers(name, value, -31..=31)?,
                "BYDAY" => {
                    rule.weekdays = value.split(',').map(read_weekday).collect::<Result<_, _>>()?;
                }
                "WKST" => week_start = value.to_ascii_uppercase(),
                other => {
                    return Err(format!(
                        "RRULE: {other} is not supported; write the days as plain dates"
                    ));
                }
            }
        }
        rule.frequency = frequency.ok_or("RRULE: it has no FREQ")?;
        rule.check(&week_start)?;
        Ok(rule)
    }

    fn check(&self, week_start: &str) -> Result<(), String> {
        let is_weekly = self.frequency == Frequency::Weekly;
        let has_ordinals = self.weekdays.iter().any(|&(_, nth)| nth != 0);
        let of_days = matches!(self.frequency, Frequency::Weekly | Frequency::Daily);
        if is_weekly && self.interval > 1 && week_start != "MO" {
            return Err("RRULE: WKST other than MO is not supported".to_owned());
        }
        if is_weekly && !self.month_days.is_empty() {
            return Err("RRULE: BYMONTHDAY does not go with FREQ=WEEKLY".to_owned());
        }
        if of_days && has_ordinals {
            return Err("RRULE: a BYDAY with a number goes with FREQ=MONTHLY or YEARLY".to_owned());
        }
        Ok(())
    }

    /// The days on which an event begins that first begins on `start`, in order.
    pub fn days(&self, start: i64, looks: &mut Looks) -> Result<Vec<i64>, String> {
        let last = self.until.unwrap_or(i64::MAX).min(day_of(YEAR_LAST, 12, 31));
        // The first day is always one of them, even where the rule alone would not name it.
        let mut days = vec![start];
        for period in 0.. {
            let Some(spans) = self.period(start, period).filter(|spans| spans[0].0 <= last) else {
                break;
            };
            looks.spend(1)?;
            for (first, end) in spans {
                looks.spend(end - first + 1)?;
                let matching = (first..=end).filter(|&day| self.matches(day, start, first, end));
                days.extend(matching.filter(|&day| day > start && day <= last));
            }
            if self.count.is_some_and(|count| days.len() >= count) {
                break;
            }
        }
        days.truncate(self.count.unwrap_or(usize::MAX));
        Ok(days)
    }

    /// The stretches of days, in order, to look at in a period: a year's months or the whole of it,
    /// a month, a week, a day. Numbers in BYDAY count within a stretch.
    fn period(&self, start: i64, period: i64) -> Option<Vec<(i64, i64)>> {
        let (year, month, _) = year_month_day(start);
        let steps = period.checked_mul(self.interval)?;
        let whole_month = |year: i64, month: i64| {
            let month = u32::try_from(month).unwrap_or(1);
            (day_of(year, month, 1), day_of(year, month, days_in_month(year, month)))
        };
        Some(match self.frequency {
            Frequency::Yearly => {
                let year = year + steps;
                if !self.months.is_empty() {
                    self.months.iter().map(|&month| whole_month(year, month)).collect()
                } else if !self.month_days.is_empty() {
                    (1..=12).map(|month| whole_month(year, month)).collect()
                } else if !self.weekdays.is_empty() {
                    vec![(day_of(year, 1, 1), day_of(year, 12, 31))]
                } else {
                    vec![whole_month(year, i64::from(month))]
                }
            }
            Frequency::Monthly => {
                let months = year * 12 + i64::from(month) - 1 + steps;
                vec![whole_month(months.div_euclid(12), months.rem_euclid(12) + 1)]
            }
            Frequency::Weekly => {
                let monday = start - i64::from((weekday(start) + 6) % 7) + steps * 7;
                vec![(monday, monday + 6)]
            }
            Frequency::Daily => vec![(start + steps, start + steps)],
        })
    }

    fn matches(&self, day: i64, start: i64, first: i64, end: i64) -> bool {
        let (year, month, of_month) = year_month_day(day);
        let month_fits = self.months.is_empty() || self.months.contains(&i64::from(month));
        let back = i64::from(of_month) - i64::from(days_in_month(year, month)) - 1;
        let named = |of_month: u32| {
            self.month_days.contains(&i64::from(of_month)) || self.month_days.contains(&back)
        };
        let same_as_start = match self.frequency {
            Frequency::Yearly | Frequency::Monthly => of_month == year_month_day(start).2,
            Frequency::Weekly => weekday(day) == weekday(start),
            Frequency::Daily => true,
        };
        let day_fits = match (self.month_days.is_empty(), self.weekdays.is_empty()) {
            (true, true) => same_as_start,
            (of_month_empty, of_week_empty) => {
                (of_month_empty || named(of_month))
                    && (of_week_empty || self.weekday_fits(day, first, end))
            }
        };
        month_fits && day_fits
    }

    fn weekday_fits(&self, day: i64, first: i64, end: i64) -> bool {
        self.weekdays.iter().any(|&(wanted, nth)| {
            let from_first = (day - first) / 7 + 1;
            let from_end = -((end - day) / 7 + 1);
            weekday(day) == wanted && (nth == 0 || nth == from_first || nth == from_end)
        })
    }
}

fn read_frequency(text: &str) -> Result<Frequency, String> {
    match text.to_ascii_uppercase().as_str() {
        "YEARLY" => Ok(Frequency::Yearly),
        "MONTHLY" => Ok(Frequency::Monthly),
        "WEEKLY" => Ok(Frequency::Weekly),
        "DAILY" => Ok(Frequency::Daily),
        other => Err(format!(
            "RRULE: FREQ={other} is not supported; YEARLY, MONTHLY, WEEKLY and DAILY are"
        )),
    }
}

/// Reads `MO`, `4TH` or `-1SU`.
fn read_weekday(text: &str) -> Result<(u32, i64), String> {
    let refusal = || format!("RRULE: {text:?} is not a day like MO, 4TH or -1SU in BYDAY");
    let split = text.len().checked_sub(2).filter(|&at| text.is_char_boundary(at));
    let (nth, name) = text.split_at(split.ok_or_else(refusal)?);
    let weekday = WEEKDAYS.iter().position(|weekday| weekday.eq_ignore_ascii_case(name));
    let weekday = weekday.and_then(|index| u32::try_from(index).ok()).ok_or_else(refusal)?;
    match nth {
        "" => Ok((weekday, 0)),
        nth => match number("BYDAY", nth, -53..=53)? {
            0 => Err(refusal()),
            nth => Ok((weekday, nth)),
        },
    }
}

fn number(name: &str, text: &str, allowed: RangeInclusive<i64>) -> Result<i64, String> {
    let parsed = text.parse().ok().filter(|number| allowed.contains(number));
    parsed.ok_or_else(|| {
        format!("RRULE: {name} has {text:?}, and allowed are {allowed:?}").replace("..=", " to ")
    })
}

fn numbers(name: &str, text: &str, allowed: RangeInclusive<i64>) -> Result<Vec<i64>, String> {
    let mut numbers: Vec<_> = text
        .split(',')
        .map(|item| number(name, item, allowed.clone()))
        .collect::<Result<_, _>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
#[path = "tests/recurrence.rs"]
mod tests;
