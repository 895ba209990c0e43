use std::time::{Duration, Instant};

use super::{Console, Progress, RATE_WINDOW, Seen, per_second, rest};

#[test]
fn rates_are_told_as_people_would() {
    assert_eq!(per_second(1_234.4), "1,234/s");
    assert_eq!(per_second(2.54), "2.5/s");
    assert_eq!(per_second(0.1), "1 every 10.0s");
    assert_eq!(per_second(0.0), "0/s");
}

#[test]
fn the_time_left_is_told_once_all_inputs_are_known() {
    let seen = Seen { ended: 40, failed: 2, total: 100, is_all: false };
    assert_eq!(rest(seen, Some(10.0)), "2 failed, 10/s");
    assert_eq!(rest(Seen { is_all: true, ..seen }, Some(10.0)), "2 failed, 10/s, 6s left");
    assert_eq!(rest(Seen::default(), None), "starting");
}

#[test]
fn the_rate_is_that_of_late() {
    let mut progress = Progress::new(Console::new(true));
    let begin = Instant::now();
    assert_eq!(progress.rate(begin, 1_000), None);
    assert_eq!(progress.rate(begin + Duration::from_secs(1), 1_010), Some(10.0));
    for second in 2..100 {
        progress.rate(begin + Duration::from_secs(second), 1_010 + 2 * (second - 1));
    }
    assert_eq!(progress.rate(begin + Duration::from_secs(100), 1_208), Some(2.0));
    assert!(progress.samples.len() <= RATE_WINDOW.as_secs() as usize + 2);
}
