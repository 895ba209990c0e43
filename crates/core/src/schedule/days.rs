//! The two day fields of a cron expression, and which days of a month they mean together.

use super::civil::{day_of, days_in_month, weekday};
use super::field::{DAY_OF_MONTH, DAY_OF_WEEK, plain_number};

const SATURDAY: u32 = 6;
const EVERY_WEEKDAY: u64 = 0b111_1111;

/// Day of month and day of week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    of_month: DaysOfMonth,
    of_week: DaysOfWeek,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DaysOfMonth {
    restricted: bool,
    /// Bit n: day n.
    dates: u64,
    /// Bit n: the day n days before the last.
    before_last: u64,
    /// Bit n: the day from Monday to Friday nearest to day n.
    near: u64,
    /// The last day from Monday to Friday.
    last_weekday: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DaysOfWeek {
    restricted: bool,
    /// Bit n: every weekday n, where 0 is Sunday.
    every: u64,
    /// Bit n: the last weekday n of the month.
    last: u64,
    /// Of entry k, bit n: the (k + 1)th weekday n of the month.
    nth: [u64; 5],
}

/// A month, as far as its days go.
#[derive(Copy, Clone)]
struct Month {
    length: u32,
    /// The weekday of its first day.
    first: u32,
}

impl Days {
    pub fn parse(of_month: &str, of_week: &str) -> Result<Self, String> {
        let days =
            Days { of_month: DaysOfMonth::parse(of_month)?, of_week: DaysOfWeek::parse(of_week)? };
        Ok(days)
    }

    /// The days of a month, as bits; bit 1 is its first day.
    pub fn in_month(&self, year: i64, month: u32) -> u64 {
        let first = weekday(day_of(year, month, 1));
        self.matching(Month { length: days_in_month(year, month), first })
    }

    /// Whether there is a year in which a month has one of the days.
    pub fn occur_in(&self, month: u32) -> bool {
        // In 400 years each month, and February of either length, begins on every weekday.
        let lengths = [days_in_month(2001, month), days_in_month(2000, month)];
        let months = lengths.iter().flat_map(|&length| (0..7).map(move |first| (length, first)));
        months.into_iter().any(|(length, first)| self.matching(Month { length, first }) != 0)
    }

    /// Both fields must agree; but where both are restricted, either is enough (Vixie's cron).
    fn matching(&self, month: Month) -> u64 {
        let (of_month, of_week) = (self.of_month.in_month(month), self.of_week.in_month(month));
        if self.of_month.restricted && self.of_week.restricted {
            of_month | of_week
        } else {
            of_month & of_week
        }
    }
}

/// As in Vixie's cron, a field that begins with a star restricts nothing, even `*/2`.
fn is_restricted(text: &str) -> bool {
    !text.starts_with(['*', '?'])
}

impl DaysOfMonth {
    fn parse(text: &str) -> Result<Self, String> {
        let mut days = DaysOfMonth { restricted: is_restricted(text), ..DaysOfMonth::default() };
        if text == "?" {
            days.dates = DAY_OF_MONTH.item("*")?;
            return Ok(days);
        }
        for item in text.split(',') {
            days.add(item, &item.to_ascii_uppercase())?;
        }
        Ok(days)
    }

    fn add(&mut self, item: &str, upper: &str) -> Result<(), String> {
        if upper == "L" {
            self.before_last |= 1;
        } else if upper == "LW" {
            self.last_weekday = true;
        } else if let Some(back) = upper.strip_prefix("L-") {
            let back = plain_number(back).filter(|back| (1..=30).contains(back));
            self.before_last |= 1 << back.ok_or_else(|| refusal(item))?;
        } else if let Some(near) = upper.strip_suffix('W') {
            self.near |= 1 << DAY_OF_MONTH.number(item, near)?;
        } else {
            self.dates |= DAY_OF_MONTH.item(item)?;
        }
        Ok(())
    }

    fn in_month(&self, month: Month) -> u64 {
        let mut days = self.dates & month.all();
        days |= bits(self.before_last).filter_map(|back| month.back(back)).fold(0, with);
        days |= bits(self.near).filter_map(|day| month.weekday_near(day)).fold(0, with);
        if self.last_weekday {
            days |= month.weekday_near(month.length).map_or(0, |day| with(0, day));
        }
        days
    }
}

impl DaysOfWeek {
    fn parse(text: &str) -> Result<Self, String> {
        let mut days = DaysOfWeek { restricted: is_restricted(text), ..DaysOfWeek::default() };
        if text == "?" {
            days.every = DAY_OF_WEEK.item("*")?;
        } else {
            text.split(',').try_for_each(|item| days.add(item))?;
        }
        days.every = sunday_as_0(days.every);
        Ok(days)
    }

    fn add(&mut self, item: &str) -> Result<(), String> {
        if item.eq_ignore_ascii_case("L") {
            return Err("the day-of-week field has \"L\", which needs its weekday; write 6L for \
                        the last Saturday of the month, or SAT for every one"
                .to_owned());
        }
        if let Some((day, nth)) = item.split_once('#') {
            let nth = plain_number(nth).filter(|nth| (1..=5).contains(nth));
            let index = usize::try_from(nth.ok_or_else(|| week_refusal(item))? - 1).unwrap_or(0);
            self.nth[index] |= sunday_as_0(1 << DAY_OF_WEEK.number(item, day)?);
        } else if let Some(day) = item.strip_suffix(['L', 'l']) {
            self.last |= sunday_as_0(1 << DAY_OF_WEEK.number(item, day)?);
        } else {
            self.every |= DAY_OF_WEEK.item(item)?;
        }
        Ok(())
    }

    fn in_month(&self, month: Month) -> u64 {
        if self.every == EVERY_WEEKDAY {
            return month.all();
        }
        let (every, last, nth) = (self.every, self.last, self.nth);
        let matches = |day: &u32| {
            let weekday = 1 << month.weekday(*day);
            let is_last = *day + 7 > month.length;
            let index = usize::try_from((*day - 1) / 7).unwrap_or(0);
            every & weekday != 0 || (is_last && last & weekday != 0) || nth[index] & weekday != 0
        };
        (1..=month.length).filter(matches).fold(0, with)
    }
}

impl Month {
    fn all(self) -> u64 {
        (1 << (self.length + 1)) - 2
    }

    fn weekday(self, day: u32) -> u32 {
        (self.first + day - 1) % 7
    }

    /// The day `back` days before the last one.
    fn back(self, back: u32) -> Option<u32> {
        self.length.checked_sub(back).filter(|&day| day > 0)
    }

    /// The day from Monday to Friday nearest to `day`, in this month.
    fn weekday_near(self, day: u32) -> Option<u32> {
        if day > self.length {
            return None;
        }
        Some(match self.weekday(day) {
            SATURDAY if day == 1 => 3,
            SATURDAY => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        })
    }
}

fn refusal(item: &str) -> String {
    format!("the day-of-month field has {item:?}, and allowed are {}", DAY_OF_MONTH.allowed)
}

fn week_refusal(item: &str) -> String {
    format!("the day-of-week field has {item:?}, and allowed are {}", DAY_OF_WEEK.allowed)
}

/// Sunday is 0 and 7 in expressions, and 0 here.
pub(super) fn sunday_as_0(set: u64) -> u64 {
    (set | (set >> 7 & 1)) & EVERY_WEEKDAY
}

fn with(set: u64, number: u32) -> u64 {
    set | 1 << number
}

fn bits(set: u64) -> impl Iterator<Item = u32> {
    let not_empty = |set: u64| if set == 0 { None } else { Some(set) };
    let sets = std::iter::successors(not_empty(set), move |set| not_empty(set & (set - 1)));
    sets.map(u64::trailing_zeros)
}

#[cfg(test)]
#[path = "tests/days.rs"]
mod tests;
