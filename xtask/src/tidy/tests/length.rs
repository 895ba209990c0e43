use super::*;

#[test]
fn only_long_code_is_found() {
    assert!(check_file("a.rs", 500).is_none());
    assert!(check_file("a.md", 900).is_none());
    assert!(check_file("Cargo.lock", 9000).is_none());
    let finding = check_file("sdks/python/a.py", 501).unwrap();
    assert_eq!(finding.what, "501 lines, at most 500 are allowed");
}
