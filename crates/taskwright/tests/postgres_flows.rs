//! What programs do with jobs that a PostgreSQL database keeps: nothing but the URL differs.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{bounded, eventually};
use taskwright::{Context, ErrorCode, Limit, StateName, TaskError, Taskwright, shown, task};
use taskwright_testbed::{Postgres, Proxy, Schema, available, fresh_schema};

#[task]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
async fn nap(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Says how many runs of it there are at once, itself included.
#[task]
async fn crowd(milliseconds: u64) -> usize {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    running
}

/// Runs until it is told to stop, and says why.
#[task(max_attempts = 1)]
async fn endless(ctx: &Context) -> Result<(), TaskError> {
    let reason = ctx.cancelled().await;
    Err(TaskError::cancel(format!("{reason:?}")))
}

fn schema(test: &str) -> Option<(Schema, String)> {
    let schema = available(&format!("postgres_flows::{test}"), fresh_schema())?;
    let url = in_schema(schema.url(), schema.name());
    Some((schema, url))
}

fn in_schema(url: &str, name: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}schema={name}")
}

async fn connect(url: &str) -> Taskwright {
    Taskwright::connect(url).await.unwrap()
}

#[tokio::test]
async fn hello_world() {
    let Some((_schema, url)) = schema("hello_world") else { return };
    let app = connect(&url).await;
    let worker = app.worker().serve(add).start().unwrap();
    let handle = app.enqueue(add::job(4, 4)).await.unwrap();
    assert_eq!(bounded(handle.result()).await.unwrap(), 8);
    assert_eq!(app.counts_of("default").await.unwrap().completed, 1);
    worker.stop().await.unwrap();
    app.close().await.unwrap();
    assert_eq!(app.enqueue(add::job(1, 1)).await.unwrap_err().code, ErrorCode::Closed);
}

#[tokio::test]
async fn two_applications_share_the_work_of_one_database() {
    let Some((_schema, url)) = schema("two_applications") else { return };
    let (one, two) = (connect(&url).await, connect(&url).await);
    let workers = [&one, &two].map(|app| app.worker().slots(4).serve(nap).start().unwrap());
    until_hinted(&one, &two).await;
    let jobs = (0..100).map(|_| nap::job(20)).collect();
    let handles = one.enqueue_all(jobs).await.unwrap();
    let mut ran_by = Vec::new();
    for handle in handles {
        bounded(handle.result()).await.unwrap();
        let job = two.get(handle.id()).await.unwrap().unwrap();
        assert_eq!(job.life.attempt, 1, "each ran once");
        ran_by.push(job.worker.unwrap());
    }
    for worker in &workers {
        assert!(ran_by.contains(&worker.id()), "each worker has its share");
    }
    let nodes = two.nodes().await.unwrap();
    assert_eq!(nodes.len(), 2);
    assert!(nodes[0].epoch < nodes[1].epoch && nodes[0].seen_at >= nodes[0].started_at);
    for worker in workers {
        worker.stop().await.unwrap();
    }
    one.close().await.unwrap();
    assert_eq!(two.nodes().await.unwrap().len(), 1, "who closes is gone");
    two.close().await.unwrap();
}

#[tokio::test]
async fn a_limit_holds_for_all_applications_of_one_database() {
    let Some((_schema, url)) = schema("limited") else { return };
    let (one, two) = (connect(&url).await, connect(&url).await);
    one.set_limit(Limit::task("crowd").concurrency(3)).await.unwrap();
    two.set_limit(Limit::group("default", "*").concurrency(1)).await.unwrap();
    assert_eq!(one.limits().await.unwrap().len(), 2);
    let workers = [&one, &two].map(|app| app.worker().slots(8).serve(crowd).start().unwrap());
    let jobs = (0..40).map(|number: i32| match number % 4 {
        0 => crowd::job(10),
        group => crowd::job(10).group(&format!("group {group}")),
    });
    let handles = one.enqueue_all(jobs.collect()).await.unwrap();
    let mut most = 0;
    for handle in handles {
        most = bounded(handle.result()).await.unwrap().max(most);
    }
    assert!((2..=3).contains(&most), "{most} at once");
    for worker in workers {
        worker.stop().await.unwrap();
    }
    one.close().await.unwrap();
    two.close().await.unwrap();
}

/// Says how much memory is taken at once, itself included.
#[task(takes(memory = 3))]
async fn hungry(milliseconds: u64) -> usize {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let taken = TAKEN.fetch_add(3, Ordering::SeqCst) + 3;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    TAKEN.fetch_sub(3, Ordering::SeqCst);
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_take_no_more_of_a_resource_than_their_worker_has() {
    let Some((_schema, url)) = schema("resources") else { return };
    let apps = [connect(&url).await, connect(&url).await];
    // One that has no memory runs beside it, and claims the plain way.
    let with_memory = apps[0].worker().serve(hungry).serve(add).resource("memory", 7).start();
    let without = apps[1].worker().serve(hungry).serve(add).start().unwrap();
    let mut taken = Vec::new();
    let mut added = Vec::new();
    for number in 0..12 {
        taken.push(apps[number % 2].enqueue(hungry::job(20)).await.unwrap());
        added.push(apps[number % 2].enqueue(add::job(1, 1)).await.unwrap());
    }
    let never = apps[0].enqueue(hungry::job(1).takes("memory", 8)).await.unwrap();
    for handle in &taken {
        let together = bounded(handle.result()).await.unwrap();
        assert!(together <= 6, "{together} of 7");
    }
    for handle in &added {
        assert_eq!(bounded(handle.result()).await.unwrap(), 2);
    }
    let why = apps[1].why(never.id()).await.unwrap().unwrap();
    assert_eq!(why.verdict, "no live worker has 8 of memory in all, the most is 7");
    without.stop().await.unwrap();
    with_memory.unwrap().stop().await.unwrap();
    for app in apps {
        app.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_rate_lets_jobs_start_when_their_time_has_come() {
    let Some((_schema, url)) = schema("paced") else { return };
    let app = connect(&url).await;
    app.set_limit(Limit::key("api").rate(5, "1s")).await.unwrap();
    app.set_limit(Limit::queue("slow").rate(5, "1s")).await.unwrap();
    let worker = app.worker().queues(["default", "slow"]).slots(8).serve(add).start().unwrap();
    let keyed = (0..15).map(|number| add::job(number, 0).limit_key("api"));
    let slow = (0..15).map(|number| add::job(number, 0).queue("slow"));
    let begun = Instant::now();
    for jobs in [keyed.collect::<Vec<_>>(), slow.collect()] {
        let mut starts = Vec::new();
        for handle in app.enqueue_all(jobs).await.unwrap() {
            bounded(handle.result()).await.unwrap();
            starts.push(app.get(handle.id()).await.unwrap().unwrap().started_at.unwrap());
        }
        starts.sort_unstable();
        for pair in starts.windows(2) {
            let apart = pair[1].since(pair[0]);
            assert!(apart >= Duration::from_millis(200), "{apart:?} apart");
        }
    }
    // With sweeps alone, every second, it would take longer.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(25), "28 times 200 ms took {took:?}");
    worker.stop().await.unwrap();
    app.close().await.unwrap();
}

#[tokio::test]
async fn a_result_is_waited_for_on_another_node_than_its_worker() {
    let Some((_schema, url)) = schema("result_elsewhere") else { return };
    let (here, there) = (connect(&url).await, connect(&url).await);
    let handle = here.enqueue(add::job(2, 3)).await.unwrap();
    let waiting = tokio::spawn(async move { handle.result().await });
    let worker = there.worker().serve(add).start().unwrap();
    assert_eq!(bounded(waiting).await.unwrap().unwrap(), 5);
    worker.stop().await.unwrap();
    there.close().await.unwrap();
    here.close().await.unwrap();
}

#[tokio::test]
async fn a_cancel_reaches_a_job_on_another_node_soon() {
    let Some((_schema, url)) = schema("cancel_elsewhere") else { return };
    let (here, there) = (connect(&url).await, connect(&url).await);
    let worker = there.worker().serve(endless).start().unwrap();
    // Nodes learn of each other with their sweeps; from then on they send each other hints.
    until_hinted(&here, &there).await;
    let handle = here.enqueue(endless::job()).await.unwrap();
    let id = handle.id();
    let running = || async {
        let job = here.get(id).await.unwrap().unwrap();
        (job.state().name() == StateName::Running).then_some(())
    };
    eventually(running).await;
    let asked = Instant::now();
    handle.cancel("enough").await.unwrap();
    let ended = bounded(handle.ended()).await.unwrap().unwrap();
    let took = asked.elapsed();
    assert_eq!(ended.state().name(), StateName::Cancelled);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    println!("cancelled on the other node after {took:?}");
    worker.stop().await.unwrap();
    there.close().await.unwrap();
    here.close().await.unwrap();
}

/// Waits until both have looked for others since both were there.
async fn until_hinted(here: &Taskwright, there: &Taskwright) {
    for app in [here, there] {
        let seen_since = || async {
            let nodes = app.nodes().await.unwrap();
            let newest = nodes.iter().map(|node| node.started_at).max();
            nodes.iter().all(|node| Some(node.seen_at) > newest).then_some(())
        };
        eventually(seen_since).await;
    }
}

#[tokio::test]
async fn a_delayed_job_starts_on_another_node_when_it_is_due() {
    let Some((_schema, url)) = schema("delay") else { return };
    let (here, there) = (connect(&url).await, connect(&url).await);
    let worker = there.worker().serve(add).start().unwrap();
    until_hinted(&here, &there).await;
    let handle = here.enqueue(add::job(1, 1).delay("700ms")).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), Some(StateName::Available));
    assert_eq!(bounded(handle.result()).await.unwrap(), 2);
    let job = here.get(handle.id()).await.unwrap().unwrap();
    let started_at = job.started_at.unwrap();
    assert!(started_at >= job.run_at, "{job:?}");
    let late = started_at.since(job.run_at);
    assert!(late < Duration::from_secs(1), "it started {late:?} after it was due");
    println!("it started {late:?} after it was due");
    worker.stop().await.unwrap();
    there.close().await.unwrap();
    here.close().await.unwrap();
}

#[tokio::test]
async fn work_goes_on_when_the_database_is_back() {
    let Some((_schema, url)) = schema("outage") else { return };
    let proxy = Proxy::before(&url).unwrap();
    let app = connect(&format!("{}&deadline_ms=1000", proxy.url(&url).unwrap())).await;
    let worker = app.worker().serve(add).start().unwrap();
    assert_eq!(bounded(app.enqueue(add::job(1, 1)).await.unwrap().result()).await.unwrap(), 2);
    assert_eq!(app.api().outage(), None);

    proxy.cut().unwrap();
    let known = || async { app.api().outage() };
    let why = eventually(known).await;
    assert!(why.contains("PostgreSQL at 127.0.0.1"), "{why}");
    // A bare call says so in time; an enqueue of the library is repeated until it is through.
    let error = bounded(app.api().describe()).await.unwrap_err();
    assert!(error.code == ErrorCode::Unavailable && error.retry_after.is_some(), "{error}");
    let enqueuing = tokio::spawn({
        let app = app.clone();
        async move { app.enqueue(add::job(2, 2)).await }
    });

    proxy.heal().unwrap();
    let handle = bounded(enqueuing).await.unwrap().unwrap();
    assert_eq!(bounded(handle.result()).await.unwrap(), 4);
    eventually(|| async { app.api().outage().is_none().then_some(()) }).await;
    worker.stop().await.unwrap();
    app.close().await.unwrap();
}

/// Calls come from runtimes that end, and from those that have no network of their own.
#[test]
fn a_store_outlives_the_runtime_that_opened_it() {
    let Some((_schema, url)) = schema("runtimes") else { return };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = runtime().block_on(connect(&url));
    for number in 0..3 {
        let enqueued = runtime().block_on(app.enqueue(add::job(number, 0)));
        enqueued.unwrap();
    }
    let without_network = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let counts = without_network.unwrap().block_on(app.counts_of("default")).unwrap();
    assert_eq!(counts.ready, 3);
    runtime().block_on(app.close()).unwrap();
}

#[tokio::test]
async fn a_password_is_in_no_message() {
    let server = Postgres::options().password().start();
    let Some(server) = available("postgres_flows::password", server) else { return };
    let url = server.url("postgres");
    let (head, rest) = url.split_once("://").unwrap();
    let (account, place) = rest.split_once('@').unwrap();
    let (user, password) = account.split_once(':').unwrap();
    let app = connect(&url).await;
    let told = format!("{app:?} {:?} {}", app.describe().await.unwrap(), shown(&url));
    assert!(!told.contains(password), "{told}");
    app.close().await.unwrap();

    let wrong = format!("{head}://{user}:wrongsecret@{place}");
    let error = Taskwright::connect(&wrong).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unusable);
    assert!(
        !error.message.contains("wrongsecret") && error.message.contains("password"),
        "{error}"
    );
}
