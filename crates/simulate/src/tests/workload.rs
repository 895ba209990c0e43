use super::*;

#[test]
fn frequencies_are_so_many_in_a_time() {
    for (text, rate) in [("20/s", 20.0), ("0.5/s", 0.5), ("120/1m", 2.0), ("1/250ms", 4.0)] {
        assert_eq!(frequency(text).map(Frequency::per_second), Some(rate), "{text}");
    }
    for wrong in ["20", "/s", "0/s", "-1/s", "1/0s", "x/s", "inf/s", "nan/s"] {
        assert_eq!(frequency(wrong), None, "{wrong}");
    }
}
