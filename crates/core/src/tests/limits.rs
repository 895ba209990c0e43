use super::*;

#[test]
fn a_size_over_its_maximum_is_named() {
    assert_eq!(check("args", 3, 3, "bytes"), Ok(()));
    let error = check("args", 4, 3, "bytes").unwrap_err().to_string();
    assert_eq!(error, "args is 4 bytes, and at most 3 are allowed");
}

#[test]
fn long_errors_are_cut_between_characters() {
    let long = "é".repeat(ERROR_BYTES_MAX);
    let cut = cut_error(&long);
    assert!(cut.len() <= ERROR_BYTES_MAX && cut.ends_with("(cut)"));
    assert_eq!(cut_error("short"), "short");
}
