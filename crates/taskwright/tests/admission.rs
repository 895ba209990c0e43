//! Unique keys, groups, limits and adjusted jobs, as an application uses them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use taskwright::testing::TestApp;
use taskwright::{
    Adjust, Controlled, ErrorCode, Job, Limit, Replace, StateName, Subject, Taskwright, task,
};

/// Far longer than anything here takes: it ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

#[task]
async fn sync(customer: u32, version: u32) -> u32 {
    customer * 100 + version
}

/// An application over each store of this process; the directory goes with it.
async fn stores() -> Vec<(Taskwright, Option<tempfile::TempDir>)> {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file:{}", directory.path().display());
    vec![
        (Taskwright::connect("memory:").await.unwrap(), None),
        (Taskwright::connect(&url).await.unwrap(), Some(directory)),
    ]
}

#[tokio::test]
async fn the_handle_of_a_duplicate_stands_for_the_holder() {
    for (app, _directory) in stores().await {
        let first = app.enqueue(sync::job(7, 1).unique_by(["customer"])).await.unwrap();
        assert!(!first.is_duplicate());
        let second = app.enqueue(sync::job(7, 2).unique_by(["customer"])).await.unwrap();
        let other = app.enqueue(sync::job(8, 1).unique_by(["customer"])).await.unwrap();
        assert!(second.is_duplicate() && !other.is_duplicate());
        assert_eq!(second.id(), first.id());
        let strict = sync::job(7, 2).unique_by(["customer"]).or_refuse();
        let refused = app.enqueue(strict).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert!(refused.message.contains(&first.id().to_string()), "{refused}");

        let worker = app.worker().serve(sync).start().unwrap();
        assert_eq!(second.result().await.unwrap(), 701, "the holder's args counted");
        let next = app.enqueue(sync::job(7, 3).unique_by(["customer"])).await.unwrap();
        assert!(!next.is_duplicate(), "an ended job holds its key no longer");
        assert_eq!(next.result().await.unwrap(), 703);
        worker.stop().await.unwrap();
        app.close().await.unwrap();
    }
}

#[tokio::test]
async fn duplicates_within_one_call_are_told_in_their_places() {
    let app = Taskwright::connect("memory:").await.unwrap();
    let jobs = [1, 1, 2, 1].map(|customer| sync::job(customer, 0).unique_by_args());
    let handles = app.enqueue_all(jobs.to_vec()).await.unwrap();
    let duplicates: Vec<bool> = handles.iter().map(|handle| handle.is_duplicate()).collect();
    assert_eq!(duplicates, [false, true, false, true]);
    assert_eq!(handles[3].id(), handles[0].id());
    assert_eq!(app.size("default").await.unwrap(), 2);
}

#[tokio::test]
async fn a_stream_of_jobs_is_debounced() {
    let app = TestApp::new().unwrap().serve(sync);
    let enqueue = |version| app.enqueue(sync::job(7, version).unique("c7").debounce("10s", "25s"));
    let first = enqueue(1).await.unwrap();
    for version in 2..4 {
        app.advance("9s").await.unwrap();
        assert!(enqueue(version).await.unwrap().is_duplicate());
        assert_eq!(app.run_until_idle().await.unwrap().attempts, 0, "it is pushed back");
    }
    app.advance("8s").await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().completed, 1, "at most 25 s after the first");
    assert_eq!(first.result().await.unwrap(), 703, "with the newest args");
    assert!(!enqueue(4).await.unwrap().is_duplicate());
}

#[tokio::test]
async fn a_stream_of_jobs_is_throttled() {
    let app = TestApp::new().unwrap().serve(sync);
    let enqueue = |version| app.enqueue(sync::job(7, version).unique("c7").throttle("10s"));
    let first = enqueue(1).await.unwrap();
    app.advance("9s").await.unwrap();
    enqueue(2).await.unwrap();
    app.advance("1s").await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().completed, 1, "its time stays");
    assert_eq!(first.result().await.unwrap(), 702, "with the newest args");
}

#[tokio::test]
async fn a_key_can_be_held_for_a_time() {
    let app = TestApp::new().unwrap().serve(sync);
    let enqueue = || app.enqueue(sync::job(7, 1).unique("daily").unique_for("1d"));
    enqueue().await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().completed, 1);
    app.advance("23h").await.unwrap();
    let same = enqueue().await.unwrap();
    assert!(same.is_duplicate());
    assert_eq!(same.status().await.unwrap(), Some(StateName::Completed));
    app.advance("1h").await.unwrap();
    assert!(!enqueue().await.unwrap().is_duplicate());
}

#[tokio::test]
async fn a_rate_lets_jobs_start_as_time_passes() {
    let app = TestApp::new().unwrap().serve(sync);
    app.set_limit(Limit::key("api").rate(6, "1m").burst(2)).await.unwrap();
    for number in 0..5 {
        app.enqueue(sync::job(number, 0).limit_key("api")).await.unwrap();
    }
    assert_eq!(app.run_until_idle().await.unwrap().completed, 2, "the burst");
    assert_eq!(app.counts_of("default").await.unwrap().in_line, 3);
    app.advance("10s").await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().completed, 1);
    app.advance("20s").await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().completed, 2);
}

#[tokio::test]
async fn each_group_has_a_limit_of_its_own() {
    for (app, _directory) in stores().await {
        app.set_limit(Limit::group("mail", "*").concurrency(1)).await.unwrap();
        for (number, group) in ["a", "a", "b"].into_iter().enumerate() {
            let job = Job::<()>::new("send", &number).queue("mail").group(group);
            app.enqueue(job).await.unwrap();
        }
        let consumer = app.consumer(["mail"]).unwrap();
        let first = consumer.claim(10, Duration::ZERO).await.unwrap();
        assert_eq!(first.len(), 2, "one of each group");
        assert_eq!(app.counts_of("mail").await.unwrap().in_line, 1);
        for job in &first {
            consumer.complete(job, &()).await.unwrap();
        }
        let second = consumer.claim(10, PATIENCE).await.unwrap();
        assert_eq!(second.len(), 1, "its group has room again");
        consumer.complete(&second[0], &()).await.unwrap();
        consumer.close().await;
        app.close().await.unwrap();
    }
}

#[tokio::test]
async fn limits_are_set_listed_and_taken_away() {
    for (app, _directory) in stores().await {
        app.set_limit(Limit::queue("mail").concurrency(5)).await.unwrap();
        app.set_limit(Limit::task("sync").rate(10, "1m").burst(3)).await.unwrap();
        app.set_limit(Limit::queue("mail").concurrency(4)).await.unwrap();
        let texts: Vec<String> = app.limits().await.unwrap().iter().map(Limit::to_string).collect();
        assert_eq!(texts, ["queue mail: at most 4 at once", "task sync: 10 in 1m (burst 3)"]);

        app.remove_limit(Limit::queue("mail")).await.unwrap();
        app.remove_limit(Limit::key("never set")).await.unwrap();
        let left = app.limits().await.unwrap();
        assert!(matches!(left[0].subject(), Subject::Task(_)) && left.len() == 1, "{left:?}");

        let nothing = app.set_limit(Limit::queue("mail")).await.unwrap_err();
        assert!(nothing.message.contains("remove_limit"), "{nothing}");
        let zero = app.set_limit(Limit::queue("mail").rate(0, "1m")).await.unwrap_err();
        assert_eq!(zero.code, ErrorCode::Invalid);
        app.close().await.unwrap();
    }
}

#[task(retry = "1s")]
async fn call(number: u32) -> Result<(), String> {
    Err(format!("the service is down, says {number}"))
}

#[tokio::test]
async fn retries_come_back_by_the_budget_of_their_queue() {
    let app = TestApp::new().unwrap().serve(call);
    app.set_limit(Limit::queue("default").retries(6, "1m").retries_burst(2)).await.unwrap();
    for number in 0..5 {
        app.enqueue(call::job(number)).await.unwrap();
    }
    assert_eq!(app.run_until_idle().await.unwrap().attempts, 5, "first attempts are not held up");
    app.advance("1s").await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().attempts, 2, "the burst");
    for seconds in [9, 10, 10, 10, 10, 10] {
        app.advance(Duration::from_secs(seconds)).await.unwrap();
        assert_eq!(app.run_until_idle().await.unwrap().attempts, 1);
    }
    let counts = app.counts_of("default").await.unwrap();
    assert_eq!((counts.scheduled, counts.dead), (5, 0), "none was dropped");
}

#[tokio::test]
async fn the_most_urgent_job_of_a_strict_queue_is_next() {
    for (app, _directory) in stores().await {
        app.set_limit(Limit::queue("default").strict()).await.unwrap();
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for number in 0..2 {
            low.push(app.enqueue(sync::job(number, 0)).await.unwrap().id());
            high.push(app.enqueue(sync::job(number, 0).priority(1)).await.unwrap().id());
        }
        let consumer = app.consumer(["default"]).unwrap();
        let mut started = Vec::new();
        for _ in 0..4 {
            let job = consumer.claim(1, Duration::ZERO).await.unwrap().remove(0);
            consumer.complete(&job, &()).await.unwrap();
            started.push(job.context().job_id());
        }
        assert_eq!(started, [high, low].concat());
        consumer.close().await;
        assert!(app.limits().await.unwrap()[0].is_strict());
        let both = Limit::queue("default").strict().fair();
        assert_eq!(app.set_limit(both).await.unwrap_err().code, ErrorCode::Invalid);
        app.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_refuses_new_jobs() {
    for (app, _directory) in stores().await {
        app.set_limit(Limit::queue("default").waiting(2)).await.unwrap();
        for number in 0..2 {
            app.enqueue(sync::job(number, 0)).await.unwrap();
        }
        let refused = app.enqueue(sync::job(2, 0)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::WaitingFull);
        assert!(refused.message.contains("queue default lets 2 jobs wait"), "{refused}");
        assert!(refused.retry_after.is_some());
        assert_eq!(app.counts_of("default").await.unwrap().ready, 2);

        let consumer = app.consumer(["default"]).unwrap();
        let job = consumer.claim(1, Duration::ZERO).await.unwrap().remove(0);
        app.enqueue(sync::job(2, 0)).await.unwrap();
        consumer.complete(&job, &()).await.unwrap();
        consumer.close().await;
        let limits = app.limits().await.unwrap();
        assert_eq!((limits[0].max_waiting(), limits[0].max_retries()), (Some(2), None));
        let of_a_key = app.set_limit(Limit::key("api").waiting(2)).await.unwrap_err();
        assert_eq!(of_a_key.code, ErrorCode::Invalid);
        app.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_waits_is_adjusted() {
    let app = TestApp::new().unwrap().serve(sync);
    let job = app.enqueue(sync::job(7, 1).delay("1h")).await.unwrap();
    let done = Controlled::Done { state: Some(StateName::Available) };
    let sooner = Adjust::new().delay("5m").priority(9);
    assert_eq!(job.adjust(sooner).await.unwrap(), done);
    assert_eq!(job.job().await.unwrap().unwrap().priority, 9);
    app.advance("299s").await.unwrap();
    assert_eq!(app.run_until_idle().await.unwrap().attempts, 0);
    assert_eq!(app.adjust(job.id(), Adjust::new().now()).await.unwrap(), done);
    assert_eq!(app.run_until_idle().await.unwrap().completed, 1);
    let refused = job.adjust(Adjust::new().priority(1)).await.unwrap();
    assert_eq!(refused, Controlled::Refused { state: StateName::Completed });

    assert!(job.adjust(Adjust::new()).await.unwrap_err().message.contains("nothing is to change"));
    let far = job.adjust(Adjust::new().delay("20000d")).await.unwrap_err();
    assert_eq!(far.code, ErrorCode::OverLimit);
}

#[tokio::test]
async fn a_job_that_is_adjusted_to_a_moment_starts_at_it() {
    let app = Taskwright::connect("memory:").await.unwrap();
    let worker = app.worker().serve(sync).start().unwrap();
    let job = app.enqueue(sync::job(7, 1).delay("1h")).await.unwrap();
    job.adjust(Adjust::new().delay("20ms")).await.unwrap();
    assert_eq!(job.result_timeout(PATIENCE).await.unwrap(), 701);
    worker.stop().await.unwrap();
}

#[test]
fn programs_without_async_code_can_do_the_same() {
    let app = Taskwright::connect_blocking("memory:").unwrap();
    app.set_limit(Limit::task("sync").concurrency(2)).unwrap();
    assert_eq!(app.limits().unwrap()[0].to_string(), "task sync: at most 2 at once");
    app.remove_limit(Limit::task("sync")).unwrap();
    assert!(app.limits().unwrap().is_empty());

    let first = app.enqueue(sync::job(7, 1).unique("k")).unwrap();
    let higher = Replace { priority: true, ..Replace::default() };
    let second = app.enqueue(sync::job(7, 1).unique("k").priority(4).or_replace(higher)).unwrap();
    assert!(second.is_duplicate() && second.enqueued().is_some());
    assert_eq!(first.job().unwrap().unwrap().priority, 4);
    first.adjust(Adjust::new().priority(-2)).unwrap();
    assert_eq!(app.get(first.id()).unwrap().unwrap().priority, -2);
    app.adjust(first.id(), Adjust::new().priority(0)).unwrap();
}

/// Sweeps come once a second; a rate that allows more than one start in that time is used.
#[tokio::test]
async fn a_rate_faster_than_sweeps_is_used() {
    for (app, _directory) in stores().await {
        for limit in [Limit::key("api"), Limit::queue("default")] {
            app.set_limit(limit.clone().rate(50, "1s")).await.unwrap();
            let worker = app.worker().serve(sync).slots(4).start().unwrap();
            let jobs = (0..60).map(|version| sync::job(1, version).limit_key("api"));
            let handles = app.enqueue_all(jobs.collect::<Vec<_>>()).await.unwrap();
            let all = async {
                for handle in &handles {
                    handle.result().await.unwrap();
                }
            };
            tokio::time::timeout(PATIENCE, all).await.expect("a start each 20 ms, not each second");
            worker.stop().await.unwrap();
            app.remove_limit(limit).await.unwrap();
        }
        app.close().await.unwrap();
    }
}
