//! The whole store through outages: a waiting claim, inserts, reports and heartbeats go on within
//! 10 s of the end of whatever happened, with nothing restarted; what is asked meanwhile waits until
//! its deadline, or fails with an error that says that it may be tried again.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::jobs::{Hand, SECOND, complete, job, open, sweeping};
use support::random::Random;
use taskwright_core::StateName;
use taskwright_postgres::PostgresStore;
use taskwright_store::{ErrorKind, Insert, Reported, Store};
use taskwright_testbed::{Options, Postgres, Proxy, Stop, available};
use tokio::time::sleep;

/// Work goes on so long after what stopped it is over.
const RESUMES: Duration = Duration::from_secs(10);
/// How long what happens takes, which is longer than a call may wait.
const OUTAGE: Duration = Duration::from_secs(3);
const DEADLINE_MS: u64 = 1_000;

fn server(test: &str, options: Options) -> Option<Postgres> {
    available(&format!("postgres_chaos_outages::{test}"), options.start())
}

fn url(hosts: &str) -> String {
    format!("postgres://postgres@{hosts}/postgres?deadline_ms={DEADLINE_MS}&connect_timeout=1")
}

fn url_at(address: SocketAddr) -> String {
    url(&address.to_string())
}

/// A store under load: somebody waits for jobs all the time.
struct Scene {
    store: Arc<PostgresStore>,
    random: Random,
    worker: tokio::task::JoinHandle<()>,
    _sweeper: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new(url: &str) -> Scene {
        let store = open(url).await;
        let mut random = Random::seeded();
        let _sweeper = sweeping(&store, Duration::from_millis(500));
        let worker = tokio::spawn(work(Arc::clone(&store), Hand::new(&mut random)));
        let mut scene = Scene { store, random, worker, _sweeper };
        scene.a_job_is_done().await;
        scene
    }

    /// Enqueues a job, as often as it takes, and waits until the worker has done it; how long.
    async fn a_job_is_done(&mut self) -> Duration {
        let begun = Instant::now();
        let job = job(self.random.job_id());
        let insert = Insert { jobs: vec![job.clone()], partial: false };
        while let Err(error) = self.store.insert(insert.clone()).await {
            assert!(error.is_retryable(), "{error}");
            assert!(begun.elapsed() < RESUMES, "{error}");
        }
        loop {
            let found = self.store.get(&job.namespace, &[job.id]).await;
            let found = found.unwrap_or_default().into_iter().next().flatten();
            if found.is_some_and(|job| job.life.state.name() == StateName::Completed) {
                return begun.elapsed();
            }
            assert!(!self.worker.is_finished(), "the worker has failed");
            assert!(begun.elapsed() < RESUMES, "job {} is not done", job.id);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What is asked while the database is away fails in time, and says that it may be repeated.
    async fn nothing_goes(&mut self) {
        let insert = Insert { jobs: vec![job(self.random.job_id())], partial: false };
        let begun = Instant::now();
        let error = self.store.insert(insert).await.unwrap_err();
        let took = begun.elapsed();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.is_retryable(), "{error}");
        assert!(took < Duration::from_millis(DEADLINE_MS) + 2 * SECOND, "{took:?}: {error}");
        println!("refused after {took:?}: {error}");
    }

    async fn goes_on(&mut self, what: &str) {
        let took = self.a_job_is_done().await;
        println!("{what}: work went on after {took:?}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.worker.abort();
        self._sweeper.abort();
    }
}

/// Claims, holds for a while, sends heartbeats and completes.
async fn work(store: Arc<PostgresStore>, mut hand: Hand) {
    loop {
        let claim = hand.claim(10, 5 * SECOND);
        let jobs = loop {
            match store.claim(claim.clone()).await {
                Ok(jobs) => break jobs,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        let held: Vec<_> = jobs.iter().map(|job| (job.id, job.token)).collect();
        match hand.beat(&*store, held).await {
            Ok(reply) => assert!(reply.lost.is_empty(), "{reply:?}"),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        loop {
            let reports = jobs.iter().map(|job| {
                support::jobs::report(job.id, job.token, support::jobs::completed_by(job.token))
            });
            match store.report(reports.collect()).await {
                Ok(answers) => {
                    let applied = Reported::Applied { state: StateName::Completed };
                    let is_done =
                        |answer: &Reported| *answer == applied || *answer == Reported::Already;
                    assert!(answers.iter().all(is_done), "{answers:?}");
                    break;
                }
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_restarted() {
    let Some(mut server) = server("restarted", Postgres::options()) else { return };
    let mut scene = Scene::new(&url_at(server.address())).await;
    for how in [Stop::Fast, Stop::Immediate] {
        server.stop(how).unwrap();
        scene.nothing_goes().await;
        sleep(OUTAGE).await; // tidy: allow sleep: so long is the outage
        server.start().unwrap();
        scene.goes_on(&format!("{how:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_backends_are_terminated() {
    let Some(server) = server("terminated", Postgres::options()) else { return };
    let mut scene = Scene::new(&url_at(server.address())).await;
    for _ in 0..5 {
        assert!(server.terminate_backends("postgres").unwrap() > 0);
        scene.goes_on("terminated").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_cut_or_falls_silent() {
    let Some(server) = server("cut", Postgres::options()) else { return };
    let proxy = Proxy::to(server.address()).unwrap();
    let mut scene = Scene::new(&url_at(proxy.address())).await;
    type Fail = fn(&Proxy) -> Result<(), taskwright_testbed::Error>;
    let ways: [(&str, Fail); 3] =
        [("cut", Proxy::cut), ("silent", Proxy::freeze), ("half silent", Proxy::freeze_replies)];
    for (what, fail) in ways {
        fail(&proxy).unwrap();
        scene.nothing_goes().await;
        sleep(OUTAGE).await; // tidy: allow sleep: so long is the outage
        proxy.heal().unwrap();
        scene.goes_on(what).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_hear_nothing_any_more_are_left() {
    let Some(server) = server("half_open", Postgres::options()) else { return };
    let (first, second) =
        (Proxy::to(server.address()).unwrap(), Proxy::to(server.address()).unwrap());
    let hosts = format!("{},{}", first.address(), second.address());
    let mut scene = Scene::new(&url(&hosts)).await;
    // Nobody closes these connections: they are as those to a machine that has lost its power.
    first.freeze().unwrap();
    scene.goes_on("the way over the second address").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_takes_over() {
    let Some(mut first) = server("failover", Postgres::options()) else { return };
    let replica = Postgres::options().setting("default_transaction_read_only", "on");
    let Some(second) = server("failover", replica) else { return };
    // Both lead to one database: to the test it is the way that fails over.
    let (primary, standby) =
        (Proxy::to(first.address()).unwrap(), Proxy::to(second.address()).unwrap());
    let hosts = format!("{},{}", standby.address(), primary.address());
    let mut scene = Scene::new(&url(&hosts)).await;
    standby.redirect(first.address()).unwrap();
    primary.redirect(second.address()).unwrap();
    scene.goes_on("the servers changed their places").await;

    first.stop(Stop::Immediate).unwrap();
    scene.nothing_goes().await;
    first.start().unwrap();
    scene.goes_on("the one that takes writes came back").await;
    let done = scene.a_job_is_done().await;
    println!("and then a job takes {done:?}");
    assert!(complete(&*scene.store, &[]).await.is_empty());
}
