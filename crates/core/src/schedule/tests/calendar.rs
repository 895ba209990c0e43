use super::*;

fn name() -> Name {
    Name::new("holidays").unwrap()
}

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn plain_dates_are_one_a_line_with_remarks() {
    let text = "# Closed\n2026-12-25\n\n 2026-12-26  # the day after\r\n2026-12-24\n";
    let calendar = Calendar::parse(name(), text).unwrap();
    assert_eq!(calendar.name(), &name());
    let of_dates = ["2026-12-24", "2026-12-25", "2026-12-26"].map(date);
    assert_eq!(calendar, Calendar::of_dates(name(), of_dates));
    assert_eq!(calendar.spans().len(), 1);
    assert!(!calendar.excludes(date("2026-12-23")));
    assert!(calendar.excludes(date("2026-12-24")));
    assert!(calendar.excludes(date("2026-12-26")));
    assert!(!calendar.excludes(date("2026-12-27")));
}

#[test]
fn the_next_free_day_is_behind_the_span() {
    let days = DaySet::new(vec![(20, 21), (5, 7), (8, 9), (6, 6), (30, 30)]);
    let free: Vec<_> = [4, 5, 9, 10, 19, 20, 21, 30, 31].map(|day| days.free_from(day)).into();
    assert_eq!(free, [4, 10, 10, 10, 19, 22, 22, 31, 31]);
    assert_eq!(DaySet::default().free_from(7), 7);
}

#[test]
fn a_text_that_is_no_calendar_is_refused_by_line() {
    let error = Calendar::parse(name(), "2026-12-25\n25.12.2026\n").unwrap_err().to_string();
    assert!(error.contains("\"holidays\" cannot be read: line 2: \"25.12.2026\" is not a date"));
    let long = "#".repeat(CALENDAR_BYTES_MAX + 1);
    let error = Calendar::parse(name(), &long).unwrap_err().to_string();
    assert!(error.contains("at most 1048576 are allowed"), "{error}");
}

#[test]
fn icalendar_is_told_from_plain_dates() {
    let text = "\u{feff}BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261225\r\n\
                END:VEVENT\r\nEND:VCALENDAR\r\n";
    let calendar = Calendar::parse(name(), text).unwrap();
    assert_eq!(calendar, Calendar::of_dates(name(), [date("2026-12-25")]));
    assert_eq!(Calendar::parse(name(), "").unwrap(), Calendar::of_dates(name(), []));
}
