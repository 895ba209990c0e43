use std::time::Duration;

use crate::placement::{Load, LoadMeasure, takes_after};

const NOTHING: LoadMeasure = LoadMeasure { cpu_percent: None, memory_percent: None, lag: None };

fn cpu(percent: u32) -> LoadMeasure {
    LoadMeasure { cpu_percent: Some(percent), ..NOTHING }
}

fn lag(millis: u64) -> LoadMeasure {
    LoadMeasure { lag: Some(Duration::from_millis(millis)), ..NOTHING }
}

/// After each measurement, how many jobs a worker of so many slots takes.
fn steps(slots: u32, max: LoadMeasure, measured: &[LoadMeasure]) -> Vec<u32> {
    let mut takes = slots;
    let step = |measure: &LoadMeasure| {
        takes = takes_after(takes, slots, measure, &max);
        takes
    };
    measured.iter().map(step).collect()
}

#[test]
fn an_overloaded_worker_halves_what_it_takes_down_to_one() {
    assert_eq!(steps(16, cpu(90), &[cpu(91); 6]), [8, 4, 2, 1, 1, 1]);
    assert_eq!(steps(1, cpu(90), &[cpu(100); 2]), [1, 1]);
    assert_eq!(steps(5, lag(250), &[lag(251); 3]), [2, 1, 1]);
}

#[test]
fn it_takes_more_again_an_eighth_of_its_slots_at_a_time() {
    let (over, below) = (cpu(100), cpu(81));
    let measured = [over, over, over, below, below, below, below];
    assert_eq!(steps(16, cpu(90), &measured), [8, 4, 2, 4, 6, 8, 10]);
    assert_eq!(steps(3, cpu(90), &[over, over, below, below, below]), [1, 1, 2, 3, 3]);
}

#[test]
fn close_below_its_maximum_it_stays_as_it_is() {
    assert_eq!(steps(16, cpu(90), &[cpu(95), cpu(90), cpu(82), cpu(81)]), [8, 8, 8, 10]);
    assert_eq!(steps(8, lag(100), &[lag(101), lag(91), lag(90)]), [4, 4, 5]);
}

#[test]
fn one_maximum_that_is_exceeded_suffices() {
    let max = LoadMeasure { memory_percent: Some(80), ..cpu(90) };
    for (measured, takes) in [
        (LoadMeasure { memory_percent: Some(81), ..cpu(10) }, 4),
        (LoadMeasure { memory_percent: Some(10), ..cpu(91) }, 4),
        (LoadMeasure { memory_percent: Some(80), ..cpu(90) }, 8),
        (LoadMeasure { memory_percent: None, ..cpu(91) }, 4),
    ] {
        assert_eq!(takes_after(8, 8, &measured, &max), takes, "{measured}");
    }
}

#[test]
fn what_has_no_maximum_or_was_not_measured_limits_nothing() {
    assert_eq!(steps(8, NOTHING, &[cpu(100), lag(100_000)]), [8, 8]);
    assert_eq!(steps(8, cpu(50), &[NOTHING, lag(100_000)]), [8, 8]);
    assert_eq!(takes_after(0, 0, &NOTHING, &NOTHING), 1);
    assert_eq!(takes_after(100, 8, &NOTHING, &NOTHING), 8);
}

#[test]
fn a_worker_over_its_load_says_what_is_too_much() {
    let max = LoadMeasure { lag: Some(Duration::from_millis(250)), ..cpu(90) };
    let measured = LoadMeasure {
        cpu_percent: Some(97),
        memory_percent: Some(41),
        lag: Some(Duration::from_millis(300)),
    };
    assert_eq!(measured.to_string(), "cpu 97 %, memory 41 %, lag 300ms");
    let load = Load { measured, max, takes: Some(4) };
    let told = "takes up to 4 jobs: cpu 97 % is over 90 %, lag 300ms is over 250ms";
    assert_eq!(load.explain().as_deref(), Some(told));
    let told = "takes up to 1 job: it was over its load and takes more step by step";
    let load = Load { measured: cpu(50), max, takes: Some(1) };
    assert_eq!(load.explain().as_deref(), Some(told));
    assert_eq!(Load { takes: None, ..load }.explain(), None);
}
