//! Durations as people write them: `90s`, `10m`, `1h 30m`, `250ms`.

use std::time::Duration;

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration ({reason}); write a number with a unit, like 250ms, 90s, 10m or \"1h 30m\""
)]
pub struct InvalidDuration {
    text: String,
    reason: String,
}

/// Reads a duration such as `250ms`, `90s`, `10m`, `1h 30m` or `2d`.
///
/// A bare number is refused, because its unit would be a guess.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    humantime::parse_duration(text.trim())
        .map_err(|error| InvalidDuration { text: text.to_owned(), reason: error.to_string() })
}

/// Writes a duration for people, rounded to what matters: `12ms`, `3.4s`, `5m 12s`, `2h 3m`, `4d 2h`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |big: u64, unit_big: &str, small: u64, unit_small: &str| {
        if small == 0 {
            format!("{big}{unit_big}")
        } else {
            format!("{big}{unit_big} {small}{unit_small}")
        }
    };
    match seconds {
        0 if duration.is_zero() => "0s".to_owned(),
        0 if duration.as_micros() < 1_000 => format!("{}us", duration.as_micros()),
        0 if duration.as_millis() < 10 => format!("{:.1}ms", duration.as_secs_f64() * 1e3),
        0 => format!("{}ms", duration.as_millis()),
        1..=59 => format!("{:.1}s", duration.as_secs_f64()),
        60..=3_599 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..=86_399 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
#[path = "tests/duration.rs"]
mod tests;
