use proptest::prelude::*;
use taskwright_core::Timestamp;

use super::{Instant, plain, write};

fn written(instant: Timestamp) -> String {
    let mut buffer = Vec::new();
    write(&mut buffer, instant);
    String::from_utf8(buffer).unwrap()
}

proptest! {
    #[test]
    fn written_as_the_calendar_writes(micros in -62_135_596_800_000_000_i64..253_402_128_000_000_000) {
        let instant = Timestamp::from_micros(micros);
        prop_assert_eq!(written(instant), instant.to_string());
    }

    #[test]
    fn read_as_the_calendar_reads(micros in -62_135_596_800_000_000_i64..253_402_128_000_000_000) {
        let instant = Timestamp::from_micros(micros);
        let text = instant.to_string();
        prop_assert_eq!(text.parse::<Instant>().unwrap().0, instant);
        let day: u32 = text[8..10].parse().unwrap();
        // Of the last year some instants are too late.
        if day <= 28 && !text.starts_with("9999") {
            prop_assert_eq!(plain(text.as_bytes()), Some(instant));
        }
    }

    #[test]
    fn strange_texts_are_left_to_the_calendar(text in "[0-9TZ:.+ -]{0,32}") {
        let expected = text.parse::<Timestamp>();
        prop_assert_eq!(text.parse::<Instant>().map(|instant| instant.0), expected);
    }
}

#[test]
fn seconds_of_all_lengths() {
    for (micros, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (500_000, "1970-01-01T00:00:00.5Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_772_323_199_000_000, "2026-02-28T23:59:59Z"),
        (1_709_208_000_000_000, "2024-02-29T12:00:00Z"),
    ] {
        let instant = Timestamp::from_micros(micros);
        assert_eq!(written(instant), text);
        assert_eq!(text.parse::<Instant>().unwrap().0, instant);
    }
}

#[test]
fn other_forms_are_read_as_well() {
    let plain: Instant = "2026-11-21T09:30:00Z".parse().unwrap();
    let offset: Instant = "2026-11-21T10:30:00+01:00".parse().unwrap();
    assert_eq!(plain.0, offset.0);
    assert!("tomorrow".parse::<Instant>().is_err());
    assert!("2026-13-21T09:30:00Z".parse::<Instant>().is_err());
}
