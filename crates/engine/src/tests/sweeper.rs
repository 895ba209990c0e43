use super::*;

#[test]
fn pauses_after_failures_grow_and_stay_bounded() {
    for failures in 0..100 {
        for chance in [0, 1, u64::MAX / 2, u64::MAX] {
            let pause = pause_after(failures, chance);
            assert!((SWEEP_EVERY..=PAUSE_MAX).contains(&pause), "{failures} {chance}: {pause:?}");
        }
    }
    assert_eq!(pause_after(0, u64::MAX), SWEEP_EVERY);
}

#[test]
fn a_store_that_is_gone_is_not_swept_again() {
    assert!(is_over(ErrorCode::Closed) && is_over(ErrorCode::Stopped));
    assert!(!is_over(ErrorCode::Unavailable) && !is_over(ErrorCode::Busy));
}

#[test]
fn however_many_jobs_come_due_there_are_at_most_fifty_sweeps_a_second() {
    let began = Instant::now();
    let mut pace = Pace { next: began };
    let mut now = began;
    let mut sweeps = 0;
    while now < began + Duration::from_secs(10) {
        pace.swept(now);
        sweeps += 1;
        // A job comes due every millisecond.
        now = (now + Duration::from_millis(1)).max(pace.free_at());
    }
    assert!((500..=510).contains(&sweeps), "{sweeps}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_is_when_a_job_comes_due_also_one_that_came_after_the_wait_began() {
    let due = Due::default();
    let began = Instant::now();
    let at = |millis| began + Duration::from_millis(millis);
    due.by(at(700));
    due.by(at(900));
    let sooner = async {
        sleep_until(at(100)).await;
        due.by(at(300));
    };
    tokio::join!(until(&due, at(20), at(1_000)), sooner);
    assert_eq!(Instant::now(), at(300));
    until(&due, at(320), at(1_000)).await;
    assert_eq!(Instant::now(), at(320));
    due.forget();
    until(&due, at(340), at(1_000)).await;
    assert_eq!(Instant::now(), at(1_000));
}

#[test]
fn reports_say_when_their_jobs_come_due_again() {
    let report = |outcome| Report {
        namespace: taskwright_core::Name::default_name(),
        id: taskwright_core::JobId::from_u128(1),
        token: taskwright_core::Token { epoch: 1, attempt: 1, nonce: 1 },
        outcome,
    };
    let failed = |retry| {
        let error = taskwright_core::JobError::new("error", "it broke");
        report(Outcome::Failed { error, retry })
    };
    let millis = Duration::from_millis;
    assert_eq!(due_after(&[report(Outcome::Released), failed(Retry::Never)]), None);
    assert_eq!(due_after(&[failed(Retry::After(Duration::ZERO))]), None);
    assert_eq!(due_after(&[failed(Retry::ByPolicy)]), Some(RETRY_LOOK));
    let snoozed = report(Outcome::Snoozed { delay: millis(40) });
    assert_eq!(due_after(&[failed(Retry::After(millis(70))), snoozed]), Some(millis(40)));
}
