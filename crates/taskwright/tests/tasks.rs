//! What functions can be tasks.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::collections::HashMap;

use taskwright::testing::TestApp;
use taskwright::{BoxError, Context, RetryPolicy, StateName, Task, TaskError, task};

mod inner {
    /// Documented.
    #[taskwright::task(name = "inner.visible")]
    pub(crate) async fn visible() -> u8 {
        7
    }
}

#[task]
async fn nothing() {}

#[task]
async fn many(
    mut total: i64,
    r#type: Option<String>,
    by_name: HashMap<String, Vec<(u8, bool)>>,
    context: u8,
    args: u8,
) -> String {
    total += i64::from(context) + i64::from(args);
    format!("{total} {:?} {}", r#type, by_name.len())
}

#[task]
async fn owned(ctx: Context, name: String) -> std::result::Result<String, std::fmt::Error> {
    Ok(format!("{name} {}", ctx.attempt()))
}

type MyResult<T> = Result<T, BoxError>;

#[task(blocking)]
fn aliased(fails: bool) -> MyResult<Vec<u8>> {
    if fails { Err(TaskError::fatal("asked to").into()) } else { Ok(vec![1, 2]) }
}

#[task(retry = ["1s", "1m"], timeout = "90s", priority = -10, max_attempts = 7, queue = "q")]
async fn tuned() -> anyhow::Result<()> {
    anyhow::bail!("again")
}

#[tokio::test]
async fn tasks_of_many_shapes_run() {
    let app = TestApp::new().unwrap();
    let app = app.serve(inner::visible).serve(nothing).serve(many).serve(owned).serve(aliased);
    let visible = app.enqueue(inner::visible::job()).await.unwrap();
    let nothing_comes = app.enqueue(nothing::job()).await.unwrap();
    let map = HashMap::from([("x".to_owned(), vec![(1, true)])]);
    let all = app.enqueue(many::job(40, Some("t".into()), map, 1, 1)).await.unwrap();
    let by_owner = app.enqueue(owned::job("Ada".into())).await.unwrap();
    let bytes = app.enqueue(aliased::job(false)).await.unwrap();
    let refused = app.enqueue(aliased::job(true)).await.unwrap();
    let ran = app.run_until_idle().await.unwrap();
    assert_eq!((ran.attempts, ran.completed), (6, 5));
    assert_eq!(visible.result().await.unwrap(), 7);
    nothing_comes.result().await.unwrap();
    assert_eq!(all.result().await.unwrap(), r#"42 Some("t") 1"#);
    assert_eq!(by_owner.result().await.unwrap(), "Ada 1");
    assert_eq!(bytes.result().await.unwrap(), [1, 2]);
    assert_eq!(refused.status().await.unwrap(), Some(StateName::Dead));
}

#[tokio::test]
async fn the_function_can_be_called_without_a_queue() {
    assert_eq!(inner::visible::call().await, 7);
    assert_eq!(aliased::call(false).unwrap(), [1, 2]);
    assert!(tuned::call().await.is_err());
}

#[test]
fn options_become_part_of_the_job() {
    let request = tuned::job().into_request().unwrap();
    let delays_ms = vec![1_000, 60_000];
    assert_eq!(request.retry, Some(RetryPolicy::List { delays_ms }));
    assert_eq!(request.timeout, Some(std::time::Duration::from_secs(90)));
    assert_eq!((request.priority, request.max_attempts), (-10, Some(7)));
    assert_eq!((request.queue.as_str(), tuned::QUEUE), ("q", "q"));
    assert_eq!((inner::visible::NAME, many::NAME), ("inner.visible", "many"));
    // What the job itself says, counts.
    let request = tuned::job().queue("other").priority(1).into_request().unwrap();
    assert_eq!((request.queue.as_str(), request.priority), ("other", 1));
}

#[tokio::test]
async fn a_task_can_be_declared_in_a_function() {
    #[task]
    async fn local(n: u8) -> u8 {
        n + 1
    }
    let app = TestApp::new().unwrap().serve(local);
    let handle = app.enqueue(local::job(1)).await.unwrap();
    app.run_until_idle().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 2);
}
