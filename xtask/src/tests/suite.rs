use super::*;

fn row(tally: Tally) -> [(&'static Suite, Tally, Duration); 1] {
    [(&SUITES[0], tally, Duration::from_secs(1))]
}

#[test]
fn a_skip_fails_only_where_that_is_asked_for() {
    let skipped = Tally { passed: 3, ..Tally::skip("needs a mount") };
    assert!(summary(&row(skipped.clone()), false));
    assert!(!summary(&row(skipped), true));
}

#[test]
fn one_failure_is_enough() {
    assert!(!summary(&row(Tally { passed: 9, failed: 1, ..Tally::default() }), false));
}

#[test]
fn suites_have_names_of_their_own_and_time_to_end() {
    let names: std::collections::HashSet<_> = SUITES.iter().map(|suite| suite.name).collect();
    assert_eq!(names.len(), SUITES.len());
    assert!(SUITES.iter().all(|suite| suite.minutes_max > 0));
}

#[test]
fn tallies_add_up() {
    let mut tally = Tally::default();
    tally.count(true);
    tally.count(false);
    tally.add(&Tally { passed: 2, ..Tally::skip("no curl") });
    assert_eq!(tally, Tally { passed: 3, failed: 1, skipped: vec!["no curl".to_string()] });
}
