//! Daily and weekly windows in which ticks count.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::civil::{DAY, weekday};
use super::days::sunday_as_0;
use super::field::{DAY_OF_WEEK, plain_number};

const MINUTES_OF_DAY: i64 = 24 * 60;

/// A time of day, on some or all days of the week: `09:00-17:00`, `mon-fri 09:00-17:00`,
/// `sat,sun 22:00-06:00`. Its end is not in it. One whose end is not after its beginning goes on
/// into the next day. Prints as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    text: Arc<str>,
    /// Bit n: it begins on weekday n, where 0 is Sunday.
    weekdays: u64,
    /// In seconds from midnight of the day on which it begins.
    from: i64,
    until: i64,
}

/// A text that is not a window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a window ({reason}); write one like 09:00-17:00 or mon-fri 22:00-06:00")]
pub struct InvalidWindow {
    text: String,
    reason: String,
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let text = text.trim();
        read(text).map_err(|reason| InvalidWindow { text: text.chars().take(80).collect(), reason })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn read(text: &str) -> Result<Window, String> {
    let (weekdays, times) = match text.split_once(char::is_whitespace) {
        Some((weekdays, times)) => (DAY_OF_WEEK.set(weekdays)?, times.trim_start()),
        None => (DAY_OF_WEEK.item("*")?, text),
    };
    let (from, until) = times.split_once('-').ok_or("it has no end")?;
    let (from, until) = (minute_of_day(from)?, minute_of_day(until)?);
    if from == MINUTES_OF_DAY {
        return Err("24:00 is an end only".to_owned());
    }
    if from == until {
        return Err("it is empty; a whole day is 00:00-24:00".to_owned());
    }
    let until = if until > from { until } else { until + MINUTES_OF_DAY };
    Ok(Window {
        text: text.into(),
        weekdays: sunday_as_0(weekdays),
        from: from * 60,
        until: until * 60,
    })
}

fn minute_of_day(text: &str) -> Result<i64, String> {
    let number = |part: &str| plain_number(part).filter(|_| part.len() == 2).map(i64::from);
    let time = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute) = (number(hour)?, number(minute)?);
        let is_time = hour < 24 && minute < 60 || (hour, minute) == (24, 0);
        is_time.then_some(hour * 60 + minute)
    });
    time.ok_or_else(|| format!("{text:?} is not a time of day like 09:00"))
}

impl Window {
    fn begins_on(&self, day: i64) -> bool {
        self.weekdays >> weekday(day) & 1 == 1
    }

    /// How many seconds of it are left at a wall time; `None` outside.
    fn left(&self, wall: i64) -> Option<i64> {
        let (today, second) = (wall.div_euclid(DAY), wall.rem_euclid(DAY));
        let since = |days_ago: i64| {
            let second = second + days_ago * DAY;
            let is_in =
                self.begins_on(today - days_ago) && (self.from..self.until).contains(&second);
            is_in.then_some(self.until - second)
        };
        since(0).max(since(1))
    }

    /// The first wall time later than `wall` at which it begins.
    fn next_begin(&self, wall: i64) -> Option<i64> {
        let today = wall.div_euclid(DAY);
        let begins = (today..=today + 7).filter(|&day| self.begins_on(day));
        begins.map(|day| day * DAY + self.from).find(|&begin| begin > wall)
    }
}

/// The longest time that any of the windows leaves at a wall time, in seconds; `None` outside all.
pub(super) fn time_left(windows: &[Window], wall: i64) -> Option<i64> {
    windows.iter().filter_map(|window| window.left(wall)).max()
}

/// The first wall time later than `wall` at which a window begins.
pub(super) fn next_begin(windows: &[Window], wall: i64) -> Option<i64> {
    windows.iter().filter_map(|window| window.next_begin(wall)).min()
}

#[cfg(test)]
#[path = "tests/window.rs"]
mod tests;
