use std::sync::Arc;

use taskwright_core::{JobError, Name, Token, WorkerId};
use taskwright_store::{Retry, WorkerInfo};

use super::*;

fn request() -> JobRequest {
    let task = Name::new("add").unwrap();
    JobRequest { id: Some(JobId::from_u128(1)), ..JobRequest::new(task, Json::from_trusted("[1]")) }
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn refusal(change: impl FnOnce(&mut JobRequest)) -> Error {
    let mut bad = request();
    change(&mut bad);
    let error = new_jobs(vec![request(), bad], NOW).unwrap_err();
    assert_eq!(error.item, Some(1), "{error}");
    error
}

#[test]
fn defaults_are_filled_in() {
    let jobs = new_jobs(vec![request()], NOW).unwrap();
    assert_eq!((jobs[0].max_attempts, jobs[0].timeout_ms, jobs[0].run_at), (20, None, None));
    assert!(jobs[0].extras.is_empty());
}

#[test]
fn a_start_becomes_an_instant_of_the_store() {
    let after = JobRequest { start: Start::After(Duration::from_secs(2)), ..request() };
    let at = JobRequest { start: Start::At(Timestamp::from_millis(7)), ..request() };
    let jobs = new_jobs(vec![after, at], NOW).unwrap();
    assert_eq!(jobs[0].run_at, Some(Timestamp::from_millis(3_000)));
    assert_eq!(jobs[1].run_at, Some(Timestamp::from_millis(7)));
}

#[test]
fn a_timeout_is_never_shorter_than_asked_for() {
    let short = JobRequest { timeout: Some(Duration::from_micros(1)), ..request() };
    assert_eq!(new_jobs(vec![short], NOW).unwrap()[0].timeout_ms, Some(1));
}

#[test]
fn what_makes_no_sense_is_invalid() {
    let refused = [
        refusal(|job| job.priority = 11),
        refusal(|job| job.priority = -11),
        refusal(|job| job.max_attempts = Some(0)),
        refusal(|job| job.timeout = Some(Duration::ZERO)),
        refusal(|job| job.args = Json::from_trusted("")),
        refusal(|job| job.tags = vec!["".into()]),
        refusal(|job| job.retry = Some(RetryPolicy::List { delays_ms: Vec::new() })),
    ];
    for error in refused {
        assert_eq!(error.code, ErrorCode::Invalid, "{error}");
        assert!(error.message.starts_with("cannot enqueue a job of task add: "), "{error}");
    }
}

#[test]
fn what_is_too_much_is_over_limit() {
    let far = limits::RUN_AT_AHEAD_MAX + Duration::from_secs(1);
    let long = u64::try_from(far.as_millis()).unwrap();
    let refused = [
        refusal(|job| job.args = Json::from_trusted("x".repeat(limits::PAYLOAD_BYTES_MAX + 1))),
        refusal(|job| job.max_attempts = Some(limits::ATTEMPTS_MAX + 1)),
        refusal(|job| job.timeout = Some(limits::TIMEOUT_MAX + Duration::from_secs(1))),
        refusal(|job| job.start = Start::After(far)),
        refusal(|job| job.start = Start::At(NOW.plus(far))),
        refusal(|job| job.tags = vec!["t".into(); limits::TAGS_MAX + 1]),
        refusal(|job| job.tags = vec!["t".repeat(limits::TAG_BYTES_MAX + 1).into()]),
        refusal(|job| job.trace = Some("t".repeat(limits::TRACE_BYTES_MAX + 1).into())),
        refusal(|job| job.retry = Some(RetryPolicy::Fixed { delay_ms: long + 1 })),
        refusal(|job| {
            let delays_ms = vec![1; limits::RETRY_DELAYS_MAX + 1];
            job.retry = Some(RetryPolicy::List { delays_ms });
        }),
    ];
    for error in refused {
        assert_eq!(error.code, ErrorCode::OverLimit, "{error}");
    }
}

#[test]
fn what_is_just_at_its_limit_passes() {
    let full = JobRequest {
        args: Json::from_trusted("x".repeat(limits::PAYLOAD_BYTES_MAX)),
        priority: limits::PRIORITY_MAX,
        max_attempts: Some(limits::ATTEMPTS_MAX),
        timeout: Some(limits::TIMEOUT_MAX),
        start: Start::At(NOW.plus(limits::RUN_AT_AHEAD_MAX)),
        tags: vec!["t".repeat(limits::TAG_BYTES_MAX).into(); limits::TAGS_MAX],
        ..request()
    };
    assert!(new_jobs(vec![full], NOW).is_ok());
}

#[test]
fn a_cost_is_required_of_the_slots_of_the_worker() {
    let with = |cost, requires: &str| JobRequest {
        cost,
        requires: requires.parse().unwrap(),
        ..request()
    };
    let made = |cost, requires| new_jobs(vec![with(cost, requires)], NOW).unwrap().remove(0).extras;
    assert!(made(Some(1), "").is_empty());
    assert_eq!(made(None, "gpu").cost, 0);
    let costly = made(Some(1_000), "gpu");
    assert_eq!((costly.cost, costly.requires.to_string()), (1_000, "gpu,slots>=1000".into()));
    assert_eq!(made(Some(4), "slots>=4").requires.to_string(), "slots>=4", "as it was shown");

    let refused = |cost, requires| new_jobs(vec![with(cost, requires)], NOW).unwrap_err();
    assert_eq!(refused(Some(0), "").code, ErrorCode::Invalid);
    assert_eq!(refused(Some(1_001), "").code, ErrorCode::OverLimit);
    assert_eq!(refused(None, "slots>=4").code, ErrorCode::Invalid);
}

#[test]
fn the_label_slots_is_a_number() {
    let labelled = |labels: &str| Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(1),
        seq: 1,
        profile: Profile {
            queues: vec![Name::default_name()],
            tasks: None,
            labels: labels.parse().unwrap(),
        }
        .into(),
        max: 1,
        free: Default::default(),
        wait: Duration::ZERO,
        in_process: false,
    };
    assert!(claim(&mut labelled("slots=4")).is_ok());
    for labels in ["slots", "slots=0", "slots=4.5", "slots=many"] {
        let error = claim(&mut labelled(labels)).unwrap_err();
        assert!(error.message.contains("give a whole number from 1"), "{error}");
    }
}

#[test]
fn batches_are_bounded_in_items_and_bytes() {
    let many = vec![request(); limits::BATCH_MAX + 1];
    assert_eq!(new_jobs(many, NOW).unwrap_err().code, ErrorCode::OverLimit);
    let large = Json::from_trusted("x".repeat(limits::PAYLOAD_BYTES_MAX));
    let heavy = vec![JobRequest { args: large, ..request() }; 9];
    let error = new_jobs(heavy, NOW).unwrap_err();
    assert!(error.message.contains("smaller batches"), "{error}");
}

fn report(outcome: Outcome) -> Report {
    Report {
        namespace: Name::default_name(),
        id: JobId::from_u128(1),
        token: Token { epoch: 1, attempt: 1, nonce: 1 },
        outcome,
    }
}

#[test]
fn an_error_that_is_too_long_is_cut_and_not_refused() {
    let error = JobError { kind: "error".into(), message: "x".repeat(100_000).into() };
    let mut failed = [report(Outcome::Failed { error, retry: Retry::Never })];
    reports(&mut failed).unwrap();
    let Outcome::Failed { error, .. } = &failed[0].outcome else { panic!("another outcome") };
    assert_eq!(error.message.len(), limits::ERROR_BYTES_MAX);
}

#[test]
fn a_result_that_is_too_long_names_its_report() {
    let result = Some(Json::from_trusted("x".repeat(limits::PAYLOAD_BYTES_MAX + 1)));
    let mut both = [report(Outcome::Released), report(Outcome::Completed { result })];
    let error = reports(&mut both).unwrap_err();
    assert_eq!((error.code, error.item), (ErrorCode::OverLimit, Some(1)));
}

#[test]
fn claims_are_checked_and_cut() {
    let profile = |queues: Vec<Name>, tasks| Profile { queues, tasks, labels: Default::default() };
    let whole = Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(1),
        seq: 1,
        profile: Arc::new(profile(vec![Name::default_name()], None)),
        max: 5_000,
        free: Default::default(),
        wait: Duration::from_secs(5_000),
        in_process: true,
    };
    let mut cut = whole.clone();
    claim(&mut cut).unwrap();
    assert_eq!((cut.max, cut.wait), (limits::BATCH_MAX, limits::WAIT_MAX));
    let wrong = [
        Claim { seq: 0, ..whole.clone() },
        Claim { max: 0, ..whole.clone() },
        Claim { profile: Arc::new(profile(Vec::new(), None)), ..whole.clone() },
        Claim {
            profile: Arc::new(profile(vec![Name::default_name()], Some(Vec::new()))),
            ..whole.clone()
        },
    ];
    for mut wrong in wrong {
        assert_eq!(claim(&mut wrong).unwrap_err().code, ErrorCode::Invalid);
    }
}

#[test]
fn heartbeats_are_checked() {
    let name =
        |bytes: usize| WorkerInfo { name: "w".repeat(bytes).into(), ..WorkerInfo::default() };
    let beat = |info| Heartbeat {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(1),
        settled: 0,
        held: Vec::new(),
        progress: Vec::new(),
        info,
    };
    assert!(heartbeat(&beat(name(limits::WORKER_NAME_BYTES_MAX))).is_ok());
    let error = heartbeat(&beat(name(limits::WORKER_NAME_BYTES_MAX + 1))).unwrap_err();
    assert_eq!(error.code, ErrorCode::OverLimit);
}

#[test]
fn a_claim_says_how_much_of_each_resource_is_free() {
    let with = |has: &str, free: &str| {
        let profile = Profile {
            queues: vec![Name::default_name()],
            tasks: None,
            labels: has.parse().unwrap(),
        };
        claim(&mut Claim {
            namespace: Name::default_name(),
            worker: WorkerId::from_u128(1),
            seq: 1,
            profile: Arc::new(profile),
            max: 1,
            free: free.parse().unwrap(),
            wait: Duration::ZERO,
            in_process: false,
        })
    };
    with("64 of memory,gpu=24", "memory=64").unwrap();
    with("64 of memory,2 of gpu", "gpu=0,memory=9").unwrap();
    for (has, free, told) in [
        ("64 of memory", "", "has the resource memory and does not say how much of it is free"),
        ("64 of memory,2 of gpu", "memory=1", "has the resource gpu"),
        ("64 of memory", "memory=65", "65 of memory are free, and it has 64 in all"),
        ("gpu=24", "gpu=1", "gpu is free, and none of its resources"),
    ] {
        let refused = with(has, free).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid);
        assert!(refused.message.contains(told), "{}", refused.message);
    }
}
