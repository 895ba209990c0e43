use super::{Grown, Roster};

#[test]
fn equal_inputs_are_separate_jobs_and_the_same_again_in_the_next_life() {
    let (first, second) = (Roster::new("r"), Roster::new("r"));
    let ids = ["a", "b", "a", "a"].map(|input| first.enter(input.as_bytes()));
    assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1));
    // Matched by text and occurrence, whatever the order.
    let again = ["a", "a", "b", "c", "a"].map(|input| second.enter(input.as_bytes()));
    assert_eq!([again[0], again[1], again[4], again[2]], [ids[0], ids[2], ids[3], ids[1]]);
    assert!(!ids.contains(&again[3]));
}

#[test]
fn only_what_was_announced_is_shown() {
    let roster = Roster::new("r");
    let mut grown = roster.grown();
    let id = roster.enter(b"a");
    assert!(roster.ids(0, 10).is_empty());
    roster.announce(false);
    assert_eq!(roster.ids(0, 10), [id]);
    assert_eq!(roster.position(id), Some(0));
    assert_eq!(*grown.borrow_and_update(), Grown { jobs: 1, is_complete: false });
    roster.announce(true);
    assert!(grown.borrow().is_complete);
    assert!(roster.ids(5, 1).is_empty());
}

#[test]
fn jobs_of_an_earlier_life_come_once() {
    let roster = Roster::new("r");
    let known = roster.enter(b"a");
    let other = Roster::new("r").enter(b"b");
    roster.enter_earlier(known);
    roster.enter_earlier(other);
    roster.announce(true);
    assert_eq!(roster.ids(0, 10), [known, other]);
    assert!(roster.knows(other));
}
