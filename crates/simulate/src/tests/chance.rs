use super::*;
use crate::workload::{Bimodal, Lognormal, Span};

const DRAWS: usize = 40_000;

fn secs(secs: f64) -> Span {
    Span(Duration::from_secs_f64(secs))
}

fn drawn(runs: &Runs) -> Vec<f64> {
    let mut drawn: Vec<f64> =
        (0..DRAWS as u64).map(|number| Chance::of(&[1, number]).run(runs)).collect();
    drawn.sort_by(f64::total_cmp);
    drawn
}

fn mean(drawn: &[f64]) -> f64 {
    drawn.iter().sum::<f64>() / drawn.len() as f64
}

fn near(is: f64, expected: f64) {
    assert!((is - expected).abs() <= 0.05 * expected, "{is}, and {expected} was expected");
}

#[test]
fn runs_are_spread_as_they_should() {
    assert_eq!(drawn(&Runs::Constant(secs(2.0)))[7], 2.0);
    let uniform = drawn(&Runs::Uniform(secs(1.0), secs(3.0)));
    assert!(uniform[0] >= 1.0 && uniform[DRAWS - 1] <= 3.0);
    near(mean(&uniform), 2.0);
    near(uniform[DRAWS / 10], 1.2);
    let exponential = drawn(&Runs::Exponential(secs(2.0)));
    near(mean(&exponential), 2.0);
    near(exponential[DRAWS / 2], 2.0 * 2.0_f64.ln());
    let (median, p99) = (secs(0.5), secs(10.0));
    let lognormal = drawn(&Runs::Lognormal(Lognormal { median, p99 }));
    near(lognormal[DRAWS / 2], 0.5);
    near(lognormal[DRAWS * 99 / 100], 10.0);
    let (short, long) = (secs(1.0), secs(9.0));
    let bimodal = drawn(&Runs::Bimodal(Bimodal { short, long, long_share: 0.25 }));
    near(mean(&bimodal), 3.0);
}

#[test]
fn keys_are_picked_by_their_skew() {
    let picks = |of: u32, skew: f64| {
        let choice = Choice::new(&Keys { name: "k".to_owned(), of, skew });
        let mut counts = vec![0.0; of as usize];
        for number in 0..DRAWS as u64 {
            counts[choice.pick(&mut Chance::of(&[2, number]))] += 1.0 / DRAWS as f64;
        }
        counts
    };
    assert_eq!(picks(1, 0.0).len(), 1);
    picks(4, 0.0).into_iter().for_each(|share| near(share, 0.25));
    let skewed = picks(3, 1.0);
    near(skewed[0], 6.0 / 11.0);
    near(skewed[2], 2.0 / 11.0);
}

#[test]
fn no_time_is_longer_than_can_be_simulated() {
    assert_eq!(seconds(1.000_000_4), Duration::from_secs(1));
    assert_eq!(seconds(-1.0), Duration::ZERO);
    assert_eq!(seconds(f64::INFINITY), SIMULATED_SPAN_MAX);
}

#[test]
fn streams_are_their_own() {
    let stream = Chance::of_text(1, "a");
    assert_eq!(stream.fork(3).bits(), Chance::of_text(1, "a").fork(3).bits());
    let mut all: Vec<u64> = (0..1_000).map(|number| stream.fork(number).bits()).collect();
    all.push(Chance::of_text(2, "a").fork(0).bits());
    all.push(Chance::of_text(1, "b").fork(0).bits());
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1_002);
}
