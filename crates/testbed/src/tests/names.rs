use super::*;

#[test]
fn names_are_unique_and_fit_into_an_identifier() {
    let names = [unique().unwrap(), unique().unwrap()];
    assert_ne!(names[0], names[1]);
    assert!(names.iter().all(|name| name.len() <= 35));
}

#[test]
fn a_name_is_stale_an_hour_after_it_was_made() {
    let name = unique().unwrap();
    assert!(!is_stale(&name, now_seconds()));
    assert!(is_stale(&name, now_seconds() + STALE_AFTER_SECONDS + 60));
}

#[test]
fn names_of_others_are_never_stale() {
    for name in ["postgres", "taskwright", "taskwright_test", "taskwright_test_me", PREFIX] {
        assert!(!is_stale(name, u64::MAX), "{name}");
    }
}
