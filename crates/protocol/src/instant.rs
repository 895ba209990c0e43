//! RFC 3339 instants, quickly: a claim carries three for each job.

use taskwright_core::Timestamp;

const SECONDS_A_DAY: i64 = 86_400;
/// 0001-01-01 and 9999-12-30: between them every instant has the plain form that is written here.
const PLAIN: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_128_000_000_000;

/// Writes what `Timestamp`'s `Display` writes.
pub(crate) fn write(buffer: &mut Vec<u8>, instant: Timestamp) {
    let micros = instant.as_micros();
    if !PLAIN.contains(&micros) {
        return buffer.extend_from_slice(instant.to_string().as_bytes());
    }
    let seconds = micros.div_euclid(1_000_000);
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_A_DAY));
    let second = seconds.rem_euclid(SECONDS_A_DAY);
    write_digits(buffer, year, 4);
    buffer.push(b'-');
    write_digits(buffer, month, 2);
    buffer.push(b'-');
    write_digits(buffer, day, 2);
    buffer.push(b'T');
    write_digits(buffer, second / 3_600, 2);
    buffer.push(b':');
    write_digits(buffer, second / 60 % 60, 2);
    buffer.push(b':');
    write_digits(buffer, second % 60, 2);
    write_fraction(buffer, micros.rem_euclid(1_000_000));
    buffer.push(b'Z');
}

fn write_fraction(buffer: &mut Vec<u8>, micros: i64) {
    if micros == 0 {
        return;
    }
    buffer.push(b'.');
    write_digits(buffer, micros, 6);
    while buffer.last() == Some(&b'0') {
        buffer.pop();
    }
}

fn write_digits(buffer: &mut Vec<u8>, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        buffer.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// An instant on the wire: written by us in the plain form, by others in any that RFC 3339 allows.
#[derive(Clone, Copy)]
pub(crate) struct Instant(pub Timestamp);

impl std::str::FromStr for Instant {
    type Err = <Timestamp as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        plain(text.as_bytes()).map_or_else(|| text.parse(), Ok).map(Instant)
    }
}

/// Reads `2026-11-21T09:30:00Z` with up to six digits of a second; `None`: some other form.
fn plain(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_at_checked(19)?;
    let marks = [head[4], head[7], head[10], head[13], head[16]];
    if marks != *b"--T::" {
        return None;
    }
    let year = digits(&head[0..4])?;
    let month = digits(&head[5..7])?;
    let day = digits(&head[8..10])?;
    let (hour, minute, second) =
        (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..19])?);
    // Days 29 to 31 and leap seconds are left to the calendar of the other reader.
    let in_range = (1..9_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let micros = match tail {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=6).contains(&fraction.len()) => {
            digits(fraction)? * 10_i64.pow(6 - u32::try_from(fraction.len()).ok()?)
        }
        _ => return None,
    };
    let seconds =
        days_from_civil(year, month, day) * SECONDS_A_DAY + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, &byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Howard Hinnant, *chrono-Compatible Low-Level Date Algorithms*, 2021: `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days from 1970-01-01; `days_from_civil` of the same source.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
#[path = "tests/instant.rs"]
mod tests;
