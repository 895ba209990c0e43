use super::*;

#[test]
fn a_rate_is_a_number_and_a_time() {
    for (text, count, period_ms) in [
        ("100/1m", 100, 60_000),
        ("1/500ms", 1, 500),
        ("25/s", 25, 1_000),
        (" 7 / 2h ", 7, 7_200_000),
    ] {
        let rate = parse_rate(text).unwrap();
        assert_eq!((rate.count, rate.period_ms, rate.burst), (count, period_ms, 1), "{text}");
    }
    for text in ["100", "100/", "x/1m", "100/1", "100/soon", "-1/1m"] {
        assert!(parse_rate(text).is_err(), "{text}");
    }
}
