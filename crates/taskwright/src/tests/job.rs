use super::*;

fn job() -> Job<i64> {
    Job::new("add", &[4, 4])
}

#[test]
fn what_is_set_is_in_the_request() {
    let id = JobId::from_u128(1);
    let job = job()
        .queue("sums")
        .priority(3)
        .max_attempts(2)
        .timeout("1m 30s")
        .delay(Duration::from_secs(5))
        .retry(RetryPolicy::Fixed { delay_ms: 7 })
        .tag("red")
        .tag("blue")
        .requires(" gpu >= 24, !spot")
        .expires_at(Timestamp::from_millis(9))
        .trace("00-1-2-01")
        .id(id);
    let request = job.into_request().unwrap();
    assert_eq!((request.task.as_str(), request.queue.as_str()), ("add", "sums"));
    assert_eq!(request.args.as_str(), "[4,4]");
    assert_eq!((request.priority, request.max_attempts), (3, Some(2)));
    assert_eq!(request.timeout, Some(Duration::from_secs(90)));
    assert_eq!(request.start, Start::After(Duration::from_secs(5)));
    assert_eq!(request.retry, Some(RetryPolicy::Fixed { delay_ms: 7 }));
    assert_eq!(request.requires.to_string(), "gpu>=24,!spot");
    assert_eq!(request.tags, ["red".into(), "blue".into()]);
    assert_eq!(request.expires_at, Some(Timestamp::from_millis(9)));
    assert_eq!((request.trace.as_deref(), request.id), (Some("00-1-2-01"), Some(id)));
}

#[test]
fn the_first_fault_is_told_with_the_task() {
    let error = job().queue("Sums").delay("soon").into_request().unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.message.starts_with("cannot set the queue of a job of task add: \"Sums\""));
    let error = job().timeout("10").into_request().unwrap_err();
    assert!(error.message.contains("timeout of a job of task add"), "{error}");
    let error = job().requires("gpu>=many").into_request().unwrap_err();
    let expected = "cannot say what a job of task add requires: \"gpu>=many\"";
    assert!(error.message.starts_with(expected), "{error}");
    let error = Job::<()>::new("Add", &()).into_request().unwrap_err();
    assert!(error.message.starts_with("cannot make a job: \"Add\""), "{error}");
}

#[test]
fn args_that_are_not_json_are_told() {
    let pairs = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = Job::<()>::new("add", &pairs).into_request().unwrap_err();
    assert!(error.message.contains("use string keys"), "{error}");
}

fn unique(job: Job<i64>) -> (Unique, OnConflict) {
    let request = job.into_request().unwrap();
    (request.unique.unwrap(), request.on_conflict)
}

#[test]
fn a_key_is_held_until_the_end_or_as_long_as_was_said() {
    let until = |job: Job<i64>| unique(job).0.until;
    assert_eq!(until(job().unique("k")), Until::Finished);
    assert_eq!(until(job().unique("k").unique_until_claimed()), Until::Claimed);
    assert_eq!(until(job().unique_for("10m").unique("k")), Until::Elapsed { ms: 600_000 });
    assert_eq!(&*unique(job().unique("k")).0.key, "k");
    let error = job().unique_until_claimed().into_request().unwrap_err();
    assert!(error.message.contains("add .unique(key)"), "{error}");
    let error = job().unique("k").unique_for("long").into_request().unwrap_err();
    assert!(error.message.contains("unique key of a job of task add"), "{error}");
}

#[test]
fn a_conflict_does_what_was_said() {
    assert_eq!(unique(job().unique("k")).1, OnConflict::Keep);
    assert_eq!(unique(job().unique("k").or_refuse()).1, OnConflict::Refuse);
    let priority = Replace { priority: true, ..Replace::default() };
    let replacing = unique(job().unique("k").or_replace(priority));
    assert_eq!((replacing.0.until, replacing.1), (Until::Finished, OnConflict::Replace(priority)));
}

#[test]
fn what_waits_for_others_lets_go_of_its_key_when_it_starts() {
    let debounced = job().debounce("5s", "1m").unique("k").into_request().unwrap();
    assert_eq!(debounced.start, Start::After(Duration::from_secs(5)));
    assert_eq!(debounced.on_conflict, OnConflict::Replace(Replace::debounce(Some(60_000))));
    assert_eq!(debounced.unique.unwrap().until, Until::Claimed);
    let throttled = job().unique("k").throttle("1m").into_request().unwrap();
    assert_eq!(throttled.start, Start::After(Duration::from_secs(60)));
    assert_eq!(throttled.on_conflict, OnConflict::Replace(Replace::throttle()));
    assert_eq!(throttled.unique.unwrap().until, Until::Claimed);
    let for_long = job().unique("k").throttle("1m").unique_for("2m");
    assert_eq!(unique(for_long).0.until, Until::Elapsed { ms: 120_000 });
}

#[test]
fn group_and_limit_keys_are_in_the_request() {
    let request = job().group("a").limit_key("x").limit_key("y").into_request().unwrap();
    assert_eq!(request.group.as_deref(), Some("a"));
    assert_eq!(request.limit_keys, ["x".into(), "y".into()]);
}
