use super::*;

fn compared(readme: &str, library: &str) -> Option<String> {
    let library: Vec<String> = library.lines().map(str::to_string).collect();
    compare(readme, &library).map(|finding| format!("{}: {}", finding.line, finding.what))
}

#[test]
fn the_same_program_is_fine() {
    let readme = "# Title\n```sh\nls\n```\n```rust\nfn main() {\n\n}\n```\n";
    assert_eq!(
        compared(readme, "//! About.\n//!\n//! ```\n//! fn main() {\n//!\n//! }\n//! ```\n"),
        None
    );
}

#[test]
fn another_program_is_found() {
    let found =
        compared("```rust\nfn main() {}\n```\n", "//! ```\n//! fn main() { run() }\n//! ```\n");
    assert!(found.unwrap().starts_with("1: the program is not the first one"));
}

#[test]
fn a_long_program_is_found() {
    let readme = format!("```rust\n{}```\n", "run();\n".repeat(26));
    let library = format!("//! ```\n{}//! ```\n", "//! run();\n".repeat(26));
    assert_eq!(compared(&readme, &library).unwrap(), "1: the program has 26 lines");
}
