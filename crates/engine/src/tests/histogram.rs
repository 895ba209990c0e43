use super::*;

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

#[test]
fn a_counter_counts_what_is_near_its_middle() {
    let numbers =
        (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit) / 3, u64::MAX >> bit]);
    // Longer ones are all counted as the last.
    for number in numbers.filter(|&number| number < 1 << 40) {
        let middle = middle_of(index_of(number)).as_micros() as f64;
        let error = (middle - number as f64).abs() / (number as f64).max(1.0);
        assert!(error <= 0.125, "{number} is shown as {middle}");
    }
    assert_eq!(index_of(u64::MAX), COUNTERS - 1);
    let indexes: Vec<usize> = (0..100_000).map(index_of).collect();
    assert!(indexes.is_sorted() && indexes.windows(2).all(|pair| pair[1] - pair[0] <= 1));
}

#[test]
fn nothing_has_no_times() {
    assert_eq!(Histogram::default().times(), Times::default());
    assert_eq!(Times::default().mean(), Duration::ZERO);
}

#[test]
fn percentiles_are_near_and_sums_exact() {
    let mut histogram = Histogram::default();
    (1..=10_000).for_each(|number| histogram.add(micros(number)));
    let times = histogram.times();
    assert_eq!((times.count, times.max), (10_000, micros(10_000)));
    assert_eq!(
        (times.sum, times.mean()),
        (micros(50_005_000), micros(5_000) + Duration::from_nanos(500))
    );
    for (shown, exact) in [(times.p50, 5_000.0), (times.p90, 9_000.0), (times.p99, 9_900.0)] {
        let shown = shown.as_micros() as f64;
        assert!((shown - exact).abs() / exact <= 0.125, "{shown} for {exact}");
    }
}

#[test]
fn no_percentile_is_beyond_the_longest() {
    let mut histogram = Histogram::default();
    histogram.add(micros(1_025));
    let times = histogram.times();
    assert_eq!((times.p50, times.p99, times.max), (micros(1_025), micros(1_025), micros(1_025)));
}

#[test]
fn merged_histograms_have_counted_both() {
    let (mut one, mut other, mut both) = Default::default();
    let fill = |histogram: &mut Histogram, numbers: std::ops::Range<u64>| {
        numbers.for_each(|number| histogram.add(micros(number * number)));
    };
    fill(&mut one, 0..300);
    fill(&mut other, 200..900);
    fill(&mut both, 0..300);
    fill(&mut both, 200..900);
    one.merge(&other);
    assert_eq!(one.times(), both.times());
}
