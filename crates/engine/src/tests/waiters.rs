use taskwright_core::{Name, StateName, Timestamp};
use taskwright_store::{ManualClock, NaiveStore};

use super::*;

fn store() -> Arc<dyn Store> {
    Arc::new(NaiveStore::new(Arc::new(ManualClock::new(Timestamp::from_millis(1)))))
}

fn ended(id: JobId) -> Event {
    Event {
        namespace: Name::default_name(),
        queue: Name::default_name(),
        task: Name::default_name(),
        id,
        state: StateName::Completed,
        attempt: 1,
    }
}

#[tokio::test]
async fn only_those_who_wait_for_the_job_are_woken() {
    let waiters = Arc::new(Waiters::default());
    let (one, two) = (JobId::from_u128(1), JobId::from_u128(2));
    let enter = |id| waiters.enter(id, &store(), &Handle::current()).unwrap();
    let (first, second) = (enter(one), enter(two));
    let mut first = std::pin::pin!(first.woken());
    let mut second = std::pin::pin!(second.woken());
    assert!(!first.as_mut().enable() && !second.as_mut().enable());
    waiters.wake(&[ended(one)]);
    assert!(first.as_mut().enable());
    assert!(!second.as_mut().enable());
    waiters.wake_all();
    assert!(second.as_mut().enable());
}

#[tokio::test]
async fn the_table_is_empty_when_nobody_waits() {
    let waiters = Arc::new(Waiters::default());
    let store = store();
    let enter = || waiters.enter(JobId::from_u128(1), &store, &Handle::current()).unwrap();
    let (first, second) = (enter(), enter());
    drop(first);
    assert_eq!(waiters.table().jobs.len(), 1);
    assert!(!waiters.rest());
    drop(second);
    let table = waiters.table();
    assert!(table.jobs.is_empty());
    assert_eq!(table.waiting, 0);
    drop(table);
    assert!(waiters.rest());
}

#[tokio::test]
async fn jobs_that_only_change_wake_nobody() {
    let waiters = Arc::new(Waiters::default());
    let waiter = waiters.enter(JobId::from_u128(1), &store(), &Handle::current()).unwrap();
    let mut woken = std::pin::pin!(waiter.woken());
    woken.as_mut().enable();
    waiters.wake(&[Event { state: StateName::Running, ..ended(JobId::from_u128(1)) }]);
    assert!(!woken.as_mut().enable());
}
