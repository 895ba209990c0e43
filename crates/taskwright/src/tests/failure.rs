use super::*;

fn retry_of(outcome: &Outcome) -> Retry {
    match outcome {
        Outcome::Failed { retry, .. } => *retry,
        other => panic!("not a failure: {other:?}"),
    }
}

fn message_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { error, .. } => &error.message,
        other => panic!("not a failure: {other:?}"),
    }
}

#[test]
fn any_error_means_try_again() {
    let parse = "x".parse::<i32>().unwrap_err();
    assert_eq!(retry_of(&failed(parse.into())), Retry::ByPolicy);
    assert_eq!(message_of(&failed("plain text".into())), "plain text");
}

#[test]
fn a_task_error_says_what_follows() {
    let minute = Duration::from_secs(60);
    let fatal = failed(TaskError::fatal("gone").into());
    assert_eq!((retry_of(&fatal), message_of(&fatal)), (Retry::Never, "gone"));
    let after = failed(TaskError::retry_after("1m", "busy").into());
    assert_eq!((retry_of(&after), message_of(&after)), (Retry::After(minute), "busy"));
    assert_eq!(retry_of(&failed(TaskError::new("again").into())), Retry::ByPolicy);
    assert_eq!(failed(TaskError::snooze("1m").into()), Outcome::Snoozed { delay: minute });
    assert_eq!(failed(TaskError::release().into()), Outcome::Released);
    let reason = "withdrawn".into();
    assert_eq!(failed(TaskError::cancel("withdrawn").into()), Outcome::Cancelled { reason });
}

#[test]
fn wrapping_an_error_keeps_what_follows() {
    let wrapped = anyhow::Error::from(TaskError::fatal("gone")).context("reading").context("job");
    let outcome = failed(wrapped.into());
    assert_eq!((retry_of(&outcome), message_of(&outcome)), (Retry::Never, "job: reading: gone"));
    let boxed: BoxError = Box::new(TaskError::retry_after("2s", "busy"));
    assert_eq!(retry_of(&failed(boxed)), Retry::After(Duration::from_secs(2)));
}

#[test]
fn causes_are_told_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read: {0}")]
    struct Repeats(#[source] std::fmt::Error);
    let outcome = failed(Repeats(std::fmt::Error).into());
    assert_eq!(message_of(&outcome), Repeats(std::fmt::Error).to_string());
}

#[test]
fn a_duration_that_is_none_is_told_and_retried_by_policy() {
    let outcome = failed(TaskError::retry_after("soon", "busy").into());
    assert_eq!(retry_of(&outcome), Retry::ByPolicy);
    assert!(message_of(&outcome).starts_with("busy (retried by policy: \"soon\""));
    assert!(message_of(&failed(TaskError::snooze("soon").into())).starts_with("cannot snooze"));
}
