use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn percentiles_are_exact() {
    let mut durations = Durations::default();
    (1..=200).rev().for_each(|number| durations.add(secs(number)));
    let waits = durations.waits();
    assert_eq!((waits.p50, waits.p90, waits.p99), (secs(100), secs(180), secs(198)));
    assert_eq!((waits.max, waits.mean), (secs(200), Duration::from_millis(100_500)));
    assert_eq!(Durations::default().waits(), Waits::default());
}

#[test]
fn fairness_is_between_one_nth_and_one() {
    assert_eq!(jain([].into_iter()), None);
    assert_eq!(jain([3.0].into_iter()), None);
    assert_eq!(jain([0.0, 0.0].into_iter()), Some(1.0));
    assert_eq!(jain([2.0, 2.0, 2.0, 2.0].into_iter()), Some(1.0));
    assert_eq!(jain([8.0, 0.0, 0.0, 0.0].into_iter()), Some(0.25));
}

#[test]
fn the_backlog_gets_coarser_and_stays_whole() {
    let mut backlog = Backlog::default();
    for second in 0..10_000 {
        backlog.until(secs(second), second, 1);
    }
    let (samples, max) = backlog.end();
    assert_eq!(max, 9_999);
    assert!(samples.len() > 100 && samples.len() <= SAMPLES_MAX, "{}", samples.len());
    let gap = samples[1].at - samples[0].at;
    assert!(samples.windows(2).all(|pair| pair[1].at - pair[0].at == gap));
    assert!(samples.iter().all(|sample| sample.waiting == sample.at.as_secs()));
    assert!(samples.last().unwrap().at + gap > secs(9_999));
}
