use super::*;

fn parse(line: &str) -> Result<Option<Settings>> {
    Settings::parse(line.split_whitespace().map(str::to_owned))
}

#[test]
fn arguments_are_read() {
    let settings = parse("--quick --json --rounds 5").unwrap().unwrap();
    assert!(settings.quick && settings.json);
    assert_eq!(settings.rounds, 5);
    assert_eq!(parse("--only nats").unwrap().unwrap().only, "nats");
    assert_eq!(parse("").unwrap().unwrap().rounds, 3);
    assert_eq!(parse("--help").unwrap(), None);
}

#[test]
fn mistakes_are_named() {
    for (line, named) in [
        ("--rounds 0", "1 to 99"),
        ("--rounds", "1 to 99"),
        ("--rounds x", "\"x\""),
        ("--only", "\"\""),
        ("--only redis", "\"redis\""),
        ("--fast", "\"--fast\""),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(named), "{line}: {error}");
    }
}
