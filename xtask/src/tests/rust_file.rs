use super::*;

fn file(path: &str, text: &str) -> RustFile {
    RustFile::parse(path, text.to_string()).unwrap()
}

#[test]
fn modules_declared_for_tests_are_test_code() {
    let mut files = [
        file(
            "crates/a/src/lib.rs",
            "mod plain;\n#[cfg(any(test, feature = \"testing\"))] pub mod sim;\n\
             #[cfg(feature = \"testing\")] mod fault;",
        ),
        file("crates/a/src/plain.rs", "#[cfg(test)] #[path = \"checks/plain.rs\"] mod tests;"),
        file("crates/a/src/checks/plain.rs", ""),
        file("crates/a/src/sim/mod.rs", ""),
        file("crates/a/src/sim/disk.rs", ""),
        file("crates/a/src/fault.rs", ""),
        file("crates/a/src/simple.rs", ""),
        file("crates/a/tests/all.rs", ""),
    ];
    mark_test_files(&mut files);
    let tests: Vec<_> = files.iter().filter(|f| f.is_test).map(|f| f.path.as_str()).collect();
    assert_eq!(
        tests,
        [
            "crates/a/src/checks/plain.rs",
            "crates/a/src/sim/mod.rs",
            "crates/a/src/sim/disk.rs",
            "crates/a/src/fault.rs",
            "crates/a/tests/all.rs",
        ]
    );
}

#[test]
fn code_that_tests_never_see_is_not_test_code() {
    let syntax: syn::File = syn::parse_str("#[cfg(not(test))] fn f() {} fn g() {}").unwrap();
    for item in syntax.items {
        let Item::Fn(function) = item else { panic!("a function") };
        assert!(!is_test_only(&function.attrs));
    }
}

#[test]
fn a_marker_allows_its_word_on_its_line_and_the_next() {
    let file = file("a.rs", "// tidy: allow payload (of a panic)\nfn f() {}\nfn g() {}\n");
    assert!(file.allows(1, "payload"));
    assert!(file.allows(2, "payload"));
    assert!(!file.allows(3, "payload"));
    assert!(!file.allows(2, "broker"));
}
