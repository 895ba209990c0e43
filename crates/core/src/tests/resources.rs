use super::{Cost, Labels, Requirement, Resources};
use crate::limits::RESOURCE_MAX;
use crate::name::Name;

fn requirement(text: &str) -> Requirement {
    text.parse().expect("a valid requirement")
}

fn resources(text: &str) -> Resources {
    text.parse().expect("valid resources")
}

fn free(slots: usize, text: &str) -> Cost {
    Cost { slots, resources: resources(text) }
}

#[test]
fn what_is_taken_is_a_term() {
    let made = requirement("gpu>=24").with_taken("memory", 8).expect("a valid amount");
    assert_eq!(made.to_string(), "gpu>=24,8 of memory");
    assert_eq!(requirement(" 8 of memory , gpu>=24"), made);
    assert_eq!(made.with_taken("memory", 8).expect("the same"), made);
    assert_eq!(made.taken(), resources("memory=8"));
    assert!(made.takes_resources() && !requirement("memory>=8,slots>=2").takes_resources());
    assert_eq!(made.with_cost(3).expect("a cost").cost(), free(3, "memory=8"));
    assert_eq!(requirement("00008 of memory").to_string(), "8 of memory");
}

#[test]
fn an_amount_is_a_whole_number_and_said_once() {
    for (text, reason) in [
        ("0 of memory", "takes 0 of memory"),
        ("1.5 of memory", "no whole number"),
        ("-1 of memory", "no whole number"),
        ("1000000000000001 of memory", "is over 1000000000000000"),
        ("99999999999999999999999 of memory", "is over"),
        ("2 of slots", "is its cost"),
        ("2 of Memory", "Memory"),
        ("2 of memory,3 of memory", "says twice how much it takes of memory"),
    ] {
        let message = text.parse::<Requirement>().expect_err(text).to_string();
        assert!(message.contains(reason), "{text}: {message}");
    }
    let made = requirement("8 of memory");
    assert_eq!(made.with_taken("memory", 9).expect("another amount"), requirement("9 of memory"));
    assert!(made.with_taken("a,b", 1).is_err());
    assert!(made.with_taken("disk", RESOURCE_MAX).is_ok());
}

#[test]
fn only_a_worker_with_as_much_in_all_matches() {
    let takes = requirement("8 of memory");
    let labels = |text: &str| text.parse::<Labels>().expect("valid labels");
    for (text, explained) in [
        ("8 of memory", None),
        ("9 of memory,gpu=24", None),
        ("7 of memory", Some("has 7 of memory in all, asked is 8 of memory")),
        ("0 of memory", Some("has 0 of memory in all, asked is 8 of memory")),
        ("memory=64", Some("has no resource memory, asked is 8 of memory")),
        ("", Some("has no resource memory, asked is 8 of memory")),
    ] {
        let labels = labels(text);
        assert_eq!(takes.matches(&labels), explained.is_none(), "{text}");
        let unmet = takes.unmet(&labels);
        assert_eq!(unmet.first().map(|term| term.explain(&labels)).as_deref(), explained);
    }
    // What is there can be compared as any label.
    assert!(requirement("memory>=64").matches(&labels("64 of memory")));
    assert!(!requirement("memory>64").matches(&labels("64 of memory")));
}

#[test]
fn a_resource_is_a_label_of_its_own_kind() {
    let mut labels: Labels = "gpu=24".parse().expect("valid labels");
    assert!(!labels.has_resources());
    labels.set_capacity("memory", 64).expect("a resource");
    assert_eq!(labels.texts(), ["gpu=24", "64 of memory"]);
    assert!(labels.has_resources());
    assert_eq!(labels.to_string().parse::<Labels>().expect("the same"), labels);
    assert_eq!(labels.capacities(), resources("memory=64"));
    assert_eq!(labels.capacity(&Name::new("gpu").expect("a name")), None);
    labels.set_capacity("memory", 32).expect("another amount");
    assert_eq!(labels.capacities(), resources("memory=32"));
    for refused in [
        labels.set_capacity("gpu", 1),
        labels.set("memory", "64"),
        labels.set_capacity("slots", 4),
        labels.set_capacity("disk", RESOURCE_MAX + 1),
        labels.set_capacity("Disk", 1),
        "64 of memory,memory=64".parse::<Labels>().map(drop),
        "few of memory".parse::<Labels>().map(drop),
    ] {
        refused.expect_err("a refusal");
    }
}

#[test]
fn a_cost_fits_where_there_is_enough_of_everything() {
    let cost = free(2, "gpu=1,memory=8");
    for (there, fits) in [
        (free(2, "gpu=1,memory=8"), true),
        (free(9, "disk=5,gpu=4,memory=80"), true),
        (free(1, "gpu=1,memory=8"), false),
        (free(2, "gpu=1,memory=7"), false),
        (free(2, "gpu=0,memory=8"), false),
        (free(2, "memory=8"), false),
        (free(2, ""), false),
    ] {
        assert_eq!(cost.fits(&there), fits, "{there:?}");
    }
    assert!(Cost::ONE.fits(&free(1, "")));
    assert_eq!(free(3, "disk=1,gpu=1,memory=9").minus(&cost), free(1, "disk=1,gpu=0,memory=1"));
    assert_eq!(free(1, "memory=3").minus(&cost), free(0, "memory=0"));
}

#[test]
fn what_is_taken_adds_up() {
    let mut taken = resources("memory=8");
    taken.add(&resources("gpu=1,memory=2"));
    assert_eq!(taken, resources("gpu=1,memory=10"));
    taken.take_away(&resources("gpu=1,memory=4"));
    assert_eq!(taken, resources("memory=6"));
    for text in ["memory", "memory=", "memory=x", "memory=1,memory=1", "Memory=1", "memory=-1"] {
        assert!(text.parse::<Resources>().is_err(), "{text}");
    }
}
