//! What programs do with jobs, on each store.

mod common;

use std::time::Duration;

use common::on_each_store;
use taskwright::{
    Context, Controlled, ErrorCode, Job, JobId, NoResult, StateName, TaskError, Taskwright, task,
};

#[task]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
fn multiply(a: i64, b: i64) -> i64 {
    a * b
}

#[task(name = "text.join", queue = "texts", max_attempts = 3, priority = -2, timeout = "10m")]
async fn join(words: Vec<String>, separator: Option<String>) -> Result<String, TaskError> {
    Ok(words.join(separator.as_deref().unwrap_or(" ")))
}

#[task(max_attempts = 1)]
async fn fail(message: String) -> anyhow::Result<()> {
    Err(anyhow::anyhow!(message).context("outer"))
}

#[task]
async fn refuse() -> anyhow::Result<()> {
    Err(TaskError::fatal("no such user")).map_err(|error| anyhow::anyhow!(error).context("asking"))
}

#[task]
async fn unwanted() -> Result<(), TaskError> {
    Err(TaskError::cancel("the order was withdrawn"))
}

#[task]
async fn who(ctx: &Context, name: String) -> String {
    format!("{name}:{}:{}", ctx.task(), ctx.attempt())
}

#[tokio::test]
async fn the_costs_of_what_a_worker_ran_are_told() {
    on_each_store(|app| async move {
        let worker = app.worker().serve(add).serve(multiply).start().unwrap();
        for number in 0..3 {
            app.enqueue(add::job(number, 1)).await.unwrap().result().await.unwrap();
        }
        app.enqueue(multiply::job(1, 1)).await.unwrap().result().await.unwrap();
        worker.stop().await.unwrap();
        let costs = app.costs().await.unwrap();
        let sums = costs.of_task(&"add".parse().unwrap()).unwrap();
        assert_eq!((sums.completed, sums.waiting.count, sums.running.count), (3, 3, 3));
        assert!(sums.running.p50 > Duration::ZERO && sums.running.max <= sums.running.sum);
        assert_eq!((costs.tasks.len(), costs.workers.len(), costs.cells.len()), (2, 1, 2));
        assert_eq!(costs.total.completed, 4);
    })
    .await;
}

#[tokio::test]
async fn a_job_gives_its_result() {
    on_each_store(|app| async move {
        let worker = app.worker().serve(add).serve(multiply).start().unwrap();
        let sum = app.enqueue(add::job(4, 4)).await.unwrap();
        let product = app.enqueue(multiply::job(4, 4)).await.unwrap();
        assert_eq!(sum.result().await.unwrap(), 8);
        assert_eq!(product.result().await.unwrap(), 16);
        assert_eq!(sum.status().await.unwrap(), Some(StateName::Completed));
        worker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn options_of_the_task_hold_for_its_jobs() {
    on_each_store(|app| async move {
        let job = join::job(vec!["a".into(), "b".into()], None);
        let handle = app.enqueue(job).await.unwrap();
        let job = handle.job().await.unwrap().unwrap();
        assert_eq!(job.task.as_str(), "text.join");
        assert_eq!(job.queue.as_str(), "texts");
        assert_eq!(job.priority, -2);
        assert_eq!(job.life.max_attempts, 3);
        assert_eq!(job.timeout_ms, Some(600_000));
        assert_eq!(job.args.unwrap().as_str(), r#"{"words":["a","b"],"separator":null}"#);

        // Where no queue is named, the worker serves those of its tasks.
        let worker = app.worker().serve(join).start().unwrap();
        assert_eq!(handle.result().await.unwrap(), "a b");
        worker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn args_are_read_by_name_and_by_position() {
    on_each_store(|app| async move {
        let worker = app.worker().serve(who).serve(join).queues(["default"]).start().unwrap();
        let by_position: Job<String> = Job::new("who", &["Ada"]);
        let by_name: Job<String> = Job::new("who", &serde_json::json!({"name": "Ada", "more": 1}));
        let absent: Job<String> = Job::new("text.join", &serde_json::json!({"words": ["a", "b"]}));
        for (job, expected) in [(by_position, "Ada:who:1"), (by_name, "Ada:who:1"), (absent, "a b")]
        {
            let handle = app.enqueue(job).await.unwrap();
            assert_eq!(handle.result().await.unwrap(), expected);
        }
        worker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn args_that_do_not_fit_end_the_job() {
    on_each_store(|app| async move {
        let worker = app.worker().serve(add).start().unwrap();
        let job: Job<i64> = Job::new("add", &serde_json::json!({"a": 1}));
        let handle = app.enqueue(job).await.unwrap();
        let Err(NoResult::Dead { cause, error, .. }) = handle.result().await else {
            panic!("the job is not dead")
        };
        assert_eq!((cause, &*error.as_ref().unwrap().kind), ("final", "undecodable"));
        assert!(error.unwrap().message.contains("missing field `b`"));
        worker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn errors_decide_what_follows() {
    on_each_store(|app| async move {
        let worker = app.worker().serve(fail).serve(refuse).serve(unwanted).start().unwrap();
        let failed = app.enqueue(fail::job("inner".into())).await.unwrap();
        let Err(NoResult::Dead { cause, message, .. }) = failed.result().await else {
            panic!("the job is not dead")
        };
        assert_eq!((cause, &*message), ("exhausted", "outer: inner"));

        // Below added context the decision is still found.
        let refused = app.enqueue(refuse::job()).await.unwrap();
        let Err(NoResult::Dead { cause, message, .. }) = refused.result().await else {
            panic!("the job is not dead")
        };
        assert_eq!((cause, &*message), ("final", "asking: no such user"));

        let withdrawn = app.enqueue(unwanted::job()).await.unwrap();
        let Err(NoResult::Cancelled { reason, .. }) = withdrawn.result().await else {
            panic!("the job is not cancelled")
        };
        assert_eq!(&*reason, "the order was withdrawn");
        worker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_waiting_job_can_be_cancelled_redriven_and_deleted() {
    on_each_store(|app| async move {
        let handle = app.enqueue(add::job(1, 2).delay("1h")).await.unwrap();
        assert_eq!(handle.status().await.unwrap(), Some(StateName::Available));
        let cancelled = handle.cancel("not needed").await.unwrap();
        assert_eq!(cancelled, Controlled::Done { state: Some(StateName::Cancelled) });
        let Err(NoResult::Cancelled { reason, .. }) = handle.result().await else {
            panic!("the job is not cancelled")
        };
        assert_eq!(&*reason, "not needed");

        app.redrive(handle.id(), 1).await.unwrap();
        let worker = app.worker().serve(add).start().unwrap();
        assert_eq!(handle.result().await.unwrap(), 3);
        worker.stop().await.unwrap();

        app.delete(handle.id()).await.unwrap();
        let Err(NoResult::Unknown { .. }) = handle.result().await else {
            panic!("the job is still there")
        };
        assert_eq!(app.cancel(handle.id(), "").await.unwrap(), Controlled::NotFound);
    })
    .await;
}

#[tokio::test]
async fn queues_can_be_looked_at() {
    on_each_store(|app| async move {
        assert!(app.is_empty("default").await.unwrap());
        let jobs = vec![add::job(1, 1), add::job(2, 2).priority(5), add::job(3, 3).delay("1h")];
        let handles = app.enqueue_all(jobs).await.unwrap();
        assert_eq!(app.size("default").await.unwrap(), 3);
        let counts = app.counts_of("default").await.unwrap();
        assert_eq!((counts.ready, counts.scheduled), (2, 1));
        let next = app.peek("default", 10).await.unwrap();
        let next: Vec<JobId> = next.iter().map(|job| job.id).collect();
        assert_eq!(next, [handles[1].id(), handles[0].id()]);

        let mut filter = app.filter();
        filter.limit = 2;
        let page = app.list(filter.clone()).await.unwrap();
        assert_eq!(page.jobs[0].id, handles[2].id());
        filter.before = page.next;
        assert_eq!(app.list(filter).await.unwrap().jobs[0].id, handles[0].id());
    })
    .await;
}

#[tokio::test]
async fn a_paused_queue_starts_no_job_and_join_waits_for_the_rest() {
    on_each_store(|app| async move {
        app.pause("default").await.unwrap();
        let worker = app.worker().serve(add).queues(["default", "other"]).start().unwrap();
        let held_back = app.enqueue(add::job(1, 1)).await.unwrap();
        let other = app.enqueue(add::job(2, 2).queue("other")).await.unwrap();
        // The other queue was served after the job of the paused one was there.
        assert_eq!(other.result().await.unwrap(), 4);
        assert_eq!(held_back.status().await.unwrap(), Some(StateName::Available));

        app.resume("default").await.unwrap();
        app.join("default").await.unwrap();
        assert_eq!(held_back.status().await.unwrap(), Some(StateName::Completed));
        worker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_same_id_makes_one_job() {
    on_each_store(|app| async move {
        let id = JobId::from_u128(7);
        app.enqueue(add::job(1, 1).id(id)).await.unwrap();
        app.enqueue(add::job(1, 1).id(id)).await.unwrap();
        assert_eq!(app.size("default").await.unwrap(), 1);
        let error = app.enqueue(add::job(1, 2).id(id)).await.unwrap_err();
        assert_eq!((error.code, error.item), (ErrorCode::Conflict, Some(0)));
    })
    .await;
}

#[tokio::test]
async fn a_batch_with_one_bad_job_changes_nothing() {
    on_each_store(|app| async move {
        let bad: [Job<i64>; 5] = [
            add::job(1, 1).queue("Mail"),
            add::job(1, 1).delay("10"),
            add::job(1, 1).priority(11),
            add::job(1, 1).timeout("0s"),
            Job::new("add", &"x".repeat(taskwright::limits::PAYLOAD_BYTES_MAX)),
        ];
        for job in bad {
            let error = app.enqueue_all(vec![add::job(1, 1), job]).await.unwrap_err();
            assert_eq!(error.item, Some(1), "{error}");
            assert!(
                error.message.contains("task add") || error.message.contains("args"),
                "{error}"
            );
        }
        assert!(app.is_empty("default").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn more_jobs_than_one_call_takes_are_sent_in_several() {
    on_each_store(|app| async move {
        let jobs = (0..2_500).map(|number| add::job(number, 0)).collect();
        let handles = app.enqueue_all(jobs).await.unwrap();
        assert_eq!(handles.len(), 2_500);
        assert_eq!(app.size("default").await.unwrap(), 2_500);
        let last = handles[2_499].job().await.unwrap().unwrap();
        assert_eq!(last.args.unwrap().as_str(), r#"{"a":2499,"b":0}"#);
    })
    .await;
}

#[tokio::test]
async fn a_result_is_waited_for_no_longer_than_asked() {
    on_each_store(|app| async move {
        let handle = app.enqueue(add::job(1, 1)).await.unwrap();
        let result = handle.result_timeout(Duration::from_millis(20)).await;
        assert!(matches!(result, Err(NoResult::NotYet { state: StateName::Available, .. })));
    })
    .await;
}

#[tokio::test]
async fn places_that_cannot_be_reached_are_refused_with_what_there_is() {
    for url in ["postgres:localhost/db", "redis://localhost", "data", "memory:x", "file:", "http:"]
    {
        let error = Taskwright::connect(url).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains(url) && error.message.contains("\"file:PATH\""), "{error}");
    }
    let options = taskwright::Options::new().token("secret");
    let error = options.connect("memory:").await.unwrap_err();
    assert!(error.message.contains("option token"), "{error}");
}

#[test]
fn programs_without_async_code_are_at_home() {
    let app = Taskwright::connect_blocking("memory:").unwrap();
    let worker = app.start_worker(|worker| worker.serve(multiply).slots(2)).unwrap();
    let handles = app.enqueue_all(vec![multiply::job(2, 3), multiply::job(3, 4)]).unwrap();
    let results: Vec<i64> = handles.iter().map(|handle| handle.result().unwrap()).collect();
    assert_eq!(results, [6, 12]);
    app.join("default").unwrap();
    worker.stop().unwrap();
    app.close().unwrap();
    assert_eq!(app.size("default").unwrap_err().code, ErrorCode::Closed);
}

#[tokio::test]
async fn jobs_can_be_taken_by_hand() {
    on_each_store(|app| async move {
        let first = app.enqueue(add::job(1, 2)).await.unwrap();
        let second = app.enqueue(add::job(3, 4).max_attempts(1)).await.unwrap();
        let third = app.enqueue(add::job(5, 6)).await.unwrap();
        let consumer = app.consumer(["default"]).unwrap();
        let jobs = consumer.claim(10, Duration::ZERO).await.unwrap();
        assert_eq!(jobs.len(), 3);
        let args: serde_json::Value = jobs[0].args().unwrap();
        assert_eq!(args["b"], 2);
        consumer.complete(&jobs[0], &3).await.unwrap();
        consumer.fail(&jobs[1], "no").await.unwrap();
        assert_eq!(first.result().await.unwrap(), 3);
        assert!(matches!(second.result().await, Err(NoResult::Dead { .. })));
        let error = consumer.complete(&jobs[1], &3).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Conflict);

        // What is held at the end is given back.
        consumer.close().await;
        let job = third.job().await.unwrap().unwrap();
        assert_eq!((job.state().name(), job.life.released), (StateName::Available, 1));
    })
    .await;
}
