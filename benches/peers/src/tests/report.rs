use serde_json::Value;

use super::*;

fn rate(who: Who, what: What, connections: Option<usize>, jobs_a_second: f64) -> Rate {
    Rate { who, what, connections, jobs_a_second }
}

fn report() -> Report {
    let mut rates = Vec::new();
    for value in [90_000.0, 300_000.0, 100_000.0] {
        rates.push(rate(Who::Beanstalkd, What::Enqueue, Some(1), value));
        rates.push(rate(Who::Beanstalkd, What::Enqueue, Some(4), value.min(150_000.0) + 10_000.0));
        rates.push(rate(Who::Beanstalkd, What::Drain, Some(2), value / 2.0));
        rates.push(rate(Who::Taskwright, What::Enqueue, None, value * 1.65));
        rates.push(rate(Who::Taskwright, What::Drain, None, value));
    }
    Report { rates, load_before: "0.50 0.40 0.30".into(), load_after: "2.50 1.40 0.30".into() }
}

#[test]
fn the_best_number_of_connections_is_that_of_the_best_median() {
    let best = report().best(Who::Beanstalkd, What::Enqueue).unwrap();
    assert_eq!(best.connections, Some(4));
    assert!((best.median - 110_000.0).abs() < 1e-6);
    assert_eq!(best.rounds, [100_000.0, 160_000.0, 110_000.0]);
}

#[test]
fn medians_are_of_the_middle() {
    for (values, wanted) in
        [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0], 2.5)]
    {
        assert!((median(&values) - wanted).abs() < 1e-9, "{values:?}");
    }
}

#[test]
fn the_table_shows_rates_ratios_and_load() {
    let table = report().table();
    let line = |begin: &str| table.lines().find(|line| line.starts_with(begin)).unwrap().to_owned();
    assert!(line("beanstalkd").ends_with("110,000 (4)       50,000 (2)"), "{table}");
    assert!(line("Taskwright ÷ beanstalkd").ends_with("1.50x            2.00x"), "{table}");
    assert!(line("NATS").ends_with('–'), "{table}");
    assert!(table.contains("0.50 0.40 0.30 before, 2.50 1.40 0.30 after"), "{table}");
}

#[test]
fn json_has_one_object_a_line() {
    let lines = report().json_lines();
    let figures: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let figure = |name: &str| figures.iter().find(|figure| figure["name"] == name).unwrap();
    assert_eq!(figure("beanstalkd.enqueue")["connections"], 4);
    assert_eq!(figure("taskwright_over_beanstalkd.drain")["value"], 2.0);
    assert_eq!(figure("load.after")["value"], 2.5);
    assert!(!figures.iter().any(|figure| figure["name"] == "nats.drain"));
}

#[test]
fn a_rate_is_jobs_over_time() {
    let rate = Rate::new(Who::Nats, What::Drain, 2, 1_000, Duration::from_millis(500));
    assert!((rate.jobs_a_second - 2_000.0).abs() < 1e-6);
    assert_eq!(grouped(1_234_567.4), "1,234,567");
    assert_eq!(grouped(999.0), "999");
}
