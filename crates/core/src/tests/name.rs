use super::*;

#[test]
fn good_names_pass() {
    for good in ["a", "default", "mail/send_welcome:v2", "0.9-x", &"n".repeat(128)] {
        assert_eq!(Name::new(good).unwrap().as_str(), good);
    }
}

#[test]
fn bad_names_are_refused_with_the_reason() {
    for (bad, reason) in [
        ("", "it is empty"),
        ("Mail", "'M' is not allowed"),
        ("a b", "' ' is not allowed"),
        ("née", "'é' is not allowed"),
        (&"n".repeat(129), "it has 129 bytes"),
    ] {
        let error = Name::new(bad).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("a-z 0-9"), "{error}");
    }
}
