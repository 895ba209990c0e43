use super::*;

#[test]
fn an_instant_reads_back_from_what_it_prints() {
    for micros in [0, 1, 1_700_000_000_123_456, -5_000_000] {
        let instant = Timestamp::from_micros(micros);
        assert_eq!(instant.to_string().parse(), Ok(instant));
    }
}

#[test]
fn a_bad_instant_is_refused_with_an_example() {
    let error = "tomorrow".parse::<Timestamp>().unwrap_err().to_string();
    assert!(error.contains("\"tomorrow\"") && error.contains("2026-11-21T09:30:00Z"), "{error}");
}

#[test]
fn arithmetic_saturates() {
    let last = Timestamp::from_micros(i64::MAX);
    assert_eq!(last.plus(Duration::from_secs(1)), last);
    assert_eq!(Timestamp::ZERO.since(last), Duration::ZERO);
    assert_eq!(Timestamp::ZERO.plus(Duration::MAX), last);
}
