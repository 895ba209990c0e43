use super::*;

fn keys(unique_until: Option<&str>, on_conflict: Option<&str>) -> Keys {
    Keys {
        unique: Some("k".to_owned()),
        unique_until: unique_until.map(|text| parse_until(text).unwrap()),
        on_conflict: on_conflict.map(|text| parse_conflict(text).unwrap()),
        at_most: None,
        group: None,
        limit_keys: Vec::new(),
    }
}

fn applied(keys: Keys) -> (Until, OnConflict) {
    let task = taskwright_core::Name::new("t").unwrap();
    let mut request = JobRequest::new(task, taskwright_core::Json::null());
    keys.apply(&mut request).unwrap();
    (request.unique.unwrap().until, request.on_conflict)
}

#[test]
fn a_key_is_held_until_something_or_for_a_time() {
    assert_eq!(parse_until("claimed").unwrap(), Until::Claimed);
    assert_eq!(parse_until("finished").unwrap(), Until::Finished);
    assert_eq!(parse_until("10m").unwrap(), Until::Elapsed { ms: 600_000 });
    assert!(parse_until("ever").unwrap_err().contains("neither claimed nor finished"));
}

#[test]
fn what_is_debounced_or_throttled_lets_go_when_it_is_claimed() {
    for (word, until) in [
        ("keep", Until::Finished),
        ("refuse", Until::Finished),
        ("replace=args", Until::Finished),
        ("replace=priority", Until::Finished),
        ("debounce", Until::Claimed),
        ("throttle", Until::Claimed),
    ] {
        assert_eq!(applied(keys(None, Some(word))).0, until, "{word}");
    }
    assert_eq!(applied(keys(Some("finished"), Some("throttle"))).0, Until::Finished);
    let bounded = Keys { at_most: Some(Duration::from_secs(9)), ..keys(None, Some("debounce")) };
    let debounce = OnConflict::Replace(Replace::debounce(Some(9_000)));
    assert_eq!(applied(bounded), (Until::Claimed, debounce));
}

#[test]
fn fields_to_replace_are_named() {
    let replace = Replace { priority: true, tags: true, ..Replace::default() };
    let parsed = parse_conflict("replace=priority,tags").unwrap();
    assert_eq!(OnConflict::from(parsed), OnConflict::Replace(replace));
    assert!(parse_conflict("replace=colour").unwrap_err().contains("\"colour\""));
    assert!(parse_conflict("replace=").is_err());
    assert!(parse_conflict("ignore").unwrap_err().contains("debounce"));
}

#[test]
fn a_bound_goes_with_what_is_pushed_back_only() {
    let bounded = Keys { at_most: Some(Duration::from_secs(9)), ..keys(None, Some("throttle")) };
    let mut request =
        JobRequest::new(taskwright_core::Name::new("t").unwrap(), taskwright_core::Json::null());
    assert!(bounded.apply(&mut request).is_err());
}
