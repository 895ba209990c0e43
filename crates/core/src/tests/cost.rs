use super::{Labels, Requirement, SLOTS};
use crate::Extras;

fn requirement(text: &str) -> Requirement {
    text.parse().expect("a valid requirement")
}

#[test]
fn a_cost_requires_as_many_slots() {
    for (requires, slots, with_cost) in [
        ("", 0, ""),
        ("", 1, ""),
        ("", 4, "slots>=4"),
        ("gpu>=24,!spot", 4, "gpu>=24,slots>=4,!spot"),
        ("gpu", 1, "gpu"),
        ("slots>=4", 4, "slots>=4"),
        ("zone in (a b)", 1000, "slots>=1000,zone in (a b)"),
    ] {
        let made = requirement(requires).with_cost(slots).expect("a valid cost");
        assert_eq!(made, requirement(with_cost), "{requires:?} with {slots}");
        assert_eq!(made.slots(), slots.max(1));
    }
}

#[test]
fn only_the_cost_says_what_is_taken_of_the_slots() {
    for (requires, slots) in
        [("slots>=8", 1), ("slots>=8", 4), ("slots>=4,slots<9", 4), ("slots", 2), ("!slots", 0)]
    {
        let refused = requirement(requires).with_cost(slots).expect_err("a refusal");
        let message = refused.to_string();
        assert!(message.contains("is its cost"), "{message}");
    }
}

#[test]
fn a_requirement_with_its_cost_has_a_longest_length() {
    let names: Vec<String> = (0..8).map(|number| format!("label-{number}")).collect();
    let refused = requirement(&names.join(",")).with_cost(2).expect_err("too many terms");
    assert!(refused.to_string().contains("9 terms"), "{refused}");
}

#[test]
fn what_names_no_slots_costs_one() {
    for text in ["", "gpu>=24", "slots", "slots<9", "slots>=0", "slots>=4.5", "my-slots>=4"] {
        assert_eq!(requirement(text).slots(), 1, "{text}");
    }
}

#[test]
fn a_worker_matches_what_it_has_the_slots_for() {
    let mut labels: Labels = "gpu".parse().expect("valid labels");
    let costly = Requirement::NONE.with_cost(4).expect("a valid cost");
    assert!(!costly.matches(&labels), "it has not said how many it has");
    for (slots, matches) in [(3, false), (4, true), (5, true), (10_000, true)] {
        labels.set_slots(slots).expect("a label");
        assert_eq!(costly.matches(&labels), matches, "{slots}");
    }
    assert_eq!(labels.texts(), ["gpu", "slots=10000"]);
    let told = costly.terms()[0].explain(&"slots=3".parse().expect("valid labels"));
    assert_eq!(told, format!("{SLOTS} is 3, asked is slots>=4"));
}

#[test]
fn a_job_shows_its_cost_where_it_takes_more_than_one() {
    let plain = Extras::default().with_cost(1).expect("a valid cost");
    assert!(plain.is_empty());
    assert_eq!(plain.slots(), 1);
    let costly = Extras::default().with_cost(3).expect("a valid cost");
    assert_eq!((costly.cost, costly.slots(), costly.requires.slots()), (3, 3, 3));
}
