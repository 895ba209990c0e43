//! Jobs that cost more than one slot, as an application uses them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::{Arc, Mutex};

use common::handlers::{DONE, Running, brisk, job};
use common::{eventually, on_each_store};
use taskwright::testing::TestApp;
use taskwright::{
    BlockerKind, ErrorCode, Job, LoadMeasure, LoadMeter, Result, StateName, Taskwright, Worker,
    task,
};
use tokio::sync::Semaphore;

/// What started, in order, and how many slots it took together with what ran at that moment.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Starts>>);

#[derive(Default)]
struct Starts {
    /// Tasks, and how many slots were taken then.
    seen: Vec<(String, usize)>,
    taken: usize,
}

impl Seen {
    /// A handler of jobs that take so many slots.
    fn taking(
        &self,
        slots: usize,
    ) -> Running<impl Fn(taskwright::Context) -> futures_of::Boxed + Send + Sync + 'static> {
        let seen = self.clone();
        Running(move |context: taskwright::Context| {
            let seen = seen.clone();
            let future: futures_of::Boxed = Box::pin(async move {
                {
                    let mut inside = seen.0.lock().unwrap();
                    inside.taken += slots;
                    let taken = inside.taken;
                    inside.seen.push((context.task().to_string(), taken));
                }
                // Others get a chance to start beside it.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                seen.0.lock().unwrap().taken -= slots;
                DONE
            });
            future
        })
    }

    fn started(&self) -> Vec<(String, usize)> {
        self.0.lock().unwrap().seen.clone()
    }
}

mod futures_of {
    use std::pin::Pin;

    pub type Boxed = Pin<Box<dyn Future<Output = taskwright::Outcome> + Send>>;
}

fn large(slots: u32) -> Job<()> {
    job("large").cost(slots)
}

/// Enqueues jobs one after another.
async fn enqueued(app: &Taskwright, jobs: Vec<Job<()>>) -> Vec<taskwright::Handle<()>> {
    let mut handles = Vec::new();
    for job in jobs {
        handles.push(app.enqueue(job).await.unwrap());
    }
    handles
}

fn worker(app: &Taskwright, seen: &Seen, slots: usize, cost: usize) -> Worker {
    brisk(app).slots(slots).handler("small", seen.taking(1)).handler("large", seen.taking(cost))
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_large_job_runs_alone_and_nobody_starves() {
    on_each_store(async |app| {
        let mut jobs: Vec<Job<()>> = (0..20).map(|_| job("small")).collect();
        jobs.push(large(4));
        jobs.extend((0..20).map(|_| job("small")));
        jobs.extend([large(4), large(4)]);
        jobs.extend((0..7).map(|_| job("small")));
        let handles = enqueued(&app, jobs).await;
        let seen = Seen::default();
        let running = worker(&app, &seen, 4, 4).start().unwrap();
        for handle in &handles {
            handle.result().await.unwrap();
        }
        running.stop().await.unwrap();

        let started = seen.started();
        assert!(started.iter().all(|(_, taken)| *taken <= 4), "{started:?}");
        let is_large =
            |(place, (task, _)): (usize, &(String, usize))| (task == "large").then_some(place);
        let places: Vec<usize> = started.iter().enumerate().filter_map(is_large).collect();
        assert_eq!(places, [20, 41, 42], "none is overtaken, and none overtakes");
        assert_eq!(started.len(), 50);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_small_worker_works_on_beside_what_is_too_large_for_it() {
    on_each_store(async |app| {
        let seen = Seen::default();
        let waiting = app.enqueue(large(8)).await.unwrap();
        let small = app.enqueue(job("small")).await.unwrap();
        let running = worker(&app, &seen, 2, 8).start().unwrap();
        small.result().await.unwrap();
        eventually(async || {
            let workers = app.workers().await.unwrap();
            workers.iter().any(|view| view.info.slots == 2).then_some(())
        })
        .await;
        let why = app.why(waiting.id()).await.unwrap().unwrap();
        assert_eq!(why.verdict, "no live worker has slots>=8");
        assert_eq!(why.blockers[0].kind, BlockerKind::Placement);
        let placement = app.place(large(8)).await.unwrap();
        assert_eq!(placement.workers[0].excluded[0].detail, "slots is 2, asked is slots>=8");
        assert_eq!(app.place(large(2)).await.unwrap().workers[0].excluded, []);

        let view = app.get(waiting.id()).await.unwrap().unwrap();
        assert_eq!((view.extras.cost, view.extras.requires.to_string()), (8, "slots>=8".into()));
        let bigger = worker(&app, &seen, 8, 8).start().unwrap();
        waiting.result().await.unwrap();
        bigger.stop().await.unwrap();
        running.stop().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_large_job_waits_for_slots_and_says_so() {
    on_each_store(async |app| {
        let gate = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&gate);
        let gated = Running(move |_| {
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                DONE
            }
        });
        let seen = Seen::default();
        let running = worker(&app, &seen, 4, 3).handler("gated", gated).start().unwrap();
        let first = app.enqueue(job("gated").cost(2)).await.unwrap();
        let is_running = async |handle: &taskwright::Handle<()>| {
            (handle.status().await.unwrap() == Some(StateName::Running)).then_some(())
        };
        eventually(async || is_running(&first).await).await;
        let waiting = app.enqueue(large(3)).await.unwrap();
        let small = app.enqueue(job("small")).await.unwrap();
        let why = eventually(async || {
            let why = app.why(waiting.id()).await.unwrap().unwrap();
            (why.blockers.first()?.kind == BlockerKind::Slots).then_some(why)
        })
        .await;
        assert_eq!(why.verdict, "1 worker matches, and none has the 3 slots free that it takes");
        let workers = app.workers().await.unwrap();
        assert_eq!((workers[0].running, workers[0].slots_taken), (1, 2));
        assert_eq!(
            small.status().await.unwrap(),
            Some(StateName::Available),
            "it does not overtake"
        );
        gate.add_permits(1);
        for handle in [&first, &waiting, &small] {
            handle.result().await.unwrap();
        }
        assert_eq!(seen.started().len(), 2);
        running.stop().await.unwrap();
    })
    .await;
}

/// A machine that others use up.
struct Hot;

impl LoadMeter for Hot {
    fn measure(&mut self) -> LoadMeasure {
        LoadMeasure { cpu_percent: Some(99), ..LoadMeasure::default() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_over_its_load_that_holds_nothing_takes_a_large_job() {
    let app = common::handlers::memory().await;
    let seen = Seen::default();
    let worker = worker(&app, &seen, 4, 4).max_cpu_percent(90).load_meter(Hot);
    let running = worker.start().unwrap();
    eventually(async || {
        let workers = app.workers().await.unwrap();
        workers.first()?.info.load.takes.filter(|takes| *takes < 4).map(drop)
    })
    .await;
    let handles = enqueued(&app, vec![large(4), job("small"), large(4)]).await;
    for handle in handles {
        common::bounded(handle.result()).await.unwrap();
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn bad_costs_are_refused() -> Result<()> {
    let app = common::handlers::memory().await;
    for (job, told) in [
        (large(0), "its cost is 0 slots; give at least 1, or leave it out"),
        (large(1_001), "its cost is 1001 slots, and at most 1000 are allowed"),
        (job("large").requires("slots>=4"), "is its cost"),
        (large(2).requires("slots>=4"), "is its cost"),
    ] {
        let refused = app.enqueue(job).await.unwrap_err();
        assert!(refused.message.contains(told), "{}", refused.message);
        assert!(refused.message.starts_with("cannot enqueue a job of task large"));
    }
    let worker = app.worker().handler("x", Seen::default().taking(1)).label("slots", "8");
    let refused = worker.start().unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert!(refused.message.contains("set that with .slots(…)"), "{}", refused.message);
    Ok(())
}

#[task(cost = 4)]
async fn train(model: u32) -> u32 {
    model + 1
}

#[tokio::test]
async fn a_task_says_what_its_jobs_cost() -> Result<()> {
    assert_eq!(train::job(1).into_request()?.cost, Some(4));
    assert_eq!(train::job(1).cost(2).into_request()?.cost, Some(2));
    let app = TestApp::new()?.serve(train);
    let handles = [app.enqueue(train::job(1)).await?, app.enqueue(train::job(2).cost(1)).await?];
    assert_eq!(app.run_until_idle().await?.completed, 2);
    assert_eq!(handles[0].result().await.unwrap(), 2);
    assert_eq!(handles[1].result().await.unwrap(), 3);
    Ok(())
}

#[tokio::test]
async fn a_consumer_takes_what_it_asks_slots_for() -> Result<()> {
    let app = common::handlers::memory().await;
    app.enqueue(large(3)).await?;
    let consumer = app.consumer(["default"])?;
    assert!(consumer.claim(2, std::time::Duration::ZERO).await?.is_empty());
    assert_eq!(consumer.claim(3, std::time::Duration::ZERO).await?.len(), 1);
    Ok(())
}
