//! The days that the events of an iCalendar text touch (RFC 5545).

use std::collections::BTreeSet;

use super::calendar::Span;
use super::civil::{DAY, Date};
use super::recurrence::{Looks, Recurrence};

/// Whether a text means to be iCalendar.
pub(super) fn looks_like_it(text: &str) -> bool {
    let first = text.trim_start().get(..15);
    first.is_some_and(|first| first.eq_ignore_ascii_case("BEGIN:VCALENDAR"))
}

/// The days of all events that are not cancelled. `looks_max` bounds the work on recurring ones.
pub(super) fn read(text: &str, looks_max: u32) -> Result<Vec<Span>, String> {
    let mut looks = Looks::new(looks_max);
    let mut days = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    let mut event = Event::default();
    for (number, line) in unfolded(text) {
        let at_line = |reason: String| format!("line {number}: {reason}");
        let property = Property::read(&line).map_err(at_line)?;
        match property.name.as_str() {
            "BEGIN" => {
                parts.push(property.value.to_ascii_uppercase());
                if parts.last().is_some_and(|part| part == "VEVENT") {
                    event = Event { line: number, ..Event::default() };
                }
            }
            "END" => {
                let ended = parts.pop().filter(|part| property.value.eq_ignore_ascii_case(part));
                let ended = ended.ok_or_else(|| {
                    at_line(format!("END:{} ends nothing that is open", property.value))
                })?;
                if ended == "VEVENT" {
                    let event = std::mem::take(&mut event);
                    let line = event.line;
                    event
                        .add_days(&mut days, &mut looks)
                        .map_err(|reason| format!("the event in line {line}: {reason}"))?;
                }
            }
            _ if parts.last().is_some_and(|part| part == "VEVENT") => {
                event.set(&property).map_err(at_line)?;
            }
            _ => {}
        }
    }
    match parts.last() {
        None => Ok(days),
        Some(open) => Err(format!("it ends before END:{open}; load the whole file")),
    }
}

/// The lines, continued ones put together, with the numbers of their beginnings.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, begun))) => begun.push_str(rest),
            _ if line.trim().is_empty() => {}
            _ => lines.push((index + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

/// `NAME;PARAMETERS:VALUE`.
struct Property {
    name: String,
    value: String,
}

impl Property {
    fn read(line: &str) -> Result<Self, String> {
        let mut quoted = false;
        let colon = line.char_indices().find(|&(_, character)| {
            quoted ^= character == '"';
            character == ':' && !quoted
        });
        let Some((colon, _)) = colon else {
            let shown: String = line.chars().take(40).collect();
            return Err(format!("{shown:?} is not NAME:VALUE"));
        };
        let name = line[..colon].split(';').next().unwrap_or_default().to_ascii_uppercase();
        Ok(Property { name, value: line[colon + 1..].trim().to_owned() })
    }
}

/// What of an event says on which days it is.
#[derive(Default)]
struct Event {
    line: usize,
    start: Option<Moment>,
    end: Option<Moment>,
    /// In seconds.
    duration: Option<i64>,
    recurrence: Option<Recurrence>,
    more: Vec<i64>,
    except: Vec<i64>,
    is_cancelled: bool,
}

impl Event {
    fn set(&mut self, property: &Property) -> Result<(), String> {
        let value = property.value.as_str();
        match property.name.as_str() {
            "DTSTART" => self.start = Some(Moment::read(value)?),
            "DTEND" => self.end = Some(Moment::read(value)?),
            "DURATION" => self.duration = Some(read_duration(value)?),
            "RRULE" if self.recurrence.is_some() => {
                return Err("it has two RRULEs; write two events".to_owned());
            }
            "RRULE" => self.recurrence = Some(Recurrence::read(value)?),
            "EXDATE" => self.except.extend(days_listed(value)?),
            "RDATE" => self.more.extend(days_listed(value)?),
            "STATUS" => self.is_cancelled = value.eq_ignore_ascii_case("CANCELLED"),
            "RECURRENCE-ID" | "EXRULE" => {
                return Err(format!(
                    "{} is not supported; write the changed days as events of their own",
                    property.name
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn add_days(&self, days: &mut Vec<Span>, looks: &mut Looks) -> Result<(), String> {
        if self.is_cancelled {
            return Ok(());
        }
        let start = self.start.ok_or("it has no DTSTART")?;
        let extra = self.last_day(start)? - start.day;
        let mut first_days = match &self.recurrence {
            Some(recurrence) => recurrence.days(start.day, looks)?,
            None => vec![start.day],
        };
        first_days.extend(&self.more);
        let except: BTreeSet<_> = self.except.iter().collect();
        let kept = first_days.iter().filter(|day| !except.contains(day));
        days.extend(kept.map(|&day| (day, day + extra)));
        Ok(())
    }

    /// The last day that the event touches when it begins at `start`.
    fn last_day(&self, start: Moment) -> Result<i64, String> {
        let after = match (self.end, self.duration) {
            (Some(end), _) => end.day * DAY + end.second,
            (None, Some(duration)) => (start.day * DAY + start.second).saturating_add(duration),
            (None, None) => return Ok(start.day),
        };
        // The end is not part of it; but an event without length is on the day where it is.
        let last = (after - 1).div_euclid(DAY).max(start.day);
        if after < start.day * DAY + start.second {
            return Err("it ends before it starts".to_owned());
        }
        if last > start.day + 3_660 {
            return Err("it is longer than ten years".to_owned());
        }
        Ok(last)
    }
}

/// A date, or a date and a time as the file writes it, whatever its zone.
#[derive(Copy, Clone)]
struct Moment {
    day: i64,
    second: i64,
}

impl Moment {
    /// Reads `20261225`, `20261225T090000` or `20261225T090000Z`.
    fn read(text: &str) -> Result<Self, String> {
        let refusal = || {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?} is not a date like 20261225, with or without a time like T090000Z")
        };
        let (date, time) = match text.split_once(['T', 't']) {
            Some((date, time)) => (date, time.trim_end_matches(['Z', 'z'])),
            None => (text, "000000"),
        };
        let day = compact_date(date).ok_or_else(refusal)?.day();
        let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
        let time = match (time.len(), number(0..2), number(2..4), number(4..6)) {
            (6, Some(hour @ 0..24), Some(minute @ 0..60), Some(second @ 0..=60)) => {
                hour * 3_600 + minute * 60 + second.min(59)
            }
            _ => return Err(refusal()),
        };
        Ok(Moment { day, second: time })
    }
}

/// Reads `20261225`.
fn compact_date(text: &str) -> Option<Date> {
    let is_plain = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain {
        return None;
    }
    Date::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?).ok()
}

/// The day of a date or moment, as `UNTIL` has it.
pub(super) fn day_named(text: &str) -> Result<i64, String> {
    Moment::read(text).map(|moment| moment.day)
}

fn days_listed(text: &str) -> Result<Vec<i64>, String> {
    // A period, date/end or date/duration, counts by its beginning.
    text.split(',').map(|item| day_named(item.split('/').next().unwrap_or_default())).collect()
}

/// Reads `P1D`, `P2W`, `PT1H30M` or `P1DT12H`, in seconds.
fn read_duration(text: &str) -> Result<i64, String> {
    let refusal = || format!("{text:?} is not a duration like P1D or PT2H");
    let mut seconds = 0_i64;
    let mut number = String::new();
    let body = text.trim_start_matches('+').strip_prefix('P').ok_or_else(refusal)?;
    for character in body.chars() {
        let unit = match character {
            '0'..='9' if number.len() < 6 => {
                number.push(character);
                continue;
            }
            'T' if number.is_empty() => continue,
            'W' => 7 * DAY,
            'D' => DAY,
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            _ => return Err(refusal()),
        };
        seconds += number.parse::<i64>().map_err(|_| refusal())? * unit;
        number.clear();
    }
    if number.is_empty() && !body.is_empty() { Ok(seconds) } else { Err(refusal()) }
}

#[cfg(test)]
#[path = "tests/icalendar.rs"]
mod tests;
