use super::*;

fn second(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_micros() / 1_000_000
}

/// A wall time: what the text says, read as if it were UTC.
fn wall(text: &str) -> i64 {
    second(&format!("{text}Z"))
}

#[test]
fn names_are_found_in_any_case_and_others_refused() {
    assert_eq!(Zone::named("europe/berlin").unwrap().name(), "Europe/Berlin");
    assert_eq!("UTC".parse::<Zone>().unwrap(), Zone::utc());
    for name in ["Europe/Berln", "", "+02:00", "CEST-1", "../UTC", "Etc/Unknown"] {
        let error = Zone::named(name).unwrap_err().to_string();
        assert!(error.contains("is not a time zone of the IANA database"), "{error}");
    }
}

#[test]
fn clocks_are_shown_with_their_offset() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let at = "2026-03-29T01:00:00Z".parse().unwrap();
    assert_eq!(berlin.show(at), "2026-03-29T03:00:00+02:00");
    assert_eq!(Zone::utc().show(at), "2026-03-29T01:00:00+00:00");
}

#[test]
fn a_wall_time_that_is_skipped_is_at_the_change() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let change = second("2026-03-29T01:00:00Z");
    for skipped in ["2026-03-29T02:00:00", "2026-03-29T02:30:00", "2026-03-29T02:59:59"] {
        assert_eq!(berlin.first_at(wall(skipped)), Some(change), "{skipped}");
        assert_eq!(berlin.shown_again_until(wall(skipped)), None);
    }
    assert_eq!(berlin.first_at(wall("2026-03-29T03:00:00")), Some(change));
    assert_eq!(berlin.first_at(wall("2026-03-29T01:59:59")), Some(change - 1));
}

#[test]
fn a_day_that_is_skipped_is_at_the_change() {
    let apia = Zone::named("Pacific/Apia").unwrap();
    let change = second("2011-12-30T10:00:00Z");
    assert_eq!(apia.first_at(wall("2011-12-30T12:00:00")), Some(change));
    assert_eq!(apia.first_at(wall("2011-12-30T00:00:00")), Some(change));
    assert_eq!(apia.first_at(wall("2011-12-31T00:00:00")), Some(change));
}

#[test]
fn a_wall_time_that_is_shown_twice_is_at_the_first() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let twice = wall("2026-10-25T02:30:00");
    assert_eq!(berlin.first_at(twice), Some(second("2026-10-25T00:30:00Z")));
    assert_eq!(berlin.shown_again_until(twice), Some(wall("2026-10-25T03:00:00")));
    assert_eq!(berlin.shown_again_until(wall("2026-10-25T03:00:00")), None);
}

#[test]
fn changes_are_found_far_in_the_future() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let change = berlin.change_after(second("2150-01-01T00:00:00Z"));
    assert_eq!(change, Some(second("2150-03-29T01:00:00Z")));
    assert_eq!(Zone::utc().change_after(0), None);
}
