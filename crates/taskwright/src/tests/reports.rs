use taskwright_core::{JobId, Json, StateName, Token};

use super::*;

fn report(number: u128, outcome: Outcome) -> (Report, Then) {
    let report = Report {
        namespace: Name::default_name(),
        id: JobId::from_u128(number),
        token: Token { epoch: 1, attempt: 1, nonce: 1 },
        outcome,
    };
    let (task, queue) = (Name::default_name(), Name::default_name());
    (report, Then::End { task, queue, duration: Duration::ZERO })
}

fn outbox(outcomes: impl IntoIterator<Item = Outcome>) -> Outbox {
    let mut outbox = Outbox::default();
    for (number, outcome) in (1..).zip(outcomes) {
        let (report, then) = report(number, outcome);
        outbox.push(report, then);
    }
    outbox
}

fn ids(batch: &Batch) -> Vec<u128> {
    batch.reports.iter().map(|report| report.id.as_u128()).collect()
}

fn invalid() -> Error {
    Error::new(ErrorCode::Invalid, "it makes no sense")
}

#[test]
fn batches_are_bounded_in_items_and_bytes() {
    let mut many = outbox(vec![Outcome::Released; BATCH_MAX + 1]);
    assert_eq!(many.next_batch().reports.len(), BATCH_MAX);
    assert_eq!(many.next_batch().reports.len(), 1);

    let large = Json::from_trusted("x".repeat(BATCH_BYTES_MAX / 2));
    let mut heavy = outbox(vec![Outcome::Completed { result: Some(large) }; 3]);
    assert_eq!(ids(&heavy.next_batch()), [1, 2]);
    assert_eq!(ids(&heavy.next_batch()), [3]);
}

#[test]
fn after_a_refusal_reports_are_sent_one_by_one_in_their_order() {
    let mut outbox = outbox([Outcome::Released, Outcome::TimedOut, Outcome::Released]);
    let batch = outbox.next_batch();
    assert!(outbox.take_back(batch, &invalid()).is_none());
    for number in 1..=3 {
        assert!(outbox.is_careful());
        assert_eq!(ids(&outbox.next_batch()), [number]);
    }
    assert!(!outbox.is_careful() && outbox.is_empty());
}

#[test]
fn a_report_that_is_refused_alone_becomes_a_final_failure_and_is_given_up_at_last() {
    let mut outbox = outbox([Outcome::Released]);
    let batch = outbox.next_batch();
    assert!(outbox.take_back(batch, &invalid()).is_none());
    let batch = outbox.next_batch();
    let Outcome::Failed { error, retry: Retry::Never } = &batch.reports[0].outcome else {
        panic!("it is no final failure")
    };
    assert!(error.message.contains("it makes no sense"));
    assert!(outbox.take_back(batch, &invalid()).is_some());
    assert!(outbox.is_empty());
}

#[test]
fn hooks_hear_what_became_of_each_attempt_even_if_one_panics() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hear = std::sync::Arc::clone(&heard);
    let hooks: [Hook; 2] = [
        std::sync::Arc::new(|_: &Completion| panic!("a hook")),
        std::sync::Arc::new(move |completion: &Completion| {
            hear.lock().unwrap().push((completion.id.as_u128(), completion.reported.clone()));
        }),
    ];
    let applied = Reported::Applied { state: StateName::Completed };
    let batch = outbox([Outcome::Released, Outcome::Released]).next_batch();
    batch.answered(Ok(vec![applied.clone(), Reported::Stale]), &hooks);
    let batch = outbox([Outcome::Released]).next_batch();
    batch.answered(Err(invalid()), &hooks);
    let expected = [(1, Some(applied)), (2, Some(Reported::Stale)), (1, None)];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[test]
fn a_checkpoint_that_is_stale_is_an_error_for_its_task() {
    let mut outbox = Outbox::default();
    let (saved, mut answer) = oneshot::channel();
    let (report, _) = report(1, Outcome::Checkpoint { value: Json::null() });
    outbox.push(report, Then::Saved(saved));
    let batch = outbox.next_batch();
    assert_eq!(batch.over().count(), 0);
    batch.answered(Ok(vec![Reported::Stale]), &[]);
    assert_eq!(answer.try_recv().unwrap().unwrap_err().code, ErrorCode::Conflict);
}
