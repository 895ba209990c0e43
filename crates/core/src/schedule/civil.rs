//! Dates, and days and seconds as a wall clock shows them.
//!
//! A *wall* time is a number of seconds: what `1970-01-01T00:00:00Z` plus so many seconds looks like
//! on a clock that is never put forward or back. A *day* is a wall time's number of whole days.

use std::fmt;
use std::str::FromStr;

/// Seconds in a day of a clock that is never changed.
pub(super) const DAY: i64 = 86_400;
/// The last year that schedules know.
pub(super) const YEAR_MAX: i64 = 9_999;

/// A date of the Gregorian calendar, in the years 1 to 9999.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    day: i64,
}

/// A text or three numbers that are not a date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date; write one that exists, like 2026-12-25")]
pub struct InvalidDate(String);

impl Date {
    /// The date of a year (1 to 9999), month (1 to 12) and day (from 1); an error where there is no
    /// such day.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, InvalidDate> {
        let (y, m, d) = (i64::from(year), u32::from(month), u32::from(day));
        let exists = (1..=YEAR_MAX).contains(&y)
            && (1..=12).contains(&m)
            && (1..=days_in_month(y, m)).contains(&d);
        if exists {
            Ok(Date { day: day_of(y, m, d) })
        } else {
            Err(InvalidDate(format!("{year:04}-{month:02}-{day:02}")))
        }
    }

    /// Days since 1970-01-01.
    pub(super) fn day(self) -> i64 {
        self.day
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = year_month_day(self.day);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Date {
    type Err = InvalidDate;

    /// Reads `2026-12-25`.
    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let digits = |part: &str, count: usize| {
            let fine = part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
            if fine { part.parse::<u16>().ok() } else { None }
        };
        let parts: Vec<_> = text.splitn(3, '-').collect();
        let date = match parts[..] {
            [year, month, day] => (|| {
                let month = u8::try_from(digits(month, 2)?).ok()?;
                let day = u8::try_from(digits(day, 2)?).ok()?;
                Date::new(digits(year, 4)?, month, day).ok()
            })(),
            _ => None,
        };
        date.ok_or_else(|| InvalidDate(text.chars().take(40).collect()))
    }
}

/// The weekday of a day; 0 is Sunday.
pub(super) fn weekday(day: i64) -> u32 {
    // 1970-01-01 was a Thursday.
    u32::try_from((day + 4).rem_euclid(7)).unwrap_or(0)
}

pub(super) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to a date (Howard Hinnant, *chrono-compatible low-level date algorithms*).
pub(super) fn day_of(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = i64::from((month + 9) % 12);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`day_of`].
pub(super) fn year_month_day(day: i64) -> (i64, u32, u32) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day_of_month).unwrap_or(1))
}

#[cfg(test)]
#[path = "tests/civil.rs"]
mod tests;
