use super::super::civil::Date;
use super::*;

fn day(text: &str) -> i64 {
    text.parse::<Date>().unwrap().day()
}

/// The first days of a rule.
fn days(rule: &str, start: &str, count: usize) -> Vec<String> {
    let rule = Recurrence::read(rule).unwrap();
    let days = rule.days(day(start), &mut Looks::new(2_000_000)).unwrap();
    days.iter()
        .take(count)
        .map(|&day| {
            let (year, month, day) = year_month_day(day);
            format!("{year}-{month:02}-{day:02}")
        })
        .collect()
}

#[test]
fn yearly_rules_name_dates_and_weekdays() {
    assert_eq!(days("FREQ=YEARLY", "2024-12-25", 2), ["2024-12-25", "2025-12-25"]);
    assert_eq!(days("FREQ=YEARLY", "2024-02-29", 3), ["2024-02-29", "2028-02-29", "2032-02-29"]);
    assert_eq!(
        days("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "2024-11-28", 3),
        ["2024-11-28", "2025-11-27", "2026-11-26"]
    );
    assert_eq!(
        days("FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO", "2024-05-27", 2),
        ["2024-05-27", "2025-05-26"]
    );
    assert_eq!(
        days("FREQ=YEARLY;BYMONTH=7,1;BYMONTHDAY=1,-1;COUNT=5", "2026-01-01", 9),
        ["2026-01-01", "2026-01-31", "2026-07-01", "2026-07-31", "2027-01-01"]
    );
    assert_eq!(days("FREQ=YEARLY;BYDAY=20MO", "2026-05-18", 2), ["2026-05-18", "2027-05-17"]);
    assert_eq!(
        days("FREQ=YEARLY;INTERVAL=2;UNTIL=20301225T000000Z", "2026-12-25", 9),
        ["2026-12-25", "2028-12-25", "2030-12-25"]
    );
    // A Friday the 13th of any month.
    assert_eq!(
        days("FREQ=YEARLY;BYDAY=FR;BYMONTHDAY=13", "2026-02-13", 3),
        ["2026-02-13", "2026-03-13", "2026-11-13"]
    );
}

#[test]
fn monthly_weekly_and_daily_rules_repeat_too() {
    assert_eq!(days("FREQ=MONTHLY", "2026-01-31", 3), ["2026-01-31", "2026-03-31", "2026-05-31"]);
    assert_eq!(
        days("FREQ=MONTHLY;INTERVAL=2;BYDAY=2TU", "2026-11-10", 2),
        ["2026-11-10", "2027-01-12"]
    );
    assert_eq!(
        days("FREQ=WEEKLY;BYDAY=SA,SU", "2026-11-21", 3),
        ["2026-11-21", "2026-11-22", "2026-11-28"]
    );
    assert_eq!(
        days("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2026-11-19", 3),
        ["2026-11-19", "2026-11-30", "2026-12-14"]
    );
    assert_eq!(
        days("FREQ=DAILY;INTERVAL=10;BYMONTH=12", "2026-11-21", 4),
        ["2026-11-21", "2026-12-01", "2026-12-11", "2026-12-21"]
    );
}

#[test]
fn rules_end_with_the_year_2199() {
    let all = days("FREQ=YEARLY", "2026-12-25", 1_000);
    assert_eq!((all.len(), all.last().map(String::as_str)), (174, Some("2199-12-25")));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let refused = [
        ("", "it has no FREQ"),
        ("FREQ=SECONDLY", "FREQ=SECONDLY is not supported; YEARLY, MONTHLY, WEEKLY and DAILY are"),
        ("FREQ=YEARLY;BYSETPOS=1", "BYSETPOS is not supported; write the days as plain dates"),
        ("FREQ=YEARLY;BYWEEKNO=1", "BYWEEKNO is not supported"),
        ("FREQ=WEEKLY;INTERVAL=2;WKST=SU", "WKST other than MO is not supported"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY does not go with FREQ=WEEKLY"),
        ("FREQ=DAILY;BYDAY=1MO", "goes with FREQ=MONTHLY or YEARLY"),
        ("FREQ=YEARLY;BYDAY=XX", "\"XX\" is not a day like MO, 4TH or -1SU"),
        ("FREQ=YEARLY;BYDAY=0MO", "\"0MO\" is not a day"),
        ("FREQ=YEARLY;BYDAY=é", "is not a day"),
        ("FREQ=YEARLY;INTERVAL=0", "INTERVAL has \"0\", and allowed are 1 to 10000"),
        ("FREQ=YEARLY;UNTIL=soon", "\"soon\" is not a date"),
        ("FREQ", "\"FREQ\" is not NAME=VALUE"),
    ];
    for (text, reason) in refused {
        let error = Recurrence::read(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}
