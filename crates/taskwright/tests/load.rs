//! Workers over their load take fewer jobs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use common::handlers::{DONE, Running, brisk, job};
use common::{bounded, eventually, on_each_store};
use taskwright::{
    Blocker, BlockerKind, ErrorCode, Handle, Load, LoadMeasure, LoadMeter, RunningWorker,
    StateName, Taskwright, Why, Worker,
};
use tokio::sync::Semaphore;

/// A meter of processors that the test sets.
#[derive(Clone, Default)]
struct Cpu(Arc<AtomicU32>);

impl Cpu {
    fn at(percent: u32) -> Cpu {
        Cpu(Arc::new(AtomicU32::new(percent)))
    }

    fn set(&self, percent: u32) {
        self.0.store(percent, Ordering::Relaxed);
    }
}

impl LoadMeter for Cpu {
    fn measure(&mut self) -> LoadMeasure {
        let percent = self.0.load(Ordering::Relaxed);
        LoadMeasure { cpu_percent: Some(percent), ..LoadMeasure::default() }
    }
}

/// Jobs that run until the test lets them end, counted at each worker.
#[derive(Clone)]
struct Gate {
    started: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Gate {
        Gate { started: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
    }

    /// A worker of the gated task, which counts in `started`.
    fn worker(&self, app: &Taskwright, slots: usize, cpu: &Cpu) -> Worker {
        let gate = self.clone();
        let handler = Running(move |_| {
            let Gate { started, permits } = gate.clone();
            async move {
                started.fetch_add(1, Ordering::Relaxed);
                permits.acquire().await.unwrap().forget();
                DONE
            }
        });
        brisk(app)
            .slots(slots)
            .max_cpu_percent(90)
            .load_meter(cpu.clone())
            .handler("gated", handler)
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }
}

/// Waits until the store knows how many jobs a worker takes.
async fn takes(app: &Taskwright, worker: &RunningWorker, takes: Option<u32>) {
    eventually(async || {
        let workers = app.workers().await.unwrap();
        let view = workers.into_iter().find(|view| view.id == worker.id())?;
        let is_so = view.info.load.measured.cpu_percent.is_some() && view.info.load.takes == takes;
        is_so.then_some(())
    })
    .await;
}

/// Of two jobs, why one waits while the other runs; `None`: both run.
async fn held_back(app: &Taskwright, gate: &Gate, handles: &[Handle<()>]) -> Option<Why> {
    eventually(async || {
        let mut running = 0;
        for handle in handles {
            let job = handle.job().await.unwrap().unwrap();
            running += usize::from(job.life.state.name() == StateName::Running);
        }
        if running == 2 {
            return Some(None);
        }
        for handle in handles {
            let why = app.why(handle.id()).await.unwrap().unwrap();
            let is_load = |blocker: &Blocker| blocker.kind == BlockerKind::Load;
            if why.blockers.iter().any(is_load) && gate.started() % 2 == 1 {
                return Some(Some(why));
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_over_its_load_gets_clearly_fewer_jobs() {
    on_each_store(async |app| {
        let (here, there) = (Gate::new(), Gate::new());
        let over = here.worker(&app, 2, &Cpu::at(97)).start().unwrap();
        let calm = there.worker(&app, 4, &Cpu::at(12)).start().unwrap();
        takes(&app, &over, Some(1)).await;
        takes(&app, &calm, None).await;
        for round in 1..=5 {
            let jobs = (0..5).map(|_| job("gated")).collect::<Vec<_>>();
            let handles = app.enqueue_all(jobs).await.unwrap();
            eventually(async || (here.started() + there.started() == 5 * round).then_some(()))
                .await;
            here.permits.add_permits(1);
            there.permits.add_permits(4);
            for handle in handles {
                bounded(handle.result()).await.unwrap();
            }
        }
        assert_eq!((here.started(), there.started()), (5, 20));
        over.stop().await.unwrap();
        calm.stop().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_load_rises_while_it_waits_takes_one_job_and_more_when_it_is_better() {
    on_each_store(async |app| {
        let (gate, cpu) = (Gate::new(), Cpu::at(12));
        let worker = gate.worker(&app, 2, &cpu).start().unwrap();
        takes(&app, &worker, None).await;
        let (handles, waiting) = loop {
            cpu.set(97);
            takes(&app, &worker, Some(1)).await;
            let handles = app.enqueue_all(vec![job("gated"), job("gated")]).await.unwrap();
            if let Some(waiting) = held_back(&app, &gate, &handles).await {
                break (handles, waiting);
            }
            // The worker tells that it takes one before it gives up the claim of two that waits: what
            // comes between is taken by that claim. It is tried again, but not for ever.
            assert!(gate.started() < 6, "the claim that waited was never given up");
            cpu.set(12);
            takes(&app, &worker, None).await;
            gate.permits.add_permits(2);
            for handle in handles {
                bounded(handle.result()).await.unwrap();
            }
        };
        let told = "takes up to 1 job: cpu 97 % is over 90 %";
        assert!(waiting.verdict.ends_with(told), "{}", waiting.verdict);
        let started = gate.started();
        let placement = app.place(job("gated")).await.unwrap();
        let verdict = "1 of 1 worker matches, 0 of them with a free slot, 1 over their load";
        assert_eq!(placement.verdict, verdict);

        cpu.set(12);
        eventually(async || (gate.started() == started + 1).then_some(())).await;
        takes(&app, &worker, None).await;
        gate.permits.add_permits(2);
        for handle in handles {
            bounded(handle.result()).await.unwrap();
        }
        worker.stop().await.unwrap();
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_measures_the_machine_and_its_runtime() {
    let app = common::handlers::memory().await;
    let handler = Running(|_| async { DONE });
    let worker = brisk(&app).handler("calm", handler).start().unwrap();
    let Load { measured, max, takes } = eventually(async || {
        let load = app.workers().await.unwrap().first()?.info.load;
        load.measured.lag.is_some().then_some(load)
    })
    .await;
    assert!(measured.cpu_percent.is_some() && measured.memory_percent.is_some(), "{measured}");
    assert_eq!((max, takes), (LoadMeasure::default(), None), "nothing is limited by default");
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn maxima_that_make_no_sense_are_refused() {
    let app = common::handlers::memory().await;
    let worker = || brisk(&app).handler("calm", Running(|_| async { DONE }));
    for (worker, words) in [
        (worker().max_cpu_percent(0), "its most cpu is 0 %; give 1 to 100"),
        (worker().max_memory_percent(101), "its most memory is 101 %; give 1 to 100"),
        (worker().max_lag("10us"), "its longest lag is under 1 ms"),
        (worker().max_lag("soon"), "cannot set the longest lag"),
    ] {
        let error = worker.start().unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains(words), "{error}");
    }
}
