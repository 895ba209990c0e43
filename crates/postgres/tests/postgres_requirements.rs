//! What jobs require is known by number on each node, learned when it is new and forgotten when no
//! lane has it.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::client::Application;
use support::jobs::{complete, job, open, sweeping, url_of};
use taskwright_core::{Extras, JobId, Name, NewJob, WorkerId};
use taskwright_postgres::transaction;
use taskwright_store::{Claim, ClaimedJob, Command, Insert, Inserted, Profile, Refusal, Store};
use taskwright_testbed::{Schema, available, fresh_schema};

const PATIENCE: Duration = Duration::from_secs(30);
/// Closes every lane without live jobs, and forgets what nothing is left of.
const GIVE_BACK: &str = "select close_lanes(0), forget_lanes(0, 100000, 0)";
const COUNT: &str = "select count(*) from requirement";

fn schema(test: &str) -> Option<Schema> {
    available(&format!("postgres_requirements::{test}"), fresh_schema())
}

fn requiring(number: u128, requires: &str) -> NewJob {
    let requires = requires.parse().unwrap();
    NewJob { extras: Extras { requires, ..Extras::default() }, ..job(JobId::from_u128(number)) }
}

async fn insert(store: &dyn Store, jobs: Vec<NewJob>) -> Vec<Inserted> {
    store.insert(Insert { jobs, partial: true }).await.unwrap()
}

fn claim(worker: u128, seq: u64, labels: &str, wait: Duration) -> Claim {
    let labels = labels.parse().unwrap();
    let queues = vec![Name::default_name()];
    Claim {
        namespace: Name::default_name(),
        worker: WorkerId::from_u128(worker),
        seq,
        profile: Arc::new(Profile { queues, tasks: None, labels }),
        max: 10,
        free: Default::default(),
        wait,
        in_process: false,
    }
}

fn numbers(jobs: &[ClaimedJob]) -> Vec<u128> {
    jobs.iter().map(|job| job.id.as_u128()).collect()
}

async fn delete(store: &dyn Store, numbers: &[u128]) {
    let command = |number: &u128| Command::Delete {
        namespace: Name::default_name(),
        id: JobId::from_u128(*number),
    };
    store.control("test", numbers.iter().map(command).collect()).await.unwrap();
}

#[tokio::test]
async fn a_requirement_of_another_node_is_learned() {
    let Some(schema) = schema("learned") else { return };
    let url = url_of(&schema);
    let (here, there) = (open(&url).await, open(&url).await);
    insert(&*here, vec![requiring(1, "gpu>=24"), requiring(2, "disk")]).await;
    let given = there.claim(claim(1, 1, "gpu=24", Duration::ZERO)).await.unwrap();
    assert_eq!(numbers(&given), [1]);
    // The same labels again, with more to know than before.
    insert(&*here, vec![requiring(3, "gpu<80,!disk"), requiring(4, "gpu>80")]).await;
    let given = there.claim(claim(1, 2, "gpu=24", Duration::ZERO)).await.unwrap();
    assert_eq!(numbers(&given), [3]);

    // A claim that waits, while small claims of others go together with it.
    let waiting = {
        let there = Arc::clone(&there);
        tokio::spawn(async move { there.claim(claim(2, 1, "fpga", PATIENCE)).await.unwrap() })
    };
    insert(&*here, vec![requiring(5, "fpga,!gpu")]).await;
    let given = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(numbers(&given), [5]);
    let workers = here.workers(&Name::default_name()).await.unwrap();
    let labels = workers.iter().map(|view| view.profile.as_ref().unwrap().labels.to_string());
    assert_eq!(labels.collect::<Vec<_>>(), ["gpu=24", "fpga"], "another node shows them");
}

#[tokio::test]
async fn a_requirement_without_lanes_is_forgotten() {
    let Some(schema) = schema("forgotten") else { return };
    let url = url_of(&schema);
    let (here, there) = (open(&url).await, open(&url).await);
    insert(&*here, vec![requiring(1, "gpu"), requiring(2, "disk"), requiring(3, "disk")]).await;
    for (seq, labels) in [(1, "gpu"), (2, "disk")] {
        let given = there.claim(claim(1, seq, labels, Duration::ZERO)).await.unwrap();
        complete(&*there, &given).await;
    }
    schema.psql(GIVE_BACK).unwrap();
    assert_eq!(schema.psql(COUNT).unwrap(), "2", "ended jobs name them");
    delete(&*here, &[1]).await;
    schema.psql("select fold_tally(0, 1000)").unwrap();
    schema.psql(GIVE_BACK).unwrap();
    assert_eq!(schema.psql("select text from requirement").unwrap(), "disk");

    // It comes back with another number, which both nodes learn.
    insert(&*there, vec![requiring(4, "gpu")]).await;
    let given = here.claim(claim(2, 1, "gpu", Duration::ZERO)).await.unwrap();
    assert_eq!(numbers(&given), [4]);
    insert(&*here, vec![requiring(5, "gpu")]).await;
    let given = there.claim(claim(1, 3, "gpu", Duration::ZERO)).await.unwrap();
    assert_eq!(numbers(&given), [5]);
}

#[tokio::test]
async fn a_requirement_that_there_is_no_lane_for_is_not_kept() {
    let Some(schema) = schema("refused") else { return };
    let store = open(&url_of(&schema)).await;
    let max = taskwright_core::limits::LANES_MAX;
    for first in (0..max).step_by(1_000) {
        let numbers = first..(first + 1_000).min(max);
        let job = |number: usize| requiring(number as u128 + 1, &format!("gpu>={number}"));
        let answers = insert(&*store, numbers.map(job).collect()).await;
        assert!(answers.iter().all(|answer| matches!(answer, Inserted::New { .. })));
    }
    let answers =
        insert(&*store, vec![requiring(9_999, "gpu>=9999"), requiring(1, "gpu>=0")]).await;
    assert_eq!(answers[0], Inserted::Refused(Refusal::LanesFull { max }));
    assert!(matches!(answers[1], Inserted::Existing { .. }), "{answers:?}");
    assert_eq!(schema.psql(COUNT).unwrap(), max.to_string());
}

#[tokio::test]
async fn what_a_transaction_enqueues_keeps_what_it_requires() {
    let Some(schema) = schema("transaction") else { return };
    let store = open(&url_of(&schema)).await;
    let _sweeping = sweeping(&store, Duration::from_millis(50));
    let application = Application::of(&schema).await;
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    in_schema.enqueue(&*application, &requiring(1, "gpu>=24")).await.unwrap();
    let given = store.claim(claim(1, 1, "gpu=80", PATIENCE)).await.unwrap();
    assert_eq!(numbers(&given), [1]);
    assert_eq!(given[0].extras.requires.to_string(), "gpu>=24");
    let shown = schema.psql("select requires from jobs").unwrap();
    assert_eq!(shown, "gpu>=24");
}
