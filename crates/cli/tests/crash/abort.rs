//! A job that aborts its process, beside good ones.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt;

use taskwright::{JobView, State, Taskwright, task};

use crate::support::Sandbox;

/// Says to [`worker_process`] which store to serve.
const DATA: &str = "ABORT_WORKER_DATA";
const GOOD: usize = 50;

static GOOD_RUNNING: AtomicUsize = AtomicUsize::new(0);

#[task]
async fn good(number: usize) -> usize {
    GOOD_RUNNING.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    GOOD_RUNNING.fetch_sub(1, Ordering::SeqCst);
    number
}

/// Takes the good jobs beside it with it, where there are some.
#[task(blocking)]
fn poison() {
    let begin = Instant::now();
    while GOOD_RUNNING.load(Ordering::SeqCst) < 3 && begin.elapsed() < Duration::from_millis(200) {
        std::thread::yield_now();
    }
    std::process::abort();
}

async fn open(data: &Path) -> Taskwright {
    Taskwright::connect(&format!("file:{}", data.display())).await.unwrap()
}

/// Serves the store until its jobs have ended.
#[tokio::test]
#[ignore = "it is the process that the other test starts"]
async fn worker_process() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let app = open(Path::new(&data)).await;
    let worker = app.worker().slots(4).serve(good).serve(poison).start().unwrap();
    app.join("default").await.unwrap();
    worker.stop().await.unwrap();
    app.close().await.unwrap();
}

fn run_worker(data: &Path) -> ExitStatus {
    let this = module_path!().split_once("::").unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{this}::worker_process"), "--ignored"])
        .env(DATA, data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[tokio::test]
async fn a_job_that_aborts_its_process_is_quarantined_and_its_neighbours_complete() {
    let sandbox = Sandbox::new();
    let data = sandbox.path("data");
    let app = open(&data).await;
    let numbers = (0..GOOD).map(good::job);
    let neighbours = app.enqueue_all(numbers.collect()).await.unwrap();
    let bad = app.enqueue(poison::job().priority(5)).await.unwrap();
    let (bad, neighbours): (_, Vec<_>) =
        (bad.id(), neighbours.iter().map(|handle| handle.id()).collect());
    app.close().await.unwrap();

    let mut aborts = 0;
    loop {
        let ended = tokio::task::spawn_blocking({
            let data = data.clone();
            move || run_worker(&data)
        });
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap().unwrap();
        if ended.success() {
            break;
        }
        assert_eq!(ended.signal(), Some(6), "it ends by SIGABRT only");
        aborts += 1;
        assert!(aborts <= 3, "the job is not quarantined");
    }
    assert_eq!(aborts, 3);

    let app = open(&data).await;
    let job = app.get(bad).await.unwrap().unwrap();
    assert_eq!(job.state(), State::Dead(taskwright_core::Cause::Quarantined), "{job:?}");
    assert_eq!(job.life.losses, 3);
    assert_eq!(lost_by(&job), 3);
    for (number, id) in neighbours.into_iter().enumerate() {
        let job = app.get(id).await.unwrap().unwrap();
        assert_eq!(job.state(), State::Completed, "{job:?}");
        assert_eq!(job.result.as_ref().unwrap().as_str(), number.to_string());
        assert_eq!(job.life.failures, 0);
    }
    app.close().await.unwrap();
}

/// How many processes lost it, each with another worker.
fn lost_by(job: &JobView) -> usize {
    let lost = job
        .attempts
        .iter()
        .filter(|attempt| attempt.error.as_ref().is_some_and(|error| &*error.kind == "lost"));
    lost.map(|attempt| attempt.worker).collect::<std::collections::BTreeSet<_>>().len()
}
