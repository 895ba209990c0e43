use super::*;

#[test]
fn pauses_after_failures_grow_and_stay_bounded() {
    for failures in 0..100 {
        for chance in [0, 1, u64::MAX / 2, u64::MAX] {
            let pause = pause_after(failures, chance);
            assert!((SWEEP_EVERY..=PAUSE_MAX).contains(&pause), "{failures} {chance}: {pause:?}");
        }
    }
    assert_eq!(pause_after(0, u64::MAX), SWEEP_EVERY);
}

#[test]
fn a_store_that_is_gone_is_not_swept_again() {
    assert!(is_over(ErrorKind::Closed) && is_over(ErrorKind::Stopped));
    assert!(!is_over(ErrorKind::Unavailable) && !is_over(ErrorKind::Busy));
}
