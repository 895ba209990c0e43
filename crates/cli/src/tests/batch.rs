use super::*;

#[test]
fn a_rate_is_kept_in_calls_ten_times_a_second() {
    for (rate, batch, after_100) in [
        (Rate::new(100, Duration::from_secs(60)), 1, Duration::from_secs(60)),
        (Rate::new(50, Duration::from_secs(1)), 5, Duration::from_secs(2)),
        (Rate::new(1_000_000, Duration::from_secs(1)), BATCH_MAX, Duration::from_micros(100)),
    ] {
        let pace = Pace::of(rate);
        assert_eq!((pace.batch(), pace.after(100)), (batch, after_100), "{rate:?}");
        assert_eq!(pace.after(0), Duration::ZERO, "the first goes at once");
    }
}
