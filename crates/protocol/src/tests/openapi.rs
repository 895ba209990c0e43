//! The description says what the code does: the same fields in requests, and the golden examples fit.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::*;

/// Reads a body that it must refuse.
type Reader = fn(&[u8]) -> Option<taskwright_engine::Error>;

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => root.pointer(name.trim_start_matches('#')).expect(name),
        None => schema,
    }
}

/// Asserts that `value` is as `schema` says, as far as the description uses JSON Schema.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolved(root, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| {
            let is_null = resolved(root, choice)["type"] == "null";
            is_null == value.is_null()
        };
        return check(root, choices.iter().find(fits).expect(at), value, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is not among {words:?}");
    }
    match schema["type"].as_str() {
        None => {}
        Some("object") => {
            let fields = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
            for (name, field) in fields {
                let described = match &schema["properties"][name] {
                    Value::Null => &schema["additionalProperties"],
                    described => described,
                };
                assert!(!described.is_null(), "{at}.{name} is not described");
                check(root, described, field, &format!("{at}.{name}"));
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{at} has no {name}");
            }
        }
        Some("array") => {
            for item in value.as_array().unwrap_or_else(|| panic!("{at}: {value}")) {
                check(root, &schema["items"], item, &format!("{at}[]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}: {value}"),
        Some("integer") => assert!(value.is_i64() || value.is_u64(), "{at}: {value}"),
        Some("number") => assert!(value.is_number(), "{at}: {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{at}: {value}"),
        Some("null") => assert!(value.is_null(), "{at}: {value}"),
        Some(other) => panic!("{at}: the type {other} is not known here"),
    }
}

#[test]
fn the_golden_examples_fit_the_description() {
    let root = description();
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/wire");
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let parts: Vec<_> = stem.split('.').collect();
        let schema = match (parts[0], *parts.last().unwrap()) {
            ("problem", _) => "Problem".to_owned(),
            ("enqueue", "reply") if parts[1] == "summary" => "EnqueueSummary".to_owned(),
            (operation, side) => {
                let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
                capital(operation) + &capital(side)
            }
        };
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        check(&root, &schema, &value, &name);
    }
}

/// The fields that a reader takes, as it says itself when it meets another.
fn taken(message: &str) -> BTreeSet<String> {
    let (_, list) = message.split_once("expected ").unwrap_or_else(|| panic!("{message}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn requests_take_the_fields_that_are_described() {
    let root = description();
    let wrong = json!({ "?": 0 });
    let cases: [(&str, Value, Reader); 30] = [
        ("EnqueueRequest", wrong.clone(), |body| enqueue::decode(body).err()),
        ("JobRequest", json!({ "jobs": [wrong] }), |body| enqueue::decode(body).err()),
        ("ClaimRequest", wrong.clone(), |body| claim::decode(body).err()),
        ("ReportRequest", wrong.clone(), |body| report::decode(body).err()),
        ("Report", json!({ "reports": [wrong] }), |body| report::decode(body).err()),
        ("Report/properties/error", json!({ "reports": [{ "error": wrong }] }), |body| {
            report::decode(body).err()
        }),
        ("HeartbeatRequest", wrong.clone(), |body| heartbeat::decode(body).err()),
        ("Attempt", json!({ "held": [wrong] }), |body| heartbeat::decode(body).err()),
        ("HeartbeatRequest/properties/progress/items", json!({ "progress": [wrong] }), |body| {
            heartbeat::decode(body).err()
        }),
        ("HeartbeatRequest/properties/info", json!({ "info": wrong }), |body| {
            heartbeat::decode(body).err()
        }),
        ("ListenRequest", wrong.clone(), |body| listen::decode(body).err()),
        ("WorkRequest", wrong.clone(), |body| work::decode(body).err()),
        ("WorkRequest/properties/heartbeat", json!({ "heartbeat": wrong }), |body| {
            work::decode(body).err()
        }),
        ("WorkRequest/properties/claim", json!({ "claim": wrong }), |body| {
            work::decode(body).err()
        }),
        ("ControlRequest", wrong.clone(), |body| control::decode(body).err()),
        ("Command", json!({ "commands": [wrong] }), |body| control::decode(body).err()),
        ("Rate", json!({ "commands": [{ "rate": wrong }] }), |body| control::decode(body).err()),
        ("AdjustRequest", wrong.clone(), |body| control::decode_adjust(body).err()),
        ("PolicyRequest", wrong.clone(), |body| policy::decode(body).err()),
        ("PoliciesRequest", wrong.clone(), |body| status::decode_namespace("request", body).err()),
        ("SchedulesRequest", wrong.clone(), |body| schedules::decode_look(body).err()),
        ("ScheduleRequest", wrong.clone(), |body| schedules::decode(body).err()),
        ("Schedule", wrong.clone(), |body| {
            read_schedule(body, &taskwright_core::Name::default_name()).err()
        }),
        ("CostsRequest", wrong.clone(), |body| status::decode_namespace("request", body).err()),
        ("GetRequest", wrong.clone(), |body| look::decode_get(body).err()),
        ("WaitRequest", wrong.clone(), |body| look::decode_wait(body).err()),
        ("ListRequest", wrong.clone(), |body| look::decode_list(body).err()),
        ("PeekRequest", wrong.clone(), |body| look::decode_peek(body).err()),
        ("PlaceRequest", wrong.clone(), |body| place::decode(body).err()),
        ("QueuesRequest", wrong.clone(), |body| status::decode_namespace("request", body).err()),
    ];
    for (schema, body, read) in cases {
        let error = read(body.to_string().as_bytes()).expect("an unknown field is refused");
        let described = root.pointer(&format!("/components/schemas/{schema}")).expect(schema);
        let described: BTreeSet<String> =
            described["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(taken(&error.message), described, "{schema}");
    }
}
