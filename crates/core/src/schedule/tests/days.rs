use super::*;

/// The days of a month that match.
fn days(of_month: &str, of_week: &str, year: i64, month: u32) -> Vec<u32> {
    bits(Days::parse(of_month, of_week).unwrap().in_month(year, month)).collect()
}

#[test]
fn the_last_days_depend_on_the_month() {
    assert_eq!(days("L", "*", 2024, 2), [29]);
    assert_eq!(days("L", "*", 2026, 2), [28]);
    assert_eq!(days("l-2,L", "*", 2026, 4), [28, 30]);
    assert_eq!(days("L-29", "*", 2026, 2), []);
    assert_eq!(days("31", "*", 2026, 4), []);
}

#[test]
fn the_nearest_weekday_stays_in_its_month() {
    // 2026-08-01 is a Saturday, 2026-08-15 too, 2026-11-15 a Sunday, 2026-05-31 a Sunday.
    assert_eq!(days("1W", "*", 2026, 8), [3]);
    assert_eq!(days("15W", "*", 2026, 8), [14]);
    assert_eq!(days("15w", "*", 2026, 11), [16]);
    assert_eq!(days("31W", "*", 2026, 5), [29]);
    assert_eq!(days("31W", "*", 2026, 4), []);
    assert_eq!(days("LW", "*", 2026, 5), [29]);
    assert_eq!(days("LW", "*", 2026, 4), [30]);
    assert_eq!(days("1W,15W,LW", "*", 2026, 5), [1, 15, 29]);
}

#[test]
fn weekdays_are_counted_from_both_ends() {
    assert_eq!(days("*", "5L", 2026, 11), [27]);
    assert_eq!(days("*", "FRIL", 2026, 10), [30]);
    assert_eq!(days("*", "5#3", 2026, 11), [20]);
    assert_eq!(days("*", "FRI#1,mon#2", 2026, 11), [6, 9]);
    assert_eq!(days("*", "0#5,7#5", 2026, 11), [29]);
    assert_eq!(days("*", "MON#5", 2026, 11), [30]);
    assert_eq!(days("*", "TUE#5", 2026, 11), []);
    assert_eq!(days("?", "7", 2026, 11), [1, 8, 15, 22, 29]);
    assert_eq!(days("*", "SAT-SUN", 2026, 11), [1, 7, 8, 14, 15, 21, 22, 28, 29]);
}

#[test]
fn two_restricted_day_fields_mean_either() {
    assert_eq!(days("13", "FRI", 2026, 11), [6, 13, 20, 27]);
    assert_eq!(days("1", "FRI", 2026, 11), [1, 6, 13, 20, 27]);
    assert_eq!(days("1", "?", 2026, 11), [1]);
    assert_eq!(days("?", "?", 2026, 2).len(), 28);
}

#[test]
fn a_field_that_begins_with_a_star_restricts_nothing() {
    assert_eq!(days("*/10", "SUN", 2026, 11), [1]);
    assert_eq!(days("1-31/10", "SUN", 2026, 11), [1, 8, 11, 15, 21, 22, 29]);
    assert_eq!(days("29", "*/7", 2026, 11), [29]);
}

#[test]
fn what_is_not_a_day_is_refused() {
    let refused = [
        ("L-0", "*", "the day-of-month field has \"L-0\""),
        ("L-31", "*", "the day-of-month field has \"L-31\""),
        ("0W", "*", "the day-of-month field has \"0W\""),
        ("W", "*", "the day-of-month field has \"W\""),
        ("5-10W", "*", "the day-of-month field has \"5-10W\""),
        ("32", "*", "allowed are 1-31, L, L-1 to L-30, LW and 1W to 31W"),
        ("1,?", "*", "the day-of-month field has \"?\""),
        ("*", "5#6", "the day-of-week field has \"5#6\""),
        ("*", "5#0", "allowed are 0-7 (0 and 7 are Sunday), SUN-SAT, 5L and 5#1 to 5#5"),
        ("*", "#1", "the day-of-week field has \"#1\""),
        ("*", "L", "write 6L for the last Saturday"),
        ("*", "8L", "the day-of-week field has \"8L\""),
        ("*", "1-5L", "the day-of-week field has \"1-5L\""),
    ];
    for (of_month, of_week, reason) in refused {
        let error = Days::parse(of_month, of_week).unwrap_err();
        assert!(error.contains(reason), "{of_month} {of_week}: {error}");
    }
}

#[test]
fn days_that_no_year_has_occur_in_no_month() {
    let occurs = |of_month, of_week, month| Days::parse(of_month, of_week).unwrap().occur_in(month);
    assert!(occurs("29", "*", 2));
    assert!(occurs("29", "*/7", 2));
    assert!(!occurs("30", "*", 2));
    assert!(!occurs("31", "?", 4));
    assert!(!occurs("31W", "*", 6));
    assert!(!occurs("L-29", "*", 2));
    assert!(occurs("L-28", "*", 2));
    // Only where both are restricted is one enough.
    assert!(occurs("30", "MON", 2));
    assert!(!occurs("30", "*/2", 2));
}
