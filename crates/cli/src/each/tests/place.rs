use std::path::Path;

use super::{Home, Place, name_of};
use crate::subprocess::Template;

fn name(directory: &str, command: &str) -> String {
    name_of(Path::new(directory), &Template::split("--exec", &command.into()).unwrap())
}

#[test]
fn a_run_is_named_by_directory_and_words() {
    let first = name("/a", "sha256sum -b {}");
    assert_eq!(first, name("/a", "sha256sum  '-b'  {}"));
    assert_ne!(first, name("/b", "sha256sum -b {}"));
    assert_ne!(first, name("/a", "sha256sum -b{}"));
    assert!(first.starts_with("sha256sum-"), "{first}");
}

#[test]
fn every_program_makes_a_name_that_can_be_one() {
    let directory = tempfile::tempdir().unwrap();
    for program in ["/usr/bin/Foo.Bar+baz", "é", &"x".repeat(300)] {
        let name = name("/", program);
        assert!(Place::of(directory.path(), &name).is_ok(), "{name}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "a/b", "../x", "A", "a b"] {
        assert!(Place::of(directory.path(), name).is_err(), "{name}");
    }
}

#[test]
fn a_run_can_be_removed_and_removed_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::of(&directory.path().join("runs"), "r").unwrap();
    assert!(!place.exists());
    let Home::Directory(directory_of_run) = &place.home else { panic!("it has a directory") };
    std::fs::create_dir_all(directory_of_run.join("deep")).unwrap();
    assert!(place.exists());
    place.remove().unwrap();
    place.remove().unwrap();
    assert_eq!(std::fs::read_dir(directory.path().join("runs")).unwrap().count(), 0);
}

#[test]
fn what_an_interrupted_removal_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    for name in [".r.1.gone", "r.gone", "r"] {
        std::fs::create_dir_all(directory.path().join(name).join("deep")).unwrap();
    }
    Place::of(directory.path(), "r").unwrap();
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["r", "r.gone"]);
}
