use taskwright_store::Publisher;

use super::*;

const LONG: Duration = Duration::from_secs(50);

fn nudge(worker: u128) -> Nudge {
    Nudge { namespace: Name::default_name(), worker: WorkerId::from_u128(worker) }
}

async fn wait(nudged: &Nudged, worker: u128, wait: Duration) -> bool {
    let Nudge { namespace, worker } = nudge(worker);
    nudged.wait(&namespace, worker, wait).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_nudge_ends_the_wait_of_its_worker_and_of_no_other() {
    let (nudged, publisher) = (Arc::new(Nudged::default()), Publisher::default());
    tokio::spawn(Arc::clone(&nudged).listen(publisher.subscribe_to_nudges()));
    let began = Instant::now();
    let told = async { (wait(&nudged, 1, LONG).await, began.elapsed()) };
    let tell = async {
        tokio::time::advance(Duration::from_secs(3)).await;
        publisher.nudge(vec![nudge(1)]);
    };
    let (told, other, ()) = tokio::join!(told, wait(&nudged, 2, LONG), tell);
    assert_eq!(told, (true, Duration::from_secs(3)));
    assert!(!other);
    assert_eq!(began.elapsed(), LONG);
    assert!(nudged.table().workers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_nudge_between_two_waits_ends_the_second() {
    let nudged = Nudged::default();
    nudged.nudge(&[nudge(1), nudge(1)]);
    assert!(wait(&nudged, 1, LONG).await);
    assert!(!wait(&nudged, 1, LONG).await, "once");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_hears_what_the_nudge_was_for() {
    let nudged = Nudged::default();
    nudged.nudge(&[nudge(1)]);
    nudged.beats(&Name::default_name(), WorkerId::from_u128(1));
    assert!(!wait(&nudged, 1, LONG).await);
}

#[tokio::test(start_paused = true)]
async fn nudges_that_nobody_asks_for_do_not_pile_up() {
    let nudged = Nudged::default();
    let many: Vec<_> = (0..2 * KEPT_MAX as u128).map(nudge).collect();
    nudged.nudge(&many);
    assert_eq!(nudged.table().workers.len(), KEPT_MAX);
    tokio::time::advance(HEARTBEAT_EVERY).await;
    nudged.nudge(&many[KEPT_MAX..]);
    assert!(wait(&nudged, 2 * KEPT_MAX as u128 - 1, LONG).await);
}
