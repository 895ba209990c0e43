use super::*;
use crate::time::Timestamp;

fn window(text: &str) -> Window {
    text.parse().unwrap()
}

/// A wall time: what the text says, read as if it were UTC.
fn wall(text: &str) -> i64 {
    format!("{text}Z").parse::<Timestamp>().unwrap().as_micros() / 1_000_000
}

#[test]
fn a_daily_window_has_its_beginning_and_not_its_end() {
    let office = window("09:00-17:30");
    assert_eq!(office.left(wall("2026-11-21T08:59:59")), None);
    assert_eq!(office.left(wall("2026-11-21T09:00:00")), Some(30_600));
    assert_eq!(office.left(wall("2026-11-21T17:29:59")), Some(1));
    assert_eq!(office.left(wall("2026-11-21T17:30:00")), None);
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    // 2026-11-20 is a Friday.
    let night = window("fri 22:00-06:00");
    assert_eq!(night.left(wall("2026-11-20T05:00:00")), None);
    assert_eq!(night.left(wall("2026-11-20T22:00:00")), Some(8 * 3_600));
    assert_eq!(night.left(wall("2026-11-21T05:00:00")), Some(3_600));
    assert_eq!(night.left(wall("2026-11-21T22:00:00")), None);
    assert_eq!(night.next_begin(wall("2026-11-20T22:00:00")), Some(wall("2026-11-27T22:00:00")));
    assert_eq!(night.next_begin(wall("2026-11-21T00:00:00")), Some(wall("2026-11-27T22:00:00")));
}

#[test]
fn of_several_windows_the_longest_counts() {
    let windows = [window("09:00-12:00"), window("sat,sun 10:00-24:00")];
    assert_eq!(time_left(&windows, wall("2026-11-21T11:00:00")), Some(13 * 3_600));
    assert_eq!(time_left(&windows, wall("2026-11-20T11:00:00")), Some(3_600));
    assert_eq!(time_left(&windows, wall("2026-11-20T12:00:00")), None);
    assert_eq!(
        next_begin(&windows, wall("2026-11-20T12:00:00")),
        Some(wall("2026-11-21T09:00:00"))
    );
    assert_eq!(
        next_begin(&windows, wall("2026-11-21T09:00:00")),
        Some(wall("2026-11-21T10:00:00"))
    );
}

#[test]
fn windows_print_as_they_were_written() {
    for text in ["09:00-17:00", "MON-Fri 22:00-06:00", "sat,sun  00:00-24:00"] {
        assert_eq!(window(&format!(" {text} ")).to_string(), text);
    }
}

#[test]
fn what_is_not_a_window_is_refused_with_an_example() {
    let refused = [
        ("", "it has no end"),
        ("09:00", "it has no end"),
        ("9:00-17:00", "\"9:00\" is not a time of day"),
        ("09:00-24:01", "\"24:01\" is not a time of day"),
        ("09:60-10:00", "\"09:60\" is not a time of day"),
        ("24:00-06:00", "24:00 is an end only"),
        ("09:00-09:00", "it is empty"),
        ("mun 09:00-17:00", "the day-of-week field has \"mun\""),
    ];
    for (text, reason) in refused {
        let error = text.parse::<Window>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert!(error.contains("write one like 09:00-17:00"), "{error}");
    }
}
