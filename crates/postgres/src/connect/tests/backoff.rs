use super::*;

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}

#[test]
fn the_longest_wait_doubles_up_to_the_maximum() {
    let mut backoff = backoff();
    let longest: Vec<_> = (0..8)
        .map(|_| {
            let longest = backoff.longest().as_millis();
            backoff.fail();
            longest
        })
        .collect();
    assert_eq!(longest, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
}

#[test]
fn the_wait_is_anything_up_to_the_longest() {
    let backoff = backoff();
    assert_eq!(backoff.drawn(0), Duration::ZERO);
    assert_eq!(backoff.drawn(u32::MAX), Duration::from_millis(100));
    let half = backoff.drawn(u32::MAX / 2);
    assert!(half > Duration::from_millis(49) && half < Duration::from_millis(51));
}

#[test]
fn failures_beyond_counting_do_not_overflow() {
    let mut backoff = backoff();
    for _ in 0..100 {
        assert!(backoff.fail() <= Duration::from_secs(5));
    }
    backoff.reset();
    assert_eq!(backoff.longest(), Duration::from_millis(100));
}
