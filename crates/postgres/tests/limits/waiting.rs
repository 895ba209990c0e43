//! Who waits for whom: nobody for a row that somebody else holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_store::Store;
use taskwright_testbed::{available, fresh_schema};

use super::words::{LONG, add, at_once, counts, key, keyed, limit, paced, set};
use crate::support::client::Application;
use crate::support::jobs::{Hand, complete, job, open, url_of};
use crate::support::random::Random;

/// How many sessions wait for a lock of the whole store.
const WAITING: &str = "select count(*) from pg_locks where not granted and locktype = 'advisory'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_leaves_out_jobs_that_others_hold() {
    let Some(schema) = available("postgres_limits::held", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    let application = Application::of(&schema).await;
    limit(&store, key("two"), at_once(2)).await;
    add(&store, (0..5).map(|_| keyed(&mut random, &["two"])).collect()).await;
    assert_eq!(counts(&store).await, (2, 3, 0));

    // The first that is ready, and the first in line.
    application.batch_execute("begin").await.unwrap();
    let hold = "select seq from job where seq in ( \
        select min(seq) from job group by state) for update";
    assert_eq!(application.query(hold, &[]).await.unwrap().len(), 2);
    let mut hand = Hand::new(&mut random);
    let claimed = hand.take(&*store, 9, Duration::ZERO).await;
    assert_eq!(claimed.iter().map(|job| job.seq).collect::<Vec<_>>(), [2]);
    complete(&*store, &claimed).await;
    let claimed = hand.take(&*store, 9, Duration::ZERO).await;
    assert_eq!(claimed.iter().map(|job| job.seq).collect::<Vec<_>>(), [4]);
    application.batch_execute("rollback").await.unwrap();
    complete(&*store, &claimed).await;
    let claimed = hand.take(&*store, 9, Duration::ZERO).await;
    assert_eq!(claimed.iter().map(|job| job.seq).collect::<Vec<_>>(), [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_policy_waits_for_claims_that_know_of_none() {
    let Some(schema) = available("postgres_limits::first", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    add(&store, (0..4).map(|_| keyed(&mut random, &["one"])).collect()).await;
    let application = Application::of(&schema).await;
    application.batch_execute("begin").await.unwrap();
    let claim = "select count(*) from claim(null, (select min(number) from namespace), \
        array['default'], null, gen_random_uuid(), 1, false, 1, 2, 15000000, 5000000, '{}', '{}', \
        '{}', 0, '', null)";
    let row = application.query_one(claim, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);

    let setting = Arc::clone(&store);
    let setting = tokio::spawn(async move { limit(&setting, key("one"), at_once(2)).await });
    let deadline = Instant::now() + LONG;
    while schema.psql(WAITING).unwrap() == "0" {
        assert!(Instant::now() < deadline && !setting.is_finished(), "it does not wait");
    }
    application.batch_execute("commit").await.unwrap();
    setting.await.unwrap();
    let claimed = Hand::new(&mut random).take(&*store, 9, Duration::ZERO).await;
    assert_eq!((claimed.len(), counts(&store).await), (0, (0, 2, 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_of_policies_that_another_has_set() {
    let Some(schema) = available("postgres_limits::heard", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let (first, second) = (open(&url_of(&schema)).await, open(&url_of(&schema)).await);
    let mut hand = Hand::new(&mut random);
    add(&second, vec![job(random.job_id())]).await;
    assert_eq!(hand.take(&*second, 9, Duration::ZERO).await.len(), 1);
    limit(&first, key("one"), at_once(1)).await;
    add(&second, (0..3).map(|_| keyed(&mut random, &["one"])).collect()).await;
    assert_eq!(counts(&first).await, (1, 2, 1));
    let claimed = hand.take(&*second, 9, Duration::ZERO).await;
    assert_eq!(claimed.len(), 1);
    limit(&first, key("one"), at_once(2)).await;
    assert_eq!(hand.take(&*second, 9, Duration::ZERO).await.len(), 1, "one more than before");
    first.control("test", vec![set(key("one"), None)]).await.unwrap();
    assert_eq!(hand.take(&*second, 9, Duration::ZERO).await.len(), 1);
    complete(&*second, &claimed).await;
    add(&second, (0..3).map(|_| keyed(&mut random, &["one"])).collect()).await;
    assert_eq!(hand.take(&*second, 9, Duration::ZERO).await.len(), 3, "nothing is limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_waits_on_another_node_is_told_of_room() {
    let Some(schema) = available("postgres_limits::told", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let (first, second) = (open(&url_of(&schema)).await, open(&url_of(&schema)).await);
    limit(&first, key("one"), at_once(1)).await;
    add(&first, (0..2).map(|_| keyed(&mut random, &["one"])).collect()).await;
    let running = Hand::new(&mut random).take(&*first, 9, Duration::ZERO).await;
    assert_eq!(running.len(), 1);
    let (waiting, claim) = (Arc::clone(&second), Hand::new(&mut random).claim(1, LONG));
    let waiting = tokio::spawn(async move { waiting.claim(claim).await.unwrap() });
    complete(&*first, &running).await;
    assert_eq!(waiting.await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_waits_is_given_what_time_makes_room_for() {
    let Some(schema) = available("postgres_limits::paced", fresh_schema()) else { return };
    let mut random = Random::seeded();
    let store = open(&url_of(&schema)).await;
    limit(&store, key("paced"), paced(4, 1)).await;
    add(&store, (0..4).map(|_| keyed(&mut random, &["paced"])).collect()).await;
    let mut hand = Hand::new(&mut random);
    // Nobody sweeps.
    for left in (0..4).rev() {
        let claimed = hand.take(&*store, 9, LONG).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(counts(&store).await, (0, left, 4 - left));
    }
}
