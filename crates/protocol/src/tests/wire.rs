//! Every golden example is read and written again: the same fields with the same values.

use std::path::PathBuf;

use serde_json::Value;
use taskwright_core::{JobId, StateName, Subject, Until};
use taskwright_engine::{Enqueued, Result};
use taskwright_store::{Page, Refusal};

use crate::operation::Operation;
use crate::*;

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/wire")
}

/// Reads the example of this name and writes what was read.
fn rewrite(name: &str, text: &[u8]) -> Result<Vec<u8>> {
    Ok(match name {
        "enqueue.request.json" => {
            let request = enqueue::decode(text)?;
            assert_eq!(request.reply, Reply::Summary);
            enqueue::encode(&request.jobs, request.partial)
        }
        "enqueue.full.reply.json" => enqueue::encode_reply(&outcomes(), Reply::Full),
        "enqueue.summary.reply.json" => {
            let enqueued = enqueue::decode_summary(text, &ids()[..5])?;
            assert_eq!(enqueued, summed_up());
            enqueue::encode_reply(&enqueued, Reply::Summary)
        }
        "claim.request.json" => claim::encode(&claim::decode(text)?),
        "claim.reply.json" => {
            let worker = "019aa2f4-0000-7c51-8f0e-2b1c6d9e0a42".parse().unwrap();
            claim::encode_reply(worker, &claim::decode_reply(text)?)
        }
        "report.request.json" => report::encode(&report::decode(text)?),
        "report.reply.json" => report::encode_reply(&report::decode_reply(text)?),
        "heartbeat.request.json" => heartbeat::encode(&heartbeat::decode(text)?),
        "heartbeat.reply.json" => heartbeat::encode_reply(&heartbeat::decode_reply(text)?),
        "listen.request.json" => {
            let listen = listen::decode(text)?;
            listen::encode(&listen.namespace, listen.worker, listen.wait)
        }
        "listen.reply.json" => listen::encode_reply(listen::decode_reply(text)?),
        "work.request.json" => work::encode(&work::decode(text)?.1),
        "work.reply.json" => {
            let worker = "019aa2f4-0000-7c51-8f0e-2b1c6d9e0a42".parse().unwrap();
            work::encode_reply(worker, &work::decode_reply(text)?)
        }
        "control.request.json" => control::encode(&control::decode(text)?),
        "control.reply.json" => control::encode_reply(&control::decode_reply(text)?),
        "get.request.json" => {
            let get = look::decode_get(text)?;
            look::encode_get(&get.namespace, &get.ids)
        }
        "get.reply.json" => look::encode_found(&look::decode_found(text)?),
        "wait.request.json" => {
            let wait = look::decode_wait(text)?;
            look::encode_wait(&wait.namespace, wait.id, wait.wait)
        }
        "wait.reply.json" | "wait.none.reply.json" => {
            look::encode_waited(look::decode_waited(text)?.as_ref())
        }
        "list.request.json" => look::encode_list(&look::decode_list(text)?),
        "list.reply.json" => look::encode_page(&look::decode_page(text)?),
        "peek.request.json" => {
            let peek = look::decode_peek(text)?;
            look::encode_peek(&peek.namespace, &peek.queue, peek.max)
        }
        "peek.reply.json" => {
            let Page { jobs, next } = look::decode_page(text)?;
            look::encode_page(&Page { jobs, next })
        }
        "queues.request.json"
        | "workers.request.json"
        | "costs.request.json"
        | "nodes.request.json"
        | "policies.request.json"
        | "describe.request.json" => {
            status::encode_namespace(&status::decode_namespace("request", text)?)
        }
        "queues.reply.json" => status::encode_queues(&status::decode_queues(text)?),
        "policies.reply.json" => policy::encode(&policy::decode_reply(text)?),
        "costs.reply.json" => costs::encode(&costs::decode_reply(text)?),
        "nodes.reply.json" => status::encode_nodes(&status::decode_nodes(text)?),
        "workers.reply.json" => status::encode_workers(&status::decode_workers(text)?),
        "describe.reply.json" => status::encode_description(&status::decode_description(text)?),
        "schedules.request.json" => schedules::encode_look(&schedules::decode_look(text)?),
        "schedules.reply.json" => {
            let views = schedules::decode_views(text, &taskwright_core::Name::default_name())?;
            schedules::encode_views(&views)
        }
        "schedule.request.json" => {
            let (namespace, ask) = schedules::decode(text)?;
            schedules::encode(&namespace, &ask)
        }
        "schedule.reply.json" => schedules::encode_answer(&schedules::decode_answer(text)?),
        "place.request.json" => place::encode(&place::decode(text)?),
        "place.reply.json" => place::encode_reply(&place::decode_reply(text)?),
        "problem.json" => {
            let error = problem::decode(text).expect("a problem");
            problem::encode(&error, problem::status(error.code))
        }
        other => panic!("no reader for the example {other}"),
    })
}

fn ids() -> Vec<JobId> {
    let id = |last: u128| JobId::from_u128(0x019aa2f4_7d31_7c51_8f0e_2b1c6d9e0a00 + last);
    (0x42..0x4a).map(id).collect()
}

fn outcomes() -> Vec<Enqueued> {
    let ids = ids();
    vec![
        Enqueued::New { id: ids[0] },
        Enqueued::Existing { id: ids[1], state: StateName::Running },
        Enqueued::Refused(Refusal::IdConflict(ids[2])),
        Enqueued::Refused(Refusal::LanesFull { max: 4_096 }),
        Enqueued::Refused(Refusal::StoreFull { used: 900, max: 1_000 }),
        duplicate(),
        taken(),
        Enqueued::Refused(Refusal::WaitingFull { queue: "mail".parse().unwrap(), max: 500 }),
    ]
}

/// What the example of a summary tells.
fn summed_up() -> Vec<Enqueued> {
    [&outcomes()[..3], &[duplicate(), taken()]].concat()
}

fn duplicate() -> Enqueued {
    Enqueued::Duplicate { id: ids()[5], state: StateName::Available, replaced: true }
}

fn taken() -> Enqueued {
    Enqueued::Refused(Refusal::UniqueTaken { key: "invoice 42".into(), holder: ids()[7] })
}

#[test]
fn every_example_is_read_and_written_again() {
    let mut count = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read(&path).unwrap();
        let written = rewrite(&name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let before: Value = serde_json::from_slice(&text).unwrap();
        let after: Value = serde_json::from_slice(&written)
            .unwrap_or_else(|error| panic!("{name}: wrote no JSON: {error}"));
        assert_eq!(before, after, "{name}");
        count += 1;
    }
    let operations = Operation::ALL.len();
    assert!(count > 2 * operations, "{count} examples for {operations} operations");
}

#[test]
fn every_operation_has_examples() {
    for operation in Operation::ALL {
        for side in ["request", "reply"] {
            let prefix = format!("{operation}.");
            let suffix = format!(".{side}.json");
            let is_there = std::fs::read_dir(examples()).unwrap().any(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.starts_with(&prefix) && name.ends_with(&suffix)
            });
            assert!(is_there, "no {side} of {operation}");
        }
    }
}

#[test]
fn replies_may_grow_but_requests_may_not() {
    let reply = br#"{"reports":[{"status":"already","colour":"red"}],"since":3}"#;
    assert_eq!(report::decode_reply(reply).unwrap().len(), 1);
    let request = br#"{"reports":[],"since":3}"#;
    let error = report::decode(request).unwrap_err();
    assert!(error.message.contains("unknown field `since`"), "{error}");
}

#[test]
fn what_debounces_or_throttles_lets_go_of_its_key_when_it_starts() {
    for (conflict, until) in [
        ("keep", Until::Finished),
        ("refuse", Until::Finished),
        ("debounce", Until::Claimed),
        ("throttle", Until::Claimed),
    ] {
        let request = format!(r#"{{"task":"a","unique_key":"k","on_conflict":"{conflict}"}}"#);
        let jobs = enqueue::decode(request.as_bytes()).unwrap().jobs;
        assert_eq!(jobs[0].unique.as_ref().unwrap().until, until, "{conflict}");
    }
    let request =
        br#"{"task":"a","unique_key":"k","unique_until":"finished","on_conflict":"throttle"}"#;
    let jobs = enqueue::decode(request).unwrap().jobs;
    assert_eq!(jobs[0].unique.as_ref().unwrap().until, Until::Finished);
}

#[test]
fn a_policy_names_one_thing() {
    for wrong in [
        "{}",
        r#"{"concurrency":1}"#,
        r#"{"group":"g"}"#,
        r#"{"queue":"q","task":"t"}"#,
        r#"{"queue":"q","key":"k"}"#,
        r#"{"task":"t","group":"g"}"#,
    ] {
        let error = policy::decode(wrong.as_bytes()).unwrap_err();
        assert!(error.message.contains("name a queue, a queue and a group"), "{wrong}: {error}");
    }
    let (subject, none) = policy::decode(br#"{"key":"k"}"#).unwrap();
    assert_eq!((subject, none), (Subject::Key("k".into()), None));
}

#[test]
fn args_travel_unread() {
    let request = br#"{"jobs":[{"task":"a","args": { "n": 1.50e0 , "s":"\u00fc" } }]}"#;
    let jobs = enqueue::decode(request).unwrap().jobs;
    assert_eq!(jobs[0].args.as_str(), r#"{ "n": 1.50e0 , "s":"\u00fc" }"#);
}
