use super::*;
use crate::workload::{Frequency, Span};

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn first(arrivals: &Arrivals, count: usize) -> Vec<Option<Duration>> {
    let mut source = Source::new(arrivals, Chance::of(&[1]));
    (0..count).map(|_| source.next()).collect()
}

#[test]
fn constant_arrivals_are_even() {
    let frequency = Frequency { count: 2.0, period: secs(1.0) };
    let times = first(&Arrivals::Constant(frequency), 3);
    assert_eq!(times, [Some(secs(0.0)), Some(secs(0.5)), Some(secs(1.0))]);
}

#[test]
fn poisson_arrivals_are_as_many_and_as_irregular_as_they_should() {
    let frequency = Frequency { count: 120.0, period: secs(60.0) };
    let times = first(&Arrivals::Poisson(frequency), 20_000);
    let last = times[19_999].unwrap().as_secs_f64();
    assert!((last / 10_000.0 - 1.0).abs() < 0.03, "{last}");
    let gaps = times.windows(2).map(|pair| (pair[1].unwrap() - pair[0].unwrap()).as_secs_f64());
    // Of gaps without memory, e^-1 are longer than the mean.
    let long = gaps.filter(|&gap| gap > 0.5).count() as f64 / 20_000.0;
    assert!((long - (-1.0_f64).exp()).abs() < 0.02, "{long}");
}

#[test]
fn bursts_come_once_or_again() {
    let burst = |every| Arrivals::Burst(Burst { jobs: 2, at: Span(secs(3.0)), every });
    assert_eq!(first(&burst(None), 3), [Some(secs(3.0)), Some(secs(3.0)), None]);
    let again = first(&burst(Some(Span(secs(10.0)))), 5);
    assert_eq!(again, [3.0, 3.0, 13.0, 13.0, 23.0].map(|at| Some(secs(at))));
    assert!(Source::ends(&burst(None)) && !Source::ends(&burst(Some(Span(secs(1.0))))));
}

#[test]
fn a_trace_is_played_in_order() {
    let trace = Arrivals::Trace(vec![Span(secs(5.0)), Span(secs(1.0))]);
    assert_eq!(first(&trace, 3), [Some(secs(1.0)), Some(secs(5.0)), None]);
}
