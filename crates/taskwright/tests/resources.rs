//! Jobs that take of the resources of their worker, as an application uses them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::handlers::{Blocking, DONE, Running, brisk, job};
use common::{eventually, on_each_store};
use taskwright::testing::TestApp;
use taskwright::{
    BlockerKind, ErrorCode, Handle, Handler, Job, Resources, Result, StateName, Taskwright, Worker,
    task,
};
use tokio::sync::Semaphore;

/// How much is taken of each resource by what runs, and the most that ever was; the order of starts.
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    now: BTreeMap<&'static str, u64>,
    most: BTreeMap<&'static str, u64>,
    started: Vec<String>,
}

impl Meter {
    fn begin(&self, task: &str, amounts: &[(&'static str, u64)]) {
        let mut taken = self.0.lock().unwrap();
        taken.started.push(task.to_owned());
        for &(resource, amount) in amounts {
            let now = taken.now.entry(resource).or_default();
            *now += amount;
            let now = *now;
            let most = taken.most.entry(resource).or_default();
            *most = now.max(*most);
        }
    }

    fn end(&self, amounts: &[(&'static str, u64)]) {
        let mut taken = self.0.lock().unwrap();
        for (resource, amount) in amounts {
            *taken.now.get_mut(resource).unwrap() -= amount;
        }
    }

    fn most(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unwrap().most.clone().into_iter().collect()
    }

    fn started(&self) -> Vec<String> {
        self.0.lock().unwrap().started.clone()
    }

    /// A handler of jobs that take so much, which lets others start beside it.
    fn taking(&self, amounts: &'static [(&'static str, u64)]) -> impl Handler {
        let meter = self.clone();
        Running(move |context: taskwright::Context| {
            let meter = meter.clone();
            async move {
                meter.begin(context.task().as_str(), amounts);
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                meter.end(amounts);
                DONE
            }
        })
    }
}

async fn all_done(handles: &[Handle<()>]) {
    for handle in handles {
        common::bounded(handle.result()).await.unwrap();
    }
}

const SMALL: &[(&str, u64)] = &[("memory", 3)];
const LARGE: &[(&str, u64)] = &[("memory", 8)];
const BOTH: &[(&str, u64)] = &[("gpu", 1), ("memory", 2)];

fn taking(task: &str, amounts: &[(&str, u64)]) -> Job<()> {
    amounts.iter().fold(job(task), |job, (resource, amount)| job.takes(resource, *amount))
}

fn worker(app: &Taskwright, meter: &Meter) -> Worker {
    let worker = brisk(app).slots(16).resource("memory", 10).resource("gpu", 2);
    let worker = worker.handler("small", meter.taking(SMALL));
    let worker = worker.handler("large", meter.taking(LARGE)).handler("both", meter.taking(BOTH));
    worker.handler("plain", meter.taking(&[]))
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_what_runs_never_takes_more_than_the_worker_has() {
    on_each_store(async |app| {
        let kinds = [("small", SMALL), ("both", BOTH), ("plain", &[]), ("large", LARGE)];
        let mut handles = Vec::new();
        for number in 0..80 {
            let (name, amounts) = kinds[number % 4];
            handles.push(app.enqueue(taking(name, amounts)).await.unwrap());
        }
        let meter = Meter::default();
        let running = worker(&app, &meter).start().unwrap();
        all_done(&handles).await;
        running.stop().await.unwrap();
        let most = meter.most();
        assert_eq!(
            most.iter().map(|(resource, _)| *resource).collect::<Vec<_>>(),
            ["gpu", "memory"]
        );
        assert!(most[0].1 <= 2 && (8..=10).contains(&most[1].1), "{most:?}");
        assert_eq!(meter.started().len(), 80);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_two_workers_each_keep_to_what_they_have() {
    on_each_store(async |app| {
        let mut handles = Vec::new();
        for number in 0..40 {
            let (name, amounts) = [("small", SMALL), ("large", LARGE)][number % 2];
            handles.push(app.enqueue(taking(name, amounts)).await.unwrap());
        }
        let meters = [Meter::default(), Meter::default()];
        let running = meters.each_ref().map(|meter| worker(&app, meter).start().unwrap());
        all_done(&handles).await;
        for worker in running {
            worker.stop().await.unwrap();
        }
        for meter in &meters {
            assert!(meter.most().iter().all(|(_, most)| *most <= 10), "{:?}", meter.most());
        }
        assert_eq!(meters.iter().map(|meter| meter.started().len()).sum::<usize>(), 40);
    })
    .await;
}

/// A handler that waits for a permit.
fn gated(gate: &Arc<Semaphore>) -> impl Handler {
    let permits = Arc::clone(gate);
    Running(move |_| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await.unwrap().forget();
            DONE
        }
    })
}

async fn is_running(handle: &Handle<()>) -> Option<()> {
    (handle.status().await.unwrap() == Some(StateName::Running)).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_job_waits_for_a_resource_and_says_so() {
    on_each_store(async |app| {
        let (gate, meter) = (Arc::new(Semaphore::new(0)), Meter::default());
        let worker = worker(&app, &meter).handler("gated", gated(&gate));
        let running = worker.start().unwrap();
        let first = app.enqueue(job("gated").takes("memory", 4)).await.unwrap();
        eventually(async || is_running(&first).await).await;
        let waiting = app.enqueue(taking("large", LARGE)).await.unwrap();
        let behind = app.enqueue(job("plain")).await.unwrap();
        let why = eventually(async || {
            let why = app.why(waiting.id()).await.unwrap().unwrap();
            (why.blockers.first()?.kind == BlockerKind::Resources).then_some(why)
        })
        .await;
        let told = "1 worker matches, and none has the 8 of memory free, the most is 6";
        assert_eq!(why.verdict, told);
        let workers = app.workers().await.unwrap();
        assert_eq!(workers[0].resources_taken, "memory=4".parse::<Resources>().unwrap());
        let placement = app.place(taking("large", LARGE)).await.unwrap();
        let told = "1 of 1 worker matches, 0 of them with a free slot and 8 of memory free";
        assert_eq!(placement.verdict, told);
        let still = behind.status().await.unwrap();
        assert_eq!(still, Some(StateName::Available), "it does not overtake");
        gate.add_permits(1);
        all_done(&[first, waiting, behind]).await;
        assert_eq!(meter.started().len(), 2);
        running.stop().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_what_never_fits_is_told_and_holds_nobody_up() {
    on_each_store(async |app| {
        let meter = Meter::default();
        let waiting = app.enqueue(job("small").takes("memory", 80)).await.unwrap();
        let lacking = app.enqueue(job("small").takes("disk", 1)).await.unwrap();
        let plain = app.enqueue(job("plain")).await.unwrap();
        let running = worker(&app, &meter).start().unwrap();
        all_done(&[plain]).await;
        let why = app.why(waiting.id()).await.unwrap().unwrap();
        assert_eq!(why.verdict, "no live worker has 80 of memory in all, the most is 10");
        assert_eq!(why.blockers[0].kind, BlockerKind::Placement);
        let why = app.why(lacking.id()).await.unwrap().unwrap();
        assert_eq!(why.verdict, "no live worker has 1 of disk in all");
        let placement = app.place(job("small").takes("memory", 80)).await.unwrap();
        let detail = &placement.workers[0].excluded[0].detail;
        assert_eq!(detail, "has 10 of memory in all, asked is 80 of memory");
        running.stop().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thread_still_has_is_not_given_to_others() {
    let app = common::handlers::memory().await;
    let (tell, told) = std::sync::mpsc::channel();
    let told = Arc::new(Mutex::new(told));
    let meter = Meter::default();
    let stuck = Blocking(move |_: &taskwright::Context| {
        told.lock().unwrap().recv().unwrap();
        DONE
    });
    let worker = worker(&app, &meter).handler("stuck", stuck);
    let running = worker.start().unwrap();
    let stuck = job("stuck").takes("memory", 5).timeout("50ms").max_attempts(1);
    let stuck = app.enqueue(stuck).await.unwrap();
    eventually(async || (stuck.status().await.unwrap() == Some(StateName::Dead)).then_some(()))
        .await;
    let large = app.enqueue(taking("large", LARGE)).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(300), large.result()).await;
    assert!(waited.is_err(), "the thread still has 5 of 10");
    tell.send(()).unwrap();
    all_done(&[large]).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() -> Result<()> {
    let app = common::handlers::memory().await;
    for (job, told) in [
        (job("x").takes("memory", 0), "it takes 0 of memory; give at least 1"),
        (job("x").takes("Memory", 1), "Memory"),
        (job("x").takes("slots", 1), "is its cost"),
    ] {
        let refused = app.enqueue(job).await.unwrap_err();
        assert!(refused.message.contains(told), "{}", refused.message);
        assert!(refused.message.starts_with("cannot say what a job of task x takes"));
    }
    let none = || app.worker().handler("x", Meter::default().taking(&[]));
    for worker in [
        none().resource("slots", 8),
        none().label("gpu", "24").resource("gpu", 2),
        none().resource("gpu", 2).label("gpu", "24"),
    ] {
        assert_eq!(worker.start().unwrap_err().code, ErrorCode::Invalid);
    }
    Ok(())
}

#[task(takes(memory = 8, "gpu.v100" = 1), requires = "linux")]
async fn train(model: u32) -> u32 {
    model + 1
}

#[tokio::test]
async fn a_task_says_what_its_jobs_take() -> Result<()> {
    let requires =
        |job: Job<u32>| -> Result<String> { Ok(job.into_request()?.requires.to_string()) };
    assert_eq!(requires(train::job(1))?, "1 of gpu.v100,linux,8 of memory");
    let more = train::job(1).takes("memory", 16).requires("spot");
    assert_eq!(requires(more)?, "1 of gpu.v100,16 of memory,spot");
    let app = TestApp::new()?.serve(train).label("linux", "")?;
    let handles = [
        app.enqueue(train::job(1)).await?,
        app.enqueue(train::job(2).takes("memory", 1).cost(3)).await?,
    ];
    assert_eq!(app.run_until_idle().await?.completed, 2);
    assert_eq!(handles[0].result().await.unwrap(), 2);
    assert_eq!(handles[1].result().await.unwrap(), 3);
    Ok(())
}

#[tokio::test]
async fn a_consumer_has_what_its_jobs_leave() -> Result<()> {
    let app = common::handlers::memory().await;
    for memory in [6, 6] {
        app.enqueue(job("x").takes("memory", memory)).await?;
    }
    let without = app.consumer(["default"])?;
    assert!(without.claim(2, Duration::ZERO).await?.is_empty());
    let consumer = app.consumer(["default"])?.resource("memory", 10)?;
    let claimed = consumer.claim(2, Duration::ZERO).await?;
    assert_eq!(claimed.len(), 1);
    assert!(consumer.claim(2, Duration::ZERO).await?.is_empty());
    consumer.complete(&claimed[0], &()).await?;
    assert_eq!(consumer.claim(2, Duration::ZERO).await?.len(), 1);
    Ok(())
}
