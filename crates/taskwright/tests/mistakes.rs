//! Typical mistakes give short messages that name the fix.

/// Longest message, in lines, of one error.
const LINES_MAX: usize = 15;

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}

#[test]
fn explanations_are_short() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mistakes");
    let mut explained = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "stderr") {
            let text = std::fs::read_to_string(&path).unwrap();
            for message in text.split("\n\n") {
                let lines = message.lines().count();
                assert!(lines <= LINES_MAX, "{} has a message of {lines} lines", path.display());
            }
            explained += 1;
        }
    }
    assert!(explained >= 20, "only {explained} mistakes are explained");
}
