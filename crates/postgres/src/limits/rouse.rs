//! Room that comes with time. Sweeps look for it, but one that has just been used up they may not know
//! of yet; so the node whose claim used it looks itself when it has come, sooner than the next sweep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use taskwright_core::limits::{PROMOTIONS_MAX, SWEEP_EVERY};
use taskwright_store::{Result, Swept};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::desk::Desk;
use crate::store::PostgresStore;

/// Looks are so far apart, however many starts a rate allows.
const GAP: Duration = Duration::from_millis(20);

/// When to look for room, by namespace.
#[derive(Default)]
pub(super) struct Looks {
    at: Mutex<BTreeMap<i32, Instant>>,
    sooner: Notify,
}

impl Looks {
    fn at(&self) -> MutexGuard<'_, BTreeMap<i32, Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by(&self, namespace: i32, at: Instant) {
        let mut looks = self.at();
        if looks.get(&namespace).is_none_or(|known| at < *known) {
            looks.insert(namespace, at);
            self.sooner.notify_one();
        }
    }

    fn next(&self) -> Option<Instant> {
        self.at().values().min().copied()
    }

    /// The namespaces whose time has come; they are told once.
    fn take_due(&self) -> Vec<i32> {
        let (mut looks, now) = (self.at(), Instant::now());
        let due: Vec<i32> =
            looks.iter().filter(|(_, at)| **at <= now).map(|(number, _)| *number).collect();
        looks.retain(|_, at| *at > now);
        due
    }
}

impl PostgresStore {
    /// A claim or a service has left a line, or a queue or task with ready jobs, without room: notes
    /// when there is some by time alone. What comes later than the next sweep, that one will tell.
    pub(super) fn look_for_room(&self, desk: &mut Desk) {
        if self.clock.shown().is_some() {
            return;
        }
        let of_lines =
            desk.retimed.iter().filter_map(|key| desk.timers.get(key).copied().flatten());
        let of_lines = of_lines.min();
        let with_jobs = desk.candidates.iter().filter(|(_, slice)| !slice.is_empty());
        let lanes: Vec<i32> = with_jobs.map(|((lane, _), _)| *lane).collect();
        let of_lanes = lanes.into_iter().filter_map(|lane| desk.lane_grows_at(lane)).min();
        let Some(at) = of_lines.into_iter().chain(of_lanes).min() else { return };
        let wait = at.since(desk.now);
        if wait < SWEEP_EVERY {
            self.limits.looks.by(desk.namespace, Instant::now() + wait);
        }
    }

    async fn rouse(&self) -> Result<()> {
        let namespaces = self.limits.looks.take_due();
        let mut left = PROMOTIONS_MAX;
        self.serve_called(None, &mut left, &mut Swept::default()).await?;
        for number in namespaces {
            let namespace = self.lanes.namespace_name(&self.link, number).await?;
            self.hints.ready_all(&namespace);
        }
        Ok(())
    }
}

/// Looks for room when its time has come, until the store is dropped.
pub(crate) async fn rousing(store: Weak<PostgresStore>) {
    loop {
        let Some(limits) = store.upgrade().map(|store| Arc::clone(&store.limits)) else {
            return;
        };
        match limits.looks.next() {
            Some(at) if at <= Instant::now() => {
                let Some(store) = store.upgrade() else { return };
                // A sweep does it where this fails.
                let _ = store.rouse().await;
                drop(store);
                sleep(GAP).await;
            }
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = limits.looks.sooner.notified() => {}
            },
            None => limits.looks.sooner.notified().await,
        }
    }
}
