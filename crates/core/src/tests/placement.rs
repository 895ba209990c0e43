use std::cmp::Ordering;

use proptest::prelude::*;

use super::number::Number;
use super::*;
use crate::limits::{LABEL_VALUE_BYTES_MAX, LABELS_MAX};
use crate::name::Name;

fn requirement(text: &str) -> Requirement {
    text.parse().unwrap()
}

fn labels(texts: &[&str]) -> Labels {
    Labels::parse(texts.iter().copied()).unwrap()
}

#[test]
fn terms_mean_what_they_say() {
    let worker = labels(&["gpu=24", "region=eu", "spot", "zone=b2", "load=-0.5"]);
    let met = [
        "",
        "gpu",
        "!cheap",
        "gpu=24",
        "gpu=24.0",
        "gpu=024",
        "gpu>=24",
        "gpu<=24",
        "gpu>23.99",
        "gpu<100",
        "gpu!=16",
        "region=eu",
        "region!=us",
        "tier!=gold",
        "region in (eu us)",
        "gpu in (16 24.0)",
        "load<0",
        "load>-1",
        "spot,region=eu,gpu>=16",
    ];
    for text in met {
        assert!(requirement(text).matches(&worker), "{text}");
    }
    let unmet = [
        "cheap",
        "!gpu",
        "gpu=16",
        "gpu>24",
        "gpu<24",
        "gpu>=100",
        "gpu!=24.0",
        "region!=eu",
        "tier=gold",
        "tier>=1",
        "zone>=1",
        "zone<=99",
        "spot>=0",
        "spot=1",
        "region in (us as)",
        "tier in (a b)",
        "gpu>=24,region=us",
    ];
    for text in unmet {
        assert!(!requirement(text).matches(&worker), "{text}");
    }
    assert!(requirement("").matches(&Labels::default()) && requirement("").is_none());
}

#[test]
fn what_is_not_met_is_explained() {
    let worker = labels(&["gpu=16", "spot"]);
    let asked = requirement("gpu>=24,!spot,region in (us eu),spot=2,gpu");
    let explained: Vec<_> =
        asked.unmet(&worker).into_iter().map(|term| term.explain(&worker)).collect();
    assert_eq!(
        explained,
        [
            "gpu is 16, asked is gpu>=24",
            "has no label region, asked is region in (eu us)",
            "has label spot without a value, asked is !spot",
            "has label spot without a value, asked is spot=2",
        ]
    );
}

#[test]
fn a_requirement_has_one_text() {
    let texts = [
        ("  gpu >= 24 , region=eu,gpu>=24", "gpu>=24,region=eu"),
        ("region in (us, eu us)", "region in (eu us)"),
        ("region in (eu)", "region=eu"),
        ("! spot,a!=b", "a!=b,!spot"),
        (" ", ""),
    ];
    for (text, canonical) in texts {
        assert_eq!(requirement(text).to_string(), canonical);
        assert_eq!(requirement(canonical), requirement(text));
    }
}

#[test]
fn what_is_no_requirement_is_refused_with_the_reason() {
    let nine: Vec<String> = (0..9).map(|number| format!("label-{number}")).collect();
    let long = "v".repeat(LABEL_VALUE_BYTES_MAX + 1);
    let values: Vec<String> = (0..200).map(|number| format!("value-{number}")).collect();
    for (bad, reason) in [
        ("gpu>=many", "compares numbers"),
        ("gpu>=", "its value is empty"),
        ("gpu,,spot", "it is empty"),
        ("GPU", "'G' is not allowed"),
        ("gpu=24=25", "'='"),
        ("gpu==24", "'='"),
        ("gpu!24", "one of = !="),
        ("region in ()", "no value"),
        ("region in (eu", "not allowed"),
        ("region=e u", "' '"),
        (&nine.join(","), "9 terms, and at most 8"),
        (&format!("a={long}"), "129 bytes, and at most 128"),
        (&format!("a in ({})", values.join(" ")), "at most 1024"),
    ] {
        let error = bad.parse::<Requirement>().unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("write terms such as"), "{error}");
    }
}

#[test]
fn labels_are_checked() {
    let worker = labels(&["region=eu", "gpu=24", "spot"]);
    assert_eq!(worker.texts(), ["gpu=24", "region=eu", "spot"]);
    assert_eq!(worker.get(&Name::new("gpu").unwrap()), Some("24"));
    assert_eq!(worker.get(&Name::new("spot").unwrap()), Some(""));
    assert_eq!(worker.get(&Name::new("zone").unwrap()), None);
    assert_eq!("".parse::<Labels>().unwrap(), Labels::default());

    for (bad, reason) in [
        ("gpu=", "its value is empty"),
        ("=24", "it is empty"),
        ("Gpu=24", "'G' is not allowed"),
        ("gpu=2 4", "' '"),
        ("gpu=2,4", "','"),
        (&format!("a={}", "v".repeat(129)), "129 bytes"),
    ] {
        let error = Labels::parse([bad]).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("NAME=VALUE"), "{error}");
    }
    let twice = Labels::parse(["gpu=24", "gpu=16"]).unwrap_err().to_string();
    assert!(twice.contains("given twice"), "{twice}");

    let names: Vec<String> = (0..=LABELS_MAX).map(|number| format!("label-{number}")).collect();
    let mut many = Labels::parse(names[1..].iter().map(String::as_str)).unwrap();
    assert!(many.set(&names[0], "1").unwrap_err().to_string().contains("at most 32 labels"));
    many.set(&names[1], "1").unwrap();
    many.set(&names[1], "2").unwrap();
    assert_eq!(many.get(&Name::new(&names[1]).unwrap()), Some("2"));
}

#[test]
fn numbers_are_compared_exactly() {
    let ordered = [
        "-9007199254740993",
        "-9007199254740992",
        "-1.5",
        "-1.49",
        "-0.001",
        "0",
        "0.1",
        "0.10001",
        "0.9",
        "1",
        "1.5",
        "2",
        "10",
        "9007199254740992",
        "9007199254740993",
    ];
    for (place, a) in ordered.iter().enumerate() {
        for (other, b) in ordered.iter().enumerate() {
            assert_eq!(Number::read(a).cmp(&Number::read(b)), place.cmp(&other), "{a} {b}");
        }
    }
    for (a, b) in [("-0", "0"), ("00.0", "0"), ("007", "7.00"), ("-01.50", "-1.5")] {
        assert_eq!(Number::read(a).cmp(&Number::read(b)), Ordering::Equal, "{a} {b}");
        assert!(Number::read(a).is_some());
    }
    for text in ["", "-", "1.", ".5", "1e3", "inf", "nan", "0x10", "1.2.3", "+1", "--1", "１"] {
        assert_eq!(Number::read(text), None, "{text}");
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[0-9]{1,3}", "-?[0-9]{1,2}\\.[0-9]{1,2}", "[a-zA-Zü/_-]{1,4}"]
}

fn term() -> impl Strategy<Value = String> {
    let name = "[a-c]";
    prop_oneof![
        name.prop_map(|name| name),
        name.prop_map(|name| format!("!{name}")),
        (name, prop::sample::select(vec!["=", "!="]), value())
            .prop_map(|(name, sign, value)| format!("{name} {sign} {value}")),
        (name, prop::sample::select(vec!["<", "<=", ">", ">="]), -30_i32..30)
            .prop_map(|(name, sign, value)| format!("{name}{sign}{value}")),
        (name, prop::collection::vec(value(), 1..4))
            .prop_map(|(name, values)| format!("{name} in ({})", values.join(" "))),
    ]
}

fn some_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-c]", prop_oneof![Just(String::new()), value()], 0..4).prop_map(
        |entries| {
            let mut labels = Labels::default();
            entries.iter().for_each(|(name, value)| labels.set(name, value).unwrap());
            labels
        },
    )
}

proptest! {
    #[test]
    fn texts_come_back(terms in prop::collection::vec(term(), 0..8), labels in some_labels()) {
        let asked = requirement(&terms.join(","));
        prop_assert_eq!(&requirement(&asked.to_string()), &asked);
        prop_assert_eq!(requirement(&asked.to_string()).to_string(), asked.to_string());
        prop_assert_eq!(&labels.to_string().parse::<Labels>().unwrap(), &labels);
    }

    #[test]
    fn all_terms_must_be_met(
        terms in prop::collection::vec(term(), 0..8), labels in some_labels(), at in any::<prop::sample::Index>()
    ) {
        let asked = requirement(&terms.join(","));
        let each = terms.iter().map(|term| requirement(term));
        prop_assert_eq!(asked.matches(&labels), each.into_iter().all(|term| term.matches(&labels)));
        prop_assert_eq!(asked.matches(&labels), asked.unmet(&labels).is_empty());
        // The order means nothing, nor what is said twice.
        let mut turned = terms.clone();
        turned.rotate_left(if terms.is_empty() { 0 } else { at.index(terms.len()) });
        prop_assert_eq!(requirement(&turned.join(",")), asked);
    }

    #[test]
    fn comparators_and_their_opposites(name in "[a-c]", value in -30_i32..30, labels in some_labels()) {
        let met = |sign: &str| requirement(&format!("{name}{sign}{value}")).matches(&labels);
        let number = labels.get(&Name::new(&name).unwrap()).and_then(|text| text.parse::<f64>().ok());
        let expected = number.map(|number| number.partial_cmp(&f64::from(value)).unwrap());
        prop_assert_eq!(met("<"), expected.is_some_and(Ordering::is_lt));
        prop_assert_eq!(met("<="), expected.is_some_and(Ordering::is_le));
        prop_assert_eq!(met(">"), expected.is_some_and(Ordering::is_gt));
        prop_assert_eq!(met(">="), expected.is_some_and(Ordering::is_ge));
        prop_assert_eq!(met("="), expected.is_some_and(Ordering::is_eq));
        prop_assert_eq!(met("!="), !met("="));
    }

    #[test]
    fn any_text_is_answered(text in "[a-c!=<>()., \\-0-9inéI]{0,24}") {
        if let Ok(asked) = text.parse::<Requirement>() {
            prop_assert_eq!(requirement(&asked.to_string()), asked);
        }
        if let Ok(labels) = text.parse::<Labels>() {
            prop_assert_eq!(labels.to_string().parse::<Labels>().unwrap(), labels);
        }
    }
}
