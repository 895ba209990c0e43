//! What is served without those who noted it: transactions of applications, and notes that are missing.

use std::time::{Duration, Instant};

use taskwright_core::{Extras, Json, Name, NewJob, Policy, Subject};
use taskwright_postgres::transaction;
use taskwright_store::Store;
use taskwright_testbed::{available, fresh_schema};

use super::words::{LONG, add, at_once, counts, key, keyed, limit, sweep_until};
use crate::support::client::Application;
use crate::support::jobs::{Hand, complete, job, open, url_of};
use crate::support::random::Random;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_in_transactions_of_the_application_stand_in_line_and_make_room() {
    let Some(schema) = available("postgres_limits::application", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let mut application = Application::of(&schema).await;
    let in_schema = transaction::Schema::named(schema.name()).unwrap();
    limit(&store, key("one"), at_once(1)).await;
    let tx = application.transaction().await.unwrap();
    for _ in 0..3 {
        in_schema.enqueue(&tx, &keyed(&mut random, &["one"])).await.unwrap();
    }
    tx.commit().await.unwrap();
    sweep_until(&store, (1, 2, 0)).await;

    let mut hand = Hand::new(&mut random);
    let claimed = hand.take(&*store, 9, Duration::ZERO).await;
    assert_eq!(claimed.len(), 1);
    let tx = application.transaction().await.unwrap();
    let (namespace, done) = (taskwright_core::Name::default_name(), Json::from_trusted("1"));
    let (id, token) = (claimed[0].id, claimed[0].token);
    in_schema.complete(&tx, &namespace, id, token, Some(&done)).await.unwrap();
    assert!(hand.take(&*store, 9, Duration::ZERO).await.is_empty(), "it runs until the commit");
    assert_eq!(counts(&store).await, (0, 2, 1));
    tx.commit().await.unwrap();
    sweep_until(&store, (1, 1, 0)).await;
    let claimed = hand.take(&*store, 9, Duration::ZERO).await;
    complete(&*store, &claimed).await;
    assert_eq!(counts(&store).await, (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_whose_note_is_missing_is_found_by_sweeps() {
    let Some(schema) = available("postgres_limits::missing", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    limit(&store, key("one"), at_once(1)).await;
    add(&store, (0..2).map(|_| keyed(&mut random, &["one"])).collect()).await;
    let claimed = Hand::new(&mut random).take(&*store, 9, Duration::ZERO).await;
    assert_eq!((claimed.len(), counts(&store).await), (1, (0, 1, 1)));
    // As a completion leaves it that saw no policy, since the first one was just being set.
    schema.psql("delete from job where state = 5").unwrap();
    sweep_until(&store, (1, 0, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_that_are_over_are_forgotten_by_sweeps() {
    let Some(schema) = available("postgres_limits::turns", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let fair = Policy { fair: true, ..Policy::default() };
    limit(&store, Subject::Queue(Name::default_name()), fair).await;
    let grouped = |random: &mut Random, group: &str| {
        let extras = Extras { group: Some(group.into()), ..Extras::default() };
        NewJob { extras, ..job(random.job_id()) }
    };
    let once = ["a", "b", "c"].map(|group| grouped(&mut random, group)).into_iter();
    let often: Vec<NewJob> = (0..10).map(|_| grouped(&mut random, "often")).collect();
    add(&store, once.chain(often).collect()).await;
    let claimed = Hand::new(&mut random).take(&*store, 99, Duration::ZERO).await;
    assert_eq!(claimed.len(), 13);
    let turns = || schema.psql("select count(*) from turn").unwrap();
    assert_eq!(turns(), "5", "the clock, and the turns after the newest starts of four groups");
    let deadline = Instant::now() + LONG;
    while turns() != "2" {
        assert!(Instant::now() < deadline, "{} turns are known", turns());
        store.sweep(1_000).await.unwrap();
    }
    assert_eq!(schema.psql("select count(*) from turn where number = clock").unwrap(), "1");
}
