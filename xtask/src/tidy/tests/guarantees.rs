use super::*;

fn found(text: &str) -> Vec<String> {
    let tests = HashSet::from(["l1_a_late_report_is_stale".to_string()]);
    check_text(text, &tests).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
}

#[test]
fn promises_name_tests_that_exist() {
    let text = "# Promised\n\
        - A late report is refused.\n  Shown by `conformance::l1_a_late_report_is_stale`.\n\
        - Nothing is lost. Shown by `hope`.\n\
        - All will be well.\n";
    assert_eq!(found(text), ["4: there is no test `hope`", "5: a promise without a test"]);
}

#[test]
fn what_is_not_promised_needs_no_test() {
    assert_eq!(found("## Not promised\n- Exactly-once side effects.\n"), [""; 0]);
}

#[test]
fn functions_count_and_what_macros_make_functions_of() {
    let mut tests = Tests::default();
    tests
        .visit_file(&syn::parse_str("mod inner { fn a_case() {} } cases! { another: 1 }").unwrap());
    assert_eq!(tests.names, ["a_case", "another"].map(str::to_string).into());
}
