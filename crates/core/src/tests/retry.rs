use super::*;

#[test]
fn exponential_waits_spread_below_a_doubling_bound() {
    let policy = RetryPolicy::Exponential { base_ms: 1_000, max_ms: 60_000 };
    for (failures, bound_ms) in [(1, 1_000), (2, 2_000), (6, 32_000), (7, 60_000), (200, 60_000)] {
        let waits: Vec<_> = (0..1_000).map(|seed| policy.delay(failures, seed)).collect();
        let bound = Duration::from_millis(bound_ms);
        assert!(waits.iter().all(|&wait| wait <= bound), "failure {failures}");
        assert!(waits.iter().any(|&wait| wait > bound.mul_f64(0.95)), "failure {failures}");
        assert!(waits.iter().any(|&wait| wait < bound.mul_f64(0.05)), "failure {failures}");
    }
}

#[test]
fn the_same_seed_gives_the_same_wait() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.delay(3, 42), policy.delay(3, 42));
    assert_ne!(policy.delay(3, 42), policy.delay(3, 43));
}

#[test]
fn lists_repeat_their_last_wait() {
    let policy = RetryPolicy::List { delays_ms: vec![10, 500] };
    let waits: Vec<_> = (1..=4).map(|n| policy.delay(n, 0).as_millis()).collect();
    assert_eq!(waits, [10, 500, 500, 500]);
    assert_eq!(RetryPolicy::List { delays_ms: vec![] }.delay(1, 0), Duration::ZERO);
    assert_eq!(RetryPolicy::Fixed { delay_ms: 7 }.delay(9, 0), Duration::from_millis(7));
}

#[test]
fn seeds_differ_by_job_and_attempt() {
    let id = JobId::from_u128(0x019a_a2f4_7d31_7c51_8f0e_2b1c_6d9e_0a42);
    let mut seeds: Vec<_> = (1..=1_000).map(|attempt| seed(id, attempt)).collect();
    seeds.extend((1..=1_000).map(|other| seed(JobId::from_u128(id.as_u128() + other), 1)));
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 2_000);
    assert_eq!(seed(id, 7), seed(id, 7));
}
