use super::*;
use crate::rust_file::mark_test_files;

const MANIFEST: &str = "[package]\nname = \"taskwright-store\"\n\
    [dependencies]\ntokio = \"1\"\nserde = \"1\"\nuuid = \"1\"\ntaskwright-core = \"1\"\n";

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let manifest = Manifest::parse("crates/store/Cargo.toml", MANIFEST).unwrap();
    let mut files: Vec<RustFile> = files
        .iter()
        .map(|(path, text)| {
            RustFile::parse(&format!("crates/store/src/{path}"), text.to_string()).unwrap()
        })
        .collect();
    mark_test_files(&mut files);
    let files: Vec<&RustFile> = files.iter().collect();
    check_crate(&manifest, &files).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
}

#[test]
fn signatures_fields_and_variants_are_searched() {
    let text = "use uuid::Uuid;\nuse tokio::sync::mpsc::{Receiver as Hearing};\n\
        pub fn f(id: Uuid) {}\n\
        pub fn g() -> Result<(), Box<Hearing<u8>>> {}\n\
        pub struct S { pub a: Vec<uuid::Uuid>, b: Uuid }\n\
        pub enum E { One(Uuid) }\n\
        pub trait T { fn h(&self) -> Uuid; }\n\
        impl S { pub fn i(&self) -> Uuid {} fn j(&self) -> Uuid {} }\n\
        impl From<Uuid> for S {}\n\
        pub use tokio::time::Instant;\n";
    let lines: Vec<_> = found(&[("lib.rs", text)])
        .iter()
        .map(|f| f.split(':').next().unwrap().to_string())
        .collect();
    assert_eq!(lines, ["3", "4", "5", "6", "7", "8", "9", "10"]);
}

#[test]
fn what_nobody_sees_is_free() {
    let files = [
        (
            "lib.rs",
            "mod inner;\nmod seen;\npub use seen::Seen;\npub(crate) fn f(id: uuid::Uuid) {}\n",
        ),
        ("inner.rs", "pub fn f(id: uuid::Uuid) {}\npub struct Hidden(pub uuid::Uuid);\n"),
        ("seen.rs", "pub struct Seen(pub uuid::Uuid);\npub struct Other(pub uuid::Uuid);\n"),
    ];
    assert_eq!(found(&files), ["1: `uuid::Uuid` in a public signature"]);
}

#[test]
fn a_glob_opens_its_module() {
    let files = [
        ("lib.rs", "mod inner;\npub use inner::*;\n"),
        ("inner.rs", "pub struct S(pub tokio::sync::Notify);\n"),
    ];
    assert_eq!(found(&files), ["1: `tokio::sync::Notify` in a public signature"]);
}

#[test]
fn serde_bounds_and_own_types_are_allowed() {
    let text = "use taskwright_core::Job;\nuse serde::de::DeserializeOwned;\n\
        pub fn f<T: serde::Serialize + DeserializeOwned>(job: Job) -> Result<T, String> {}\n";
    assert_eq!(found(&[("lib.rs", text)]), [""; 0]);
}

#[test]
fn test_code_and_marked_lines_are_free() {
    let files = [
        (
            "lib.rs",
            "#[cfg(feature = \"testing\")] pub mod fault;\n\
             // tidy: allow tokio (the runtime is the application's choice)\n\
             pub fn f(handle: tokio::runtime::Handle) {}\n",
        ),
        ("fault.rs", "pub fn f(id: uuid::Uuid) {}\n"),
    ];
    assert_eq!(found(&files), [""; 0]);
}
