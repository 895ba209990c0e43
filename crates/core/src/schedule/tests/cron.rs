use super::*;
use crate::time::Timestamp;

fn second(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_micros() / 1_000_000
}

/// The first ticks later than an instant.
fn ticks(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (cron, zone) = (Cron::parse(cron).unwrap(), Zone::named(zone).unwrap());
    let Beat::Fields(fields) = cron.beat().clone() else { panic!("{cron} has no fields") };
    let next = |&after: &i64| fields.next_after(after, &zone);
    let ticks = std::iter::successors(next(&second(after)), next).take(count);
    ticks.map(|tick| zone.show(Timestamp::from_micros(tick * 1_000_000))).collect()
}

#[test]
fn five_fields_begin_with_minutes_and_six_with_seconds() {
    assert_eq!(
        ticks("30 9 * * *", "UTC", "2026-11-21T09:29:59Z", 2),
        ["2026-11-21T09:30:00+00:00", "2026-11-22T09:30:00+00:00"]
    );
    assert_eq!(
        ticks("*/20 30 9 * * *", "UTC", "2026-11-21T09:30:00Z", 3),
        ["2026-11-21T09:30:20+00:00", "2026-11-21T09:30:40+00:00", "2026-11-22T09:30:00+00:00"]
    );
}

#[test]
fn words_stand_for_expressions() {
    let after = "2026-11-21T09:30:00Z";
    let first = |cron| ticks(cron, "UTC", after, 1)[0].clone();
    assert_eq!(first("@yearly"), "2027-01-01T00:00:00+00:00");
    assert_eq!(first("@annually"), first("@yearly"));
    assert_eq!(first("@monthly"), "2026-12-01T00:00:00+00:00");
    assert_eq!(first("@weekly"), "2026-11-22T00:00:00+00:00");
    assert_eq!(first("@Daily"), "2026-11-22T00:00:00+00:00");
    assert_eq!(first("@midnight"), first("@daily"));
    assert_eq!(first("@hourly"), "2026-11-21T10:00:00+00:00");
    assert_eq!(*Cron::parse("@every 90s").unwrap().beat(), Beat::Every(Duration::from_secs(90)));
}

#[test]
fn expressions_print_as_they_were_written() {
    for text in ["*/5  1 * jan mon-fri", "@daily", "@every 1h 30m", "0 0 LW * ?"] {
        assert_eq!(Cron::parse(&format!("  {text} ")).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_not_an_expression_is_refused_with_the_remedy() {
    let refused = [
        ("", "it has 0 fields; write 5"),
        ("* * * *", "it has 4 fields; write 5 (minute, hour, day-of-month, month, day-of-week)"),
        ("0 0 0 1 1 * 2027", "it has 7 fields"),
        ("60 * * * *", "the minute field has \"60\", and allowed are 0-59"),
        ("60 0 * * * *", "the second field has \"60\""),
        ("0 0 1 13 *", "the month field has \"13\""),
        ("0 0 1 * MUN", "the day-of-week field has \"MUN\""),
        ("@reboot", "known words are @yearly"),
        ("@every 90", "\"90\" is not a duration"),
        ("@every 100ms", "intervals are 1s to 3653d"),
        ("@every 20y", "intervals are 1s to 3653d"),
        ("? * * * *", "the minute field has \"?\""),
    ];
    for (text, reason) in refused {
        let error = Cron::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let long = format!("{} * * * *", "1,".repeat(200));
    assert!(Cron::parse(&long).unwrap_err().to_string().contains("at most 256 are allowed"));
}

#[test]
fn what_is_never_due_is_refused() {
    for text in ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 4,6,9,11 *", "0 0 31W 2 ?", "@every 0s"] {
        assert!(Cron::parse(text).is_err(), "{text}");
    }
    let error = Cron::parse("0 0 31 2 *").unwrap_err().to_string();
    assert!(error.contains("is never due, because none of its months has such a day"), "{error}");
    assert!(Cron::parse("0 0 29 2 *").is_ok());
    assert!(Cron::parse("0 0 31 2 MON").is_ok());
}

#[test]
fn sparse_expressions_find_their_day() {
    assert_eq!(
        ticks("0 0 29 2 */7", "UTC", "2026-11-21T00:00:00Z", 2),
        ["2032-02-29T00:00:00+00:00", "2060-02-29T00:00:00+00:00"]
    );
    assert_eq!(
        ticks("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1),
        ["2104-02-29T00:00:00+00:00"]
    );
    assert_eq!(
        ticks("0 0 29 2 1", "Europe/Berlin", "2026-11-21T00:00:00Z", 1),
        ["2027-02-01T00:00:00+01:00"]
    );
    // Every hour of a day that is far away, over many changes of the clocks.
    assert_eq!(
        ticks("0 * 29 2 */7", "Europe/Berlin", "2032-03-01T00:00:00Z", 2),
        ["2060-02-29T00:00:00+01:00", "2060-02-29T01:00:00+01:00"]
    );
}

#[test]
fn nothing_is_due_after_the_year_9999() {
    assert!(ticks("0 0 * * *", "UTC", "9999-12-29T12:00:00Z", 5).len() < 5);
    let fields = Fields::parse("0 0 * * *").unwrap();
    assert_eq!(fields.next_after(i64::MAX - 1, &Zone::utc()), None);
    assert_eq!(fields.next_after(i64::MAX / 1_000_000, &Zone::utc()), None);
}

#[test]
fn fixed_hours_in_a_gap_tick_once_at_its_end() {
    let before = "2026-03-28T12:00:00Z";
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", before, 2),
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    // Also where several times, or one more at the end itself, fall together.
    assert_eq!(
        ticks("*/20 2,3 * * *", "Europe/Berlin", before, 3),
        ["2026-03-29T03:00:00+02:00", "2026-03-29T03:20:00+02:00", "2026-03-29T03:40:00+02:00"]
    );
    assert_eq!(
        ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2),
        ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]
    );
}

#[test]
fn fixed_hours_in_an_overlap_tick_at_the_first_only() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    assert_eq!(
        ticks("*/30 2,3 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-25T03:00:00+01:00"]
    );
    // Asked within the second pass of the clock.
    assert_eq!(
        ticks("* * 0-23 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", 1),
        ["2026-10-25T03:00:00+01:00"]
    );
}

#[test]
fn every_hour_means_every_real_hour() {
    assert_eq!(
        ticks("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", 3),
        ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"]
    );
    assert_eq!(
        ticks("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3),
        ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"]
    );
    assert_eq!(
        ticks("0 */2 * * *", "Europe/Berlin", "2026-10-24T22:30:00Z", 3),
        ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T04:00:00+01:00"]
    );
}

/// The ticks of a day in Europe/Berlin whose hours of wall time are in a range, without the date.
fn berlin(cron: &str, day: &str, count: usize) -> Vec<String> {
    let after = (second(&format!("{day}T00:00:00+01:00")) - 3_601) * 1_000_000;
    let all = ticks(cron, "Europe/Berlin", &Timestamp::from_micros(after).to_string(), count + 3);
    let of_day = all.iter().filter_map(|shown| shown.strip_prefix(&format!("{day}T")));
    of_day.take(count).map(str::to_owned).collect()
}

#[test]
fn the_table_of_the_document_is_true() {
    let (spring, autumn) = ("2026-03-29", "2026-10-25");
    assert_eq!(berlin("30 2 * * *", spring, 1), ["03:00:00+02:00"]);
    assert_eq!(berlin("30 2 * * *", autumn, 1), ["02:30:00+02:00"]);
    assert_eq!(berlin("*/20 2 * * *", spring, 2), ["03:00:00+02:00"]);
    assert_eq!(
        berlin("*/20 2 * * *", autumn, 4),
        ["02:00:00+02:00", "02:20:00+02:00", "02:40:00+02:00"]
    );
    assert_eq!(berlin("0 1-3 * * *", spring, 9), ["01:00:00+01:00", "03:00:00+02:00"]);
    assert_eq!(
        berlin("0 1-3 * * *", autumn, 4),
        ["01:00:00+02:00", "02:00:00+02:00", "03:00:00+01:00"]
    );
    assert_eq!(berlin("30 * * * *", spring, 3)[1..], ["01:30:00+01:00", "03:30:00+02:00"]);
    assert_eq!(
        berlin("30 * * * *", autumn, 5)[2..],
        ["02:30:00+02:00", "02:30:00+01:00", "03:30:00+01:00"]
    );
    assert_eq!(berlin("0 */2 * * *", spring, 2), ["00:00:00+01:00", "04:00:00+02:00"]);
    assert_eq!(
        berlin("0 */2 * * *", autumn, 4),
        ["00:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "04:00:00+01:00"]
    );
}

#[test]
fn a_schedule_goes_on_where_a_whole_day_is_left_out() {
    assert_eq!(
        ticks("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 4),
        [
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T12:00:00+14:00",
            "2012-01-01T12:00:00+14:00"
        ]
    );
    assert_eq!(
        ticks("0 */12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 4),
        [
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T12:00:00+14:00",
            "2012-01-01T00:00:00+14:00"
        ]
    );
}
