use proptest::prelude::*;
use taskwright_core::limits::{JSON_DEPTH_MAX, PAYLOAD_BYTES_MAX};
use taskwright_engine::ErrorCode;

use super::{Names, depth};
use crate::{enqueue, report};

fn message(body: &str) -> String {
    let error = enqueue::decode(body.as_bytes()).err().expect("it is refused");
    assert_eq!(error.code, ErrorCode::Invalid, "{error}");
    error.message
}

#[test]
fn faults_name_where_they_are() {
    for (body, path, cause) in [
        (
            r#"{"jobs":[{"task":"a"},{"task":"b","prio":1}]}"#,
            "jobs[1].prio",
            "unknown field `prio`",
        ),
        (r#"{"jobs":[{"task":"a","priority":300}]}"#, "jobs[0].priority", "300"),
        (r#"{"jobs":[{"task":"a","id":"seven"}]}"#, "jobs[0].id", "\"seven\" is not a job id"),
        (
            r#"{"jobs":[{"task":"a","run_at":"soon"}]}"#,
            "jobs[0].run_at",
            "\"soon\" is not an instant",
        ),
        (r#"{"jobs":[{"task":"A"}]}"#, "jobs[0].task", "\"A\" is not a valid name"),
        (r#"{"jobs":[{"task":"a","queue":"a b"}]}"#, "jobs[0].queue", "' ' is not allowed"),
        (r#"{"jobs":[{"queue":"q"}]}"#, "jobs[0]", "missing field `task`"),
        (
            r#"{"jobs":[{"task":"a","delay_ms":1,"run_at":"2026-11-21T09:30:00Z"}]}"#,
            "jobs[0].delay_ms",
            "give one",
        ),
        (r#"{"jobs":[{"task":"a","retry":{"kind":"magic"}}]}"#, "jobs[0].retry", "magic"),
        (r#"{"namespace":"A","jobs":[]}"#, "namespace", "\"A\" is not a valid name"),
        (r#"{"job":[]}"#, "job", "unknown field `job`"),
        (r#"{"task":"a","prio":1}"#, "prio", "unknown field `prio`"),
    ] {
        let message = message(body);
        assert!(message.contains(path) && message.contains(cause), "{body}: {message}");
    }
}

#[test]
fn faults_of_a_batch_name_the_item() {
    for body in [
        r#"{"jobs":[{"task":"a"},{"task":"b"},{"task":"c","prio":1}]}"#,
        r#"{"jobs":[{"task":"a"},{"task":"b"},{"task":"C"}]}"#,
    ] {
        assert_eq!(enqueue::decode(body.as_bytes()).err().and_then(|error| error.item), Some(2));
    }
}

#[test]
fn what_is_not_json_is_said_to_be_so() {
    for body in ["", "{", "{\"jobs\":[", "jobs", "{\"jobs\":[]} x", "{'jobs':[]}"] {
        assert!(message(body).contains("is not JSON"), "{body}: {}", message(body));
    }
    let error = enqueue::decode(b"{\"jobs\":[\xff]}").err().unwrap();
    assert!(error.message.contains("not UTF-8 (byte 9)"), "{error}");
}

#[test]
fn an_array_is_not_an_object() {
    for body in [r#"[null,[]]"#, r#"{"jobs":[["id"]]}"#] {
        assert!(message(body).contains("expected an object"), "{}", message(body));
    }
}

#[test]
fn one_job_needs_no_list() {
    let request = enqueue::decode(br#"{"task":"a","args":[1]}"#).unwrap();
    assert_eq!(request.jobs.len(), 1);
    assert_eq!(request.jobs[0].queue.as_str(), "default");
    assert_eq!(request.jobs[0].args.as_str(), "[1]");
}

#[test]
fn args_over_a_limit_are_refused_with_item_and_field() {
    let deep = "[".repeat(JSON_DEPTH_MAX + 1) + &"]".repeat(JSON_DEPTH_MAX + 1);
    let long = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX));
    for args in [deep, long] {
        let body = format!(r#"{{"jobs":[{{"task":"a"}},{{"task":"b","args":{args}}}]}}"#);
        let error = enqueue::decode(body.as_bytes()).err().expect("it is refused");
        assert_eq!((error.code, error.item), (ErrorCode::OverLimit, Some(1)), "{error}");
        assert!(error.message.contains("jobs[1].args"), "{error}");
    }
    let at_limit = "[".repeat(JSON_DEPTH_MAX) + &"]".repeat(JSON_DEPTH_MAX);
    let body = format!(r#"{{"jobs":[{{"task":"b","args":{at_limit}}}]}}"#);
    assert_eq!(enqueue::decode(body.as_bytes()).unwrap().jobs.len(), 1);
}

#[test]
fn a_million_brackets_do_no_harm() {
    for field in ["args", "priority", "unheard_of"] {
        let body = format!(r#"{{"jobs":[{{"task":"a","{field}":{}"#, "[".repeat(1_000_000));
        assert!(enqueue::decode(body.as_bytes()).is_err());
    }
}

#[test]
fn fields_of_another_outcome_are_refused() {
    let body = br#"{"reports":[{"id":"019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42","token":"3.1.f","outcome":"completed","delay_ms":5}]}"#;
    let error = report::decode(body).unwrap_err();
    assert!(error.message.contains("reports[0].delay_ms"), "{error}");
    assert!(error.message.contains("only with outcome \"snoozed\""), "{error}");
}

#[test]
fn names_are_checked_once_and_shared() {
    let mut names = Names::default();
    for round in 0..2 {
        for number in 0..20 {
            let text = format!("queue-{number}");
            assert_eq!(names.name(&text).unwrap().as_str(), text, "round {round}");
        }
    }
    assert!(names.name("Queue").is_err());
}

proptest! {
    #[test]
    fn depth_is_that_of_the_parsed_value(
        value in proptest::strategy::Union::new([Just(serde_json::Value::Null)])
            .prop_recursive(6, 64, 4, |inner| prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                proptest::collection::hash_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Value>()),
                "[\\[{\"\\\\]{0,6}".prop_map(serde_json::Value::from),
            ])
    ) {
        fn parsed_depth(value: &serde_json::Value) -> usize {
            match value {
                serde_json::Value::Array(items) => {
                    1 + items.iter().map(parsed_depth).max().unwrap_or(0)
                }
                serde_json::Value::Object(map) => {
                    1 + map.values().map(parsed_depth).max().unwrap_or(0)
                }
                _ => 0,
            }
        }
        prop_assert_eq!(depth(&value.to_string()), parsed_depth(&value));
    }

    #[test]
    fn no_body_makes_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..256)) {
        for operation in crate::Operation::ALL {
            let line = [format!(r#"{{"op":"{operation}","body":"#).as_bytes(), &body, b"}"].concat();
            let _ = crate::line::read_request(&line);
        }
        let _ = enqueue::decode(&body);
        let _ = report::decode(&body);
    }
}
