//! Report.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{ATTEMPTS_KEPT_FIRST, ATTEMPTS_KEPT_LAST};
use taskwright_core::{
    Cause, Extras, JobError, Json, Name, NewJob, RetryPolicy, StateName, Token, Verdict,
    lifecycle::State, retry,
};

use super::Harness;
use super::scene::*;
use crate::request::*;

/// One outcome of each kind that ends an attempt.
fn endings() -> Vec<Outcome> {
    vec![
        Outcome::Completed { result: Some(Json::from_trusted("42")) },
        Outcome::Failed { error: JobError::new("error", "it broke"), retry: Retry::ByPolicy },
        Outcome::Failed { error: JobError::new("error", "it broke"), retry: Retry::Never },
        Outcome::TimedOut,
        Outcome::Snoozed { delay: MINUTE },
        Outcome::Released,
        Outcome::Cancelled { reason: "enough".into() },
    ]
}

/// A report whose reply was lost is repeated, and counts once.
pub async fn l1_the_same_report_again_is_already(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    for (number, outcome) in (1..).zip(endings()) {
        scene.add(vec![job(number)]).await;
        let claimed = scene.take_one(&mut worker).await;
        let first = scene.report(&claimed, outcome.clone()).await;
        assert!(matches!(first, Reported::Applied { .. }), "{outcome:?}: {first:?}");
        let before = scene.job(number).await;

        assert_eq!(scene.report(&claimed, outcome.clone()).await, Reported::Already, "{outcome:?}");
        assert_eq!(scene.job(number).await, before, "{outcome:?}");
        if !before.life.state.is_final() {
            scene.command(cancel(number, "next one")).await;
        }
    }
}

/// Once an attempt has ended, no other report of it counts.
pub async fn l1_another_report_of_an_ended_attempt_is_stale(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 2).await;
    scene.report(&claimed[0], completed()).await;
    scene.report(&claimed[1], Outcome::Snoozed { delay: MINUTE }).await;
    let before = (scene.job(1).await, scene.job(2).await);

    let checkpoint = Outcome::Checkpoint { value: Json::from_trusted("1") };
    for outcome in [failed(), Outcome::TimedOut, Outcome::Released, checkpoint] {
        for claimed in &claimed {
            let answer = scene.report(claimed, outcome.clone()).await;
            assert_eq!(answer, Reported::Stale, "{outcome:?}");
        }
    }
    assert_eq!((scene.job(1).await, scene.job(2).await), before);
}

/// The report of a worker that lost its lease is refused, whoever has the job now.
pub async fn l1_a_late_report_is_stale(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let late = scene.take_one(&mut Hand::new(1)).await;
    scene.outlive_lease().await;
    assert_eq!(scene.report(&late, completed()).await, Reported::Stale);
    assert_eq!(scene.state(1).await, StateName::Available);

    let mut second = Hand::new(2);
    let current = scene.take_one(&mut second).await;
    assert_eq!(current.token.attempt, 2);
    assert_eq!(scene.report(&late, completed()).await, Reported::Stale);
    let made_up = ClaimedJob {
        token: Token { nonce: current.token.nonce ^ 1, ..current.token },
        ..current.clone()
    };
    assert_eq!(scene.report(&made_up, completed()).await, Reported::Stale);
    assert_eq!(scene.state(1).await, StateName::Running);
    assert_eq!(scene.report(&current, completed()).await, applied(StateName::Completed));
    assert_eq!(scene.report(&late, completed()).await, Reported::Stale);
}

/// Of different reports of one attempt at the same time one counts.
pub async fn l1_reports_at_the_same_time_count_once(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    let reports = endings().into_iter().cycle().take(14).map(|outcome| {
        let store = Arc::clone(&scene.store);
        let report =
            Report { namespace: Name::default_name(), id: id(1), token: claimed.token, outcome };
        tokio::spawn(async move { store.report(vec![report]).await.expect("a report") })
    });
    let mut states = Vec::new();
    for report in reports.collect::<Vec<_>>() {
        match report.await.expect("a reporter")[..] {
            [Reported::Applied { state }] => states.push(state),
            [Reported::Already | Reported::Stale] => {}
            ref other => panic!("one answer of a known job: {other:?}"),
        }
    }
    assert_eq!(states, [scene.state(1).await]);
}

/// A report of a job that was never there, or is there no longer, changes nothing.
pub async fn a_report_of_an_unknown_job_is_unknown(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    let other = ClaimedJob { id: id(2), ..claimed.clone() };
    assert_eq!(scene.report(&other, completed()).await, Reported::Unknown);
    scene.report(&claimed, completed()).await;
    scene.command(delete(1)).await;
    assert_eq!(scene.report(&claimed, completed()).await, Reported::Unknown);
    let elsewhere = Report {
        namespace: name("elsewhere"),
        id: id(1),
        token: claimed.token,
        outcome: completed(),
    };
    let answers = scene.store.report(vec![elsewhere]).await.expect("a report");
    assert_eq!(answers, [Reported::Unknown]);
}

/// One report's failure never touches its neighbours, and answers keep the order.
pub async fn reports_stand_each_for_itself(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=3)).await;
    let claimed = scene.take(&mut Hand::new(1), 3).await;
    let unknown = ClaimedJob { id: id(9), ..claimed[0].clone() };

    let reports = vec![
        (&claimed[2], completed()),
        (&unknown, completed()),
        (&claimed[0], Outcome::Released),
        (&claimed[2], completed()),
        (&claimed[2], Outcome::Released),
        (&claimed[1], completed()),
    ];
    let answers = scene.report_all(reports).await;

    let expected = [
        applied(StateName::Completed),
        Reported::Unknown,
        applied(StateName::Available),
        Reported::Already,
        Reported::Stale,
        applied(StateName::Completed),
    ];
    assert_eq!(answers, expected);
}

/// Failures and timeouts are counted, and the one that reaches `max_attempts` is the end.
pub async fn l3_failures_spend_and_the_last_is_the_end(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let extras = Extras { retry: Some(RetryPolicy::Fixed { delay_ms: 0 }), ..Extras::default() };
    scene.add(vec![NewJob { max_attempts: 3, extras, ..job(1) }]).await;
    let mut worker = Hand::new(1);
    for (spent, outcome) in [failed(), Outcome::TimedOut].into_iter().enumerate() {
        let claimed = scene.take_one(&mut worker).await;
        assert_eq!(claimed.failures as usize, spent);
        assert_eq!(claimed.token.attempt as usize, spent + 1);
        assert_eq!(scene.report(&claimed, outcome).await, applied(StateName::Available));
    }
    let last = scene.take_one(&mut worker).await;
    assert_eq!(scene.report(&last, failed()).await, applied(StateName::Dead));

    let dead = scene.job(1).await;
    assert_eq!(dead.life.state, State::Dead(Cause::Exhausted));
    assert_eq!((dead.life.failures, dead.life.attempt), (3, 3));
    assert_eq!(dead.finished_at, Some(scene.now()));
    assert_eq!(dead.error, Some(JobError::new("error", "it broke")));
    let verdicts: Vec<_> = dead.attempts.iter().map(|attempt| attempt.verdict).collect();
    assert_eq!(verdicts, [Verdict::Failed, Verdict::TimedOut, Verdict::Failed]);
    let kinds: Vec<_> = dead.attempts.iter().flat_map(|a| &a.error).map(|e| &*e.kind).collect();
    assert_eq!(kinds, ["error", "timeout", "error"]);
    assert_eq!(scene.take(&mut worker, 1).await, []);
}

/// Snoozing and giving back cost nothing, and still make a new attempt.
pub async fn l3_snoozed_and_released_attempts_are_unspent(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![NewJob { max_attempts: 1, ..job(1) }]).await;
    let mut worker = Hand::new(1);
    for attempt in 1..=6 {
        let claimed = scene.take_one(&mut worker).await;
        assert_eq!((claimed.token.attempt, claimed.failures), (attempt, 0));
        let delay = Duration::ZERO;
        let outcome = if attempt % 2 == 0 { Outcome::Released } else { Outcome::Snoozed { delay } };
        assert_eq!(scene.report(&claimed, outcome).await, applied(StateName::Available));
    }
    let life = scene.job(1).await.life;
    assert_eq!((life.attempt, life.failures, life.snoozed, life.released), (6, 0, 3, 3));
}

/// An error that says so is not retried.
pub async fn a_final_error_is_the_end(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    let error = JobError::new("undecodable", "args are not a number");
    let outcome = Outcome::Failed { error: error.clone(), retry: Retry::Never };
    assert_eq!(scene.report(&claimed, outcome).await, applied(StateName::Dead));
    let dead = scene.job(1).await;
    assert_eq!(dead.life.state, State::Dead(Cause::Final));
    assert_eq!((dead.error, dead.life.failures), (Some(error), 1));
}

/// Retries wait as long as the policy says for this job, attempt and number of failures.
pub async fn retries_wait_as_their_policy_says(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let list = RetryPolicy::List { delays_ms: vec![1_000, 70_000] };
    let policies = [RetryPolicy::default(), list];
    let with_policy = |(number, policy): (u128, &RetryPolicy)| NewJob {
        extras: Extras { retry: Some(policy.clone()), ..Extras::default() },
        ..job(number)
    };
    scene.add((1..).zip(&policies).map(with_policy).collect()).await;
    scene.add(vec![job(3)]).await;
    let mut worker = Hand::new(1);

    for failures in 1..=3 {
        let claimed = scene.take(&mut worker, 3).await;
        assert_eq!(claimed.len(), 3, "all are due");
        for job in &claimed {
            let error = JobError::new("error", "it broke");
            let outcome = Outcome::Failed { error, retry: Retry::ByPolicy };
            scene.report(job, outcome).await;
            let number = job.id.as_u128();
            let policy = if number == 2 { &policies[1] } else { &policies[0] };
            let wait = policy.delay(failures, retry::seed(job.id, job.token.attempt));
            assert_eq!(scene.job(number).await.run_at, scene.now().plus(wait), "job {number}");
        }
        scene.clock.advance(HOUR);
        scene.sweep().await;
    }
}

/// An error may say itself when to try again, and at once means at once.
pub async fn a_retry_may_say_its_own_wait(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let mut worker = Hand::new(1);
    let failed = |retry| Outcome::Failed { error: JobError::new("error", "it broke"), retry };
    let claimed = scene.take_one(&mut worker).await;
    scene.report(&claimed, failed(Retry::After(Duration::ZERO))).await;

    let claimed = scene.take_one(&mut worker).await;
    scene.report(&claimed, failed(Retry::After(MINUTE))).await;
    assert_eq!(scene.counts("default").await.scheduled, 1);
    scene.clock.advance(MINUTE - SECOND);
    scene.sweep().await;
    assert_eq!(scene.take(&mut worker, 1).await, []);
    scene.clock.advance(SECOND);
    scene.sweep().await;
    assert_eq!(scene.take_one(&mut worker).await.failures, 2);
}

/// What an attempt saved is there for the next one, whatever ended it.
pub async fn a_checkpoint_reaches_the_next_attempt(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    assert_eq!(first.checkpoint, None);
    for value in ["1", "[2]"] {
        let outcome = Outcome::Checkpoint { value: Json::from_trusted(value) };
        for _repeated in 0..2 {
            let answer = scene.report(&first, outcome.clone()).await;
            assert_eq!(answer, applied(StateName::Running));
        }
    }
    scene.outlive_lease().await;
    let late = Outcome::Checkpoint { value: Json::from_trusted("3") };
    assert_eq!(scene.report(&first, late).await, Reported::Stale);

    let second = scene.take_one(&mut worker).await;
    assert_eq!(second.checkpoint, Some(Json::from_trusted("[2]")));
    scene.report(&second, failed()).await;
    assert_eq!(scene.take_one(&mut worker).await.checkpoint, second.checkpoint);
}

/// Of many attempts the first and the last are kept.
pub async fn attempts_are_kept_first_and_last(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![NewJob { max_attempts: 100, ..job(1) }]).await;
    let mut worker = Hand::new(1);
    for attempt in 1..=30 {
        let claimed = scene.take_one(&mut worker).await;
        scene.clock.advance(SECOND);
        let error = JobError::new("error", &format!("broken {attempt}"));
        let retry = Retry::After(Duration::ZERO);
        scene.report(&claimed, Outcome::Failed { error, retry }).await;
    }
    let last = scene.take_one(&mut worker).await;
    scene.report(&last, completed()).await;

    let job = scene.job(1).await;
    let kept: Vec<_> = job.attempts.iter().map(|attempt| attempt.attempt).collect();
    let first_of_last = 30 - ATTEMPTS_KEPT_LAST as u32 + 1;
    assert_eq!(
        kept,
        (1..=ATTEMPTS_KEPT_FIRST as u32).chain(first_of_last..=30).collect::<Vec<_>>()
    );
    for record in &job.attempts {
        assert_eq!(record.worker, worker.id);
        assert_eq!(record.ended_at, record.started_at.plus(SECOND));
        let error = record.error.as_ref().expect("an error");
        assert_eq!(*error.message, *format!("broken {}", record.attempt));
    }
    assert_eq!(job.error, Some(JobError::new("error", "broken 30")));
}

/// A completion that arrives after the wish to cancel still counts, and the wish is noted.
pub async fn l4_a_completion_wins_against_a_cancel(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    assert_eq!(scene.command(cancel(1, "too late")).await, done(StateName::Running));

    let result = Some(Json::from_trusted("42"));
    let outcome = Outcome::Completed { result: result.clone() };
    assert_eq!(scene.report(&claimed, outcome).await, applied(StateName::Completed));

    let job = scene.job(1).await;
    assert_eq!((job.result, job.finished_at), (result, Some(scene.now())));
    assert!(job.life.cancel_requested);
    assert_eq!(job.cancel_reason.as_deref(), Some("too late"));
}

/// After the wish to cancel, whatever else ends the attempt ends the job cancelled.
pub async fn l4_what_does_not_complete_ends_cancelled(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    let endings = endings().into_iter().filter(|o| !matches!(o, Outcome::Completed { .. }));
    for (number, outcome) in (1..).zip(endings) {
        scene.add(vec![job(number)]).await;
        let claimed = scene.take_one(&mut worker).await;
        scene.command(cancel(number, "first")).await;
        scene.command(cancel(number, "second")).await;
        let answer = scene.report(&claimed, outcome.clone()).await;
        assert_eq!(answer, applied(StateName::Cancelled), "{outcome:?}");
        let job = scene.job(number).await;
        assert_eq!(job.cancel_reason.as_deref(), Some("first"), "{outcome:?}");
        assert_eq!(job.finished_at, Some(scene.now()));
    }
    scene.add(vec![job(90)]).await;
    scene.take_one(&mut worker).await;
    scene.command(cancel(90, "stop")).await;
    scene.outlive_lease().await;
    assert_eq!(scene.state(90).await, StateName::Cancelled);
}

/// A task that asks not to be run again ends its job cancelled, with its reason.
pub async fn a_task_cancels_its_own_job(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let claimed = scene.take_one(&mut Hand::new(1)).await;
    let outcome = Outcome::Cancelled { reason: "nothing to do".into() };
    assert_eq!(scene.report(&claimed, outcome).await, applied(StateName::Cancelled));
    let jobs = scene.store.get(&Name::default_name(), &[id(1)]).await.expect("a get");
    let job = jobs[0].as_ref().expect("the job");
    assert_eq!(job.cancel_reason.as_deref(), Some("nothing to do"));
    assert_eq!((job.life.failures, job.finished_at), (0, Some(scene.now())));
}
