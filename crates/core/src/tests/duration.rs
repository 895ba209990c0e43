use super::*;

#[test]
fn durations_are_read_as_people_write_them() {
    let read = |text| parse_duration(text).unwrap();
    assert_eq!(read("250ms"), Duration::from_millis(250));
    assert_eq!(read("10m"), Duration::from_secs(600));
    assert_eq!(read(" 1h 30m "), Duration::from_secs(5_400));
    assert_eq!(read("2d"), Duration::from_secs(172_800));
}

#[test]
fn a_bad_duration_names_the_text_and_shows_a_good_one() {
    for bad in ["", "10", "ten minutes", "10 parsecs", "-5s"] {
        let error = parse_duration(bad).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{bad:?} is not a duration")), "{error}");
        assert!(error.contains("10m"), "{error}");
    }
}

#[test]
fn durations_are_written_short() {
    let written = |ms| format_duration(Duration::from_millis(ms));
    assert_eq!(format_duration(Duration::from_micros(87)), "87us");
    assert_eq!(written(0), "0s");
    assert_eq!(written(4), "4.0ms");
    assert_eq!(written(250), "250ms");
    assert_eq!(written(3_420), "3.4s");
    assert_eq!(written(312_000), "5m 12s");
    assert_eq!(written(7_200_000), "2h");
    assert_eq!(written(353_000_000), "4d 2h");
}
