use super::{PAYLOAD_BYTES_MAX, checked, read};

#[test]
fn json_is_kept_as_it_was_written() {
    assert_eq!(
        read("--args", r#" {"b": 1.0, "a":[2]} "#).unwrap().as_str(),
        r#"{"b": 1.0, "a":[2]}"#
    );
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let error = read("--args", "{\"a\":\n 1,, }").unwrap_err().to_string();
    assert!(error.contains("line 2 column 4"), "{error}");
    assert!(read("--args", "hello").unwrap_err().to_string().contains("double quotes"));
    assert!(read("--args", "1 2").is_err());
    assert!(read("--args", "").is_err());
}

#[test]
fn what_is_too_deep_or_too_long_is_refused() {
    assert!(read("--args", &"[".repeat(100_000)).is_err());
    let long = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX));
    assert!(checked("--args", "", long).unwrap_err().to_string().contains("longer than"));
}

#[test]
fn a_file_can_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("args.json");
    std::fs::write(&path, "[1]\n").unwrap();
    assert_eq!(read("--args", &format!("@{}", path.display())).unwrap().as_str(), "[1]");
    let error = format!("{:#}", read("--args", "@/nowhere/x").unwrap_err());
    assert!(error.contains("@/nowhere/x"), "{error}");
}
