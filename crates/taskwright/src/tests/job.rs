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
    let error = Job::<()>::new("Add", &()).into_request().unwrap_err();
    assert!(error.message.starts_with("cannot make a job: \"Add\""), "{error}");
}

#[test]
fn args_that_are_not_json_are_told() {
    let pairs = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = Job::<()>::new("add", &pairs).into_request().unwrap_err();
    assert!(error.message.contains("use string keys"), "{error}");
}
