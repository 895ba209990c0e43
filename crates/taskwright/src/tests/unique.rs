use super::*;
use crate::Job;

fn key_of(args: &str, key: &Key) -> Result<String, String> {
    let args = taskwright_core::Json::from_trusted(args.to_owned());
    key.of(&JobRequest::new(Name::new("mail.send").unwrap(), args))
}

fn by(names: &[&str]) -> Key {
    Key::Fields(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn the_same_args_make_the_same_key_however_they_are_written() {
    let key = key_of(r#"{"a":1,"b":["ü",{"c":null,"d":true}]}"#, &Key::Args).unwrap();
    let other = "{ \"b\" : [\"\\u00fc\" , {\"d\":true, \"c\" : null}],\n\"a\":1 }";
    assert_eq!(key_of(other, &Key::Args).unwrap(), key);
    assert!(
        key.starts_with("mail.send:args:") && key.len() == "mail.send:args:".len() + 32,
        "{key}"
    );
}

#[test]
fn the_key_is_the_same_in_every_version() {
    let args = r#"{"user":7,"text":"hi"}"#;
    let keys = [key_of(args, &Key::Args).unwrap(), key_of(args, &by(&["user"])).unwrap()];
    let expected = [
        "mail.send:args:d6ff65864c80be2cada79f595d063d5b",
        "mail.send:fields:1ffb898c39b15cb0103f8946c497b06d",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn other_args_make_another_key() {
    let all = [
        "1",
        "1.0",
        "\"1\"",
        "[1]",
        "[[1]]",
        "[1,1]",
        "{\"a\":1}",
        "{\"a\":\"1\"}",
        "null",
        "340282366920938463463374607431768211455",
        "340282366920938463463374607431768211454",
    ];
    let keys = all.map(|args| key_of(args, &Key::Args).unwrap());
    for (number, key) in keys.iter().enumerate() {
        assert!(!keys[..number].contains(key), "{} has the key of another", all[number]);
    }
}

#[test]
fn task_and_queue_are_parts_of_the_key() {
    let key = |task: &str, queue: &str| {
        let job = Job::<()>::new(task, &[1]).queue(queue).unique_by_args();
        job.into_request().unwrap().unique.unwrap().key
    };
    assert_eq!(key("a", "q"), key("a", "q"));
    assert_ne!(key("a", "q"), key("a", "r"));
    assert_ne!(key("a", "q"), key("b", "q"));
}

#[test]
fn only_named_fields_count_in_any_order() {
    let key = key_of(r#"{"user":7,"list":2,"text":"hi"}"#, &by(&["user", "list"])).unwrap();
    let again = key_of(r#"{"text":"ho","list":2,"user":7}"#, &by(&["list", "user", "list"]));
    assert_eq!(again.unwrap(), key);
    assert_ne!(key_of(r#"{"user":2,"list":7}"#, &by(&["user", "list"])).unwrap(), key);
    assert_ne!(key_of(r#"{"user":7,"list":2}"#, &by(&["user"])).unwrap(), key);
}

#[test]
fn fields_that_are_not_there_are_told() {
    let fault = |args: &str, key: Key| key_of(args, &key).unwrap_err();
    assert_eq!(fault(r#"{"a":1,"b":2}"#, by(&["user"])), "its args have no \"user\", but a, b");
    assert!(fault("[1]", by(&["user"])).contains("no object"));
    assert!(fault("{}", by(&[])).contains("no field is named"));
}
