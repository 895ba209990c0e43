use super::*;

fn lines(text: &str) -> Vec<(usize, String)> {
    let file = RustFile::parse("crates/core/src/a.rs", text.to_string()).unwrap();
    check_file(&file).into_iter().map(|f| (f.line, f.what)).collect()
}

#[test]
fn io_and_clocks_are_found_in_uses_and_paths() {
    let found = lines(
        "use std::{fs, time::Duration};\nfn f() { std::time::SystemTime::now(); }\n\
         #[cfg(test)]\nmod tests { use std::fs; }\n",
    );
    assert_eq!(
        found,
        [(1, "uses `std::fs`".to_string()), (2, "uses `std::time::SystemTime`".to_string())]
    );
}

#[test]
fn names_that_only_begin_alike_are_fine() {
    assert_eq!(lines("use std::iter;\nuse std::fmt;\nuse crate::ioctl;\n"), []);
}
