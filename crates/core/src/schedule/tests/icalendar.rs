use super::*;

/// The days of a calendar with one event of these lines, as dates.
fn days(lines: &str) -> Result<Vec<String>, String> {
    let body: Vec<_> = lines.lines().map(str::trim).collect();
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        body.join("\r\n")
    );
    Ok(dates(&read(&text, 100_000)?))
}

fn dates(spans: &[Span]) -> Vec<String> {
    let days = spans.iter().flat_map(|&(first, last)| first..=last);
    days.map(|day| {
        let (year, month, day) = super::super::civil::year_month_day(day);
        format!("{year}-{month:02}-{day:02}")
    })
    .collect()
}

#[test]
fn an_event_excludes_the_days_that_it_touches() {
    let touched = [
        ("DTSTART;VALUE=DATE:20261225", vec!["2026-12-25"]),
        (
            "DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227",
            vec!["2026-12-25", "2026-12-26"],
        ),
        ("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261225", vec!["2026-12-25"]),
        ("DTSTART:20261225T220000Z\nDTEND:20261226T010000Z", vec!["2026-12-25", "2026-12-26"]),
        ("DTSTART:20261225T220000\nDTEND:20261226T000000", vec!["2026-12-25"]),
        ("DTSTART;TZID=\"Etc/Odd:Name\":20261225T220000\nDURATION:PT2H", vec!["2026-12-25"]),
        ("DTSTART;VALUE=DATE:20261225\nDURATION:P2D", vec!["2026-12-25", "2026-12-26"]),
        ("DTSTART;VALUE=DATE:20261225\nSTATUS:CANCELLED", vec![]),
    ];
    for (lines, expected) in touched {
        assert_eq!(days(lines).unwrap(), expected, "{lines}");
    }
}

#[test]
fn recurring_events_have_exceptions_and_additions() {
    let lines = "DTSTART;VALUE=DATE:20241225
        RRULE:FREQ=YEARLY;COUNT=4
        EXDATE;VALUE=DATE:20251225,20261225
        RDATE;VALUE=DATE:20260101";
    assert_eq!(days(lines).unwrap(), ["2024-12-25", "2027-12-25", "2026-01-01"]);
}

#[test]
fn other_components_and_folded_lines_are_read_as_they_are_meant() {
    let text = "BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nBEGIN:STANDARD\nDTSTART:19701025T030000\n\
                RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\nEND:STANDARD\nEND:VTIMEZONE\n\
                BEGIN:VEVENT\nSUMMARY:A long one: with\n  a tail\nDTSTART;VALUE=DA\n\tTE:20261225\n\
                BEGIN:VALARM\nDURATION:PT15M\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n";
    assert_eq!(dates(&read(text, 1_000).unwrap()), ["2026-12-25"]);
}

#[test]
fn what_cannot_be_followed_is_refused_by_name_and_line() {
    let refused = [
        ("SUMMARY:x", "the event in line 3: it has no DTSTART"),
        ("DTSTART:2026-12-25", "line 4: \"2026-12-25\" is not a date like 20261225"),
        ("DTSTART:20260229", "is not a date"),
        ("DTSTART:20261225T250000", "is not a date"),
        ("DTSTART:20261225\nDTEND:20261224", "it ends before it starts"),
        ("DTSTART:20261225\nDTEND:20991224", "it is longer than ten years"),
        ("DTSTART:20261225\nRRULE:FREQ=HOURLY", "RRULE: FREQ=HOURLY is not supported"),
        ("DTSTART:20261225\nRECURRENCE-ID:20261225", "RECURRENCE-ID is not supported"),
        ("DTSTART:20261225\nDURATION:2 days", "is not a duration like P1D"),
        ("DTSTART:20261225\nDURATION:P", "is not a duration like P1D"),
        ("nonsense", "line 4: \"nonsense\" is not NAME:VALUE"),
        ("END:VALARM", "line 4: END:VALARM ends nothing that is open"),
    ];
    for (lines, reason) in refused {
        let error = days(lines).unwrap_err();
        assert!(error.contains(reason), "{lines}: {error}");
    }
    let error = read("BEGIN:VCALENDAR\nBEGIN:VEVENT\n", 10).unwrap_err();
    assert!(error.contains("it ends before END:VEVENT"), "{error}");
}

#[test]
fn recurring_events_are_followed_within_bounds() {
    let error = days("DTSTART:17000101\nRRULE:FREQ=DAILY").unwrap_err();
    assert!(error.contains("too many recurring events; give them an UNTIL"), "{error}");
}
