use super::*;

#[test]
fn integration_tests_are_found_by_their_place() {
    let files = [
        "crates/a/tests/one.rs",
        "crates/a/tests/two/main.rs",
        "crates/a/tests/common/mod.rs",
        "crates/a/src/tests/unit.rs",
        "crates/b/tests/one.rs",
    ];
    let files: Vec<String> = files.iter().map(|path| path.to_string()).collect();
    assert_eq!(integration_tests(&files), ["one", "two"]);
}

#[test]
fn suites_apart_are_left_out_of_the_others() {
    let expression = |existing: &[&str]| {
        let existing: Vec<String> = existing.iter().map(|name| name.to_string()).collect();
        let command = nextest(&Targets::Others, &existing);
        command.get_args().last().unwrap().to_string_lossy().into_owned()
    };
    assert_eq!(
        expression(&["kill", "other", "simulation"]),
        "not (binary(=kill) | binary(=simulation))"
    );
    assert_eq!(expression(&["other"]), "all()");
}

#[test]
fn each_test_belongs_to_one_suite() {
    let existing = ["crash", "flows", "postgres", "postgres_kill", "simulation"].map(String::from);
    let among = |targets: Targets| targets.among(&existing).join(" ");
    assert_eq!(among(Targets::Like(&["crash", "kill"])), "crash");
    assert_eq!(among(Targets::Like(&["postgres"])), "postgres postgres_kill");
    assert_eq!(among(Targets::Like(&["simulation"])), "simulation");
    assert_eq!(among(Targets::Others), "flows");
}

#[test]
fn without_nextest_targets_are_named() {
    let command = cargo_test(&Targets::Like(&["simulation"]), &["simulation"]);
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    assert_eq!(arguments, ["test", "--workspace", "--no-fail-fast", "--test", "simulation"]);
}
