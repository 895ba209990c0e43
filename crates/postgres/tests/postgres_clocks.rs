//! Nodes whose clocks are ten minutes apart behave as one: only the database's clock counts.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use support::client::Application;
use support::jobs::{Hand, SECOND, completed_by, job, open, report, url_of};
use support::random::Random;
use taskwright_core::limits::{LEASE, SERVED_PER_SWEEP_MAX};
use taskwright_core::{Job, JobError, Name, Timestamp};
use taskwright_postgres::PostgresStore;
use taskwright_store::{Filter, Insert, Outcome, Retry, Store};
use taskwright_testbed::{Faketime, available, fresh_schema};
use tokio::time::{interval, sleep};

const TEST: &str = "a_process_whose_clock_is_wrong";
const URL: &str = "TASKWRIGHT_CLOCKS_URL";
const SEED: &str = "TASKWRIGHT_CLOCKS_SEED";
/// How wrong the clocks of the two nodes are, in seconds.
const WRONG: [i64; 2] = [300, -300];
/// How long a failed attempt waits for the next one.
const WAIT: Duration = Duration::from_secs(1);
/// How long they work.
const LENGTH: Duration = Duration::from_secs(6);

/// A node with its own idea of the time, killed when it is dropped.
struct Node(Child);

impl Node {
    /// Started, and its clock compared with ours.
    fn start(url: &str, seed: u64, faketime: &Faketime, wrong: i64) -> Node {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", TEST, "--nocapture"])
            .env(URL, url)
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        faketime.shift(&mut command, wrong);
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let shown = said.into_iter().find_map(|line| line.strip_prefix("clock ")?.parse().ok());
        let off = shown.unwrap_or(0) - seconds();
        assert!((off - wrong).abs() < 60, "the node's clock is {off} s off, not {wrong}");
        Node(child)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn seconds() -> i64 {
    i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// A node: it enqueues, claims, fails every third job once, completes and sweeps.
#[test]
fn a_process_whose_clock_is_wrong() {
    let Ok(url) = env::var(URL) else { return };
    println!("\nclock {}", seconds());
    std::io::stdout().flush().unwrap();
    // It ends with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut random = Random::new(env::var(SEED).unwrap().parse().unwrap());
        let store = open(&url).await;
        let _sweeper = support::jobs::sweeping(&store, Duration::from_millis(500));
        let worker = tokio::spawn(work(Arc::clone(&store), Hand::new(&mut random)));
        let mut ticks = interval(Duration::from_millis(50));
        while !worker.is_finished() {
            ticks.tick().await;
            let jobs = vec![job(random.job_id())];
            store.insert(Insert { jobs, partial: false }).await.unwrap();
        }
        worker.await.unwrap();
    });
}

async fn work(store: Arc<PostgresStore>, mut hand: Hand) {
    loop {
        let jobs = hand.take(&*store, 4, SECOND).await;
        let held = jobs.iter().map(|job| (job.id, job.token)).collect();
        let reply = hand.beat(&*store, held).await.unwrap();
        assert!(reply.lost.is_empty(), "{reply:?}");
        let reports = jobs.iter().map(|job| {
            let fails = job.token.attempt == 1 && job.seq % 3 == 0;
            let error = JobError::new("error", "it broke");
            let failed = Outcome::Failed { error, retry: Retry::After(WAIT) };
            let outcome = if fails { failed } else { completed_by(job.token) };
            report(job.id, job.token, outcome)
        });
        store.report(reports.collect()).await.unwrap();
    }
}

async fn jobs(store: &dyn Store) -> Vec<Job> {
    let filter = Filter {
        namespace: Name::default_name(),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit: 1_000,
    };
    let listed = store.list(filter).await.unwrap().jobs;
    let ids: Vec<_> = listed.iter().map(|job| job.id).collect();
    let found = store.get(&Name::default_name(), &ids).await.unwrap();
    found.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_are_ten_minutes_apart_behave_as_one() {
    let test = "postgres_clocks::ten_minutes_apart";
    let Some(faketime) = available(test, Faketime::find()) else { return };
    let Some(schema) = available(test, fresh_schema()) else { return };
    let mut random = Random::seeded();
    let url = url_of(&schema);
    // It neither sweeps nor works.
    let store = open(&url).await;
    let micros = || {
        let micros = "select (extract(epoch from clock_timestamp()) * 1000000)::int8";
        Timestamp::from_micros(schema.psql(micros).unwrap().parse().unwrap())
    };
    let begun = micros();
    let mut nodes: Vec<Node> =
        WRONG.map(|wrong| Node::start(&url, random.bits(), &faketime, wrong)).into();
    sleep(LENGTH).await; // tidy: allow sleep: so long they work

    let jobs = jobs(&*store).await;
    let ended = micros();
    let within = |at: Timestamp| begun <= at && at <= ended.plus(WAIT);
    let (mut retried, mut workers) = (0, HashMap::new());
    for job in &jobs {
        for at in [Some(job.created_at), job.started_at, job.finished_at, Some(job.run_at)] {
            assert!(at.is_none_or(within), "{begun} to {ended}: {job:?}");
        }
        if let (Some(first), Some(started)) = (job.attempts.first(), job.started_at)
            && job.life.attempt > 1
        {
            let waited = started.since(first.ended_at);
            assert!(waited >= WAIT && waited < WAIT + 5 * SECOND, "{waited:?}: {job:?}");
            retried += 1;
        }
        *workers.entry(job.worker).or_insert(0) += 1;
    }
    println!("{} jobs, {retried} of them retried, by {workers:?}", jobs.len());
    assert!(retried > 0 && jobs.iter().any(|job| job.result.is_some()));
    assert_eq!(store.workers(&Name::default_name()).await.unwrap().len(), 2);

    // The one whose clock is late is killed, and the other one lapses its lease, not sooner.
    drop(nodes.pop());
    let killed = Instant::now();
    while store.workers(&Name::default_name()).await.unwrap().len() > 1 {
        assert!(killed.elapsed() < LEASE + 5 * SECOND, "a lease does not end");
        sleep(Duration::from_millis(50)).await;
    }
    let lasted = killed.elapsed();
    println!("the lease lasted for {lasted:?}");
    assert!(lasted + SERVED_PER_SWEEP_MAX + SECOND >= LEASE, "{lasted:?}");
}

/// A sweep that had to wait knows an older time than the one before it; what that has served is not
/// served again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_waited_takes_no_time_back() {
    let test = "postgres_clocks::a_sweep_that_waited";
    let Some(schema) = available(test, fresh_schema()) else { return };
    let _store = open(&url_of(&schema)).await;
    let sweep = format!("select from {}.begin_sweep(null, 2000000, 0, 0, 0)", schema.name());
    let (first, late) = (Application::of(&schema).await, Application::of(&schema).await);
    first.batch_execute("begin; select from meta for update").await.unwrap();
    let waits = format!(
        "select count(*) from pg_stat_activity where pid = {} and wait_event_type = 'Lock'",
        late.backend
    );
    let swept_at = "select swept_at from meta";
    let goes_first = async {
        let deadline = Instant::now() + 20 * SECOND;
        while schema.psql(&waits).unwrap() != "1" {
            assert!(Instant::now() < deadline, "it does not wait");
            sleep(Duration::from_millis(5)).await;
        }
        first.batch_execute(&sweep).await.unwrap();
        let swept_at: i64 = first.query_one(swept_at, &[]).await.unwrap().get(0);
        first.batch_execute("commit").await.unwrap();
        swept_at
    };
    let (waited, before) = tokio::join!(late.batch_execute(&sweep), goes_first);
    waited.unwrap();
    let after: i64 = schema.psql(swept_at).unwrap().parse().unwrap();
    assert!(after >= before, "{} µs are served twice", before - after);
}

/// Nothing of the store asks for the time of its own machine, but to say since when it is offline.
#[test]
fn no_statement_is_made_with_the_time_of_the_node() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut asks = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend((!path.ends_with("tests")).then_some(path));
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            if ["SystemTime", "UNIX_EPOCH", "SystemClock"].iter().any(|word| text.contains(word)) {
                asks.push(path.file_name().unwrap().to_owned());
            }
        }
    }
    assert_eq!(asks, ["health.rs"]);
}
