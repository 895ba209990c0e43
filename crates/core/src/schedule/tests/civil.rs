use super::*;

#[test]
fn days_and_dates_are_each_others_inverse() {
    let mut before = day_of(1599, 12, 31);
    assert_eq!(year_month_day(0), (1970, 1, 1));
    for year in 1600..2401 {
        for month in 1..=12 {
            for day in 1..=days_in_month(year, month) {
                let number = day_of(year, month, day);
                assert_eq!(number, before + 1, "{year}-{month}-{day}");
                assert_eq!(year_month_day(number), (year, month, day));
                before = number;
            }
        }
    }
}

#[test]
fn weekdays_are_those_of_known_dates() {
    assert_eq!(weekday(day_of(1970, 1, 1)), 4);
    assert_eq!(weekday(day_of(2000, 2, 29)), 2);
    assert_eq!(weekday(day_of(2026, 11, 22)), 0);
    assert_eq!(weekday(day_of(1900, 1, 1)), 1);
}

#[test]
fn dates_are_read_and_printed_alike() {
    for text in ["2026-12-25", "2024-02-29", "0001-01-01", "9999-12-31"] {
        assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
    }
}

#[test]
fn dates_that_do_not_exist_are_refused() {
    let texts = [
        "2026-02-29",
        "1900-02-29",
        "2026-13-01",
        "2026-00-01",
        "2026-1-01",
        "26-01-01",
        "x",
        "",
        "2026-01",
        "2026-01-01-01",
        "0000-01-01",
        "+026-01-01",
    ];
    for text in texts {
        let error = text.parse::<Date>().unwrap_err().to_string();
        assert!(error.contains("is not a date; write one that exists"), "{error}");
    }
    assert!(Date::new(2026, 4, 31).is_err());
}
