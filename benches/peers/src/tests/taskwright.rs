use super::*;

const ENQUEUE: &str = r#"{"name":"file.http.batch100.enqueue","value":170000.5,"unit":"jobs/s","floor":null,"ratio":null,"p50_ms":2.1,"p99_ms":4.0}"#;
const DRAIN: &str = r#"{"name":"file.http.batch100.drain","value":101000,"unit":"jobs/s"}"#;

fn rates_of(lines: &[&str]) -> Result<Vec<Rate>> {
    rates(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
}

#[test]
fn both_figures_are_read_in_any_order() {
    for lines in [[ENQUEUE, DRAIN], [DRAIN, ENQUEUE]] {
        let rates = rates_of(&lines).unwrap();
        let told: Vec<_> = rates.iter().map(|rate| (rate.what, rate.jobs_a_second)).collect();
        assert_eq!(told, [(What::Enqueue, 170_000.5), (What::Drain, 101_000.0)]);
    }
}

#[test]
fn a_missing_or_odd_figure_is_named() {
    let odd = DRAIN.replace("jobs/s", "ms");
    let none = DRAIN.replace("101000", "null");
    for lines in [vec![ENQUEUE], vec![ENQUEUE, &odd], vec![ENQUEUE, &none]] {
        let error = rates_of(&lines).unwrap_err().to_string();
        assert!(error.contains("file.http.batch100.drain"), "{error}");
    }
    let error = rates_of(&["no JSON"]).unwrap_err().to_string();
    assert!(error.contains("no JSON"), "{error}");
}

#[test]
fn output_is_read_to_its_end() {
    let lines = lines_within(&b"one\ntwo\n"[..], Duration::from_secs(60)).unwrap();
    assert_eq!(lines, ["one", "two"]);
}

#[test]
fn output_that_does_not_end_is_not_waited_for() {
    let (silent, _open) = std::io::pipe().unwrap();
    let error = lines_within(silent, Duration::from_millis(1)).unwrap_err().to_string();
    assert!(error.contains("has not ended"), "{error}");
}
