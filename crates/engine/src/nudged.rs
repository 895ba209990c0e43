//! Workers that wait to be nudged: told to send a heartbeat at once.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskwright_core::limits::{HEARTBEAT_EVERY, WAIT_MAX, WAITERS_MAX};
use taskwright_core::{Name, WorkerId};
use taskwright_store::{Nudge, Nudges};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, ErrorCode, Result};

/// Nudges kept for workers that do not wait just now; beyond that they are lost.
const KEPT_MAX: usize = 10_000;

/// The workers that wait, and nudges for those that are about to.
#[derive(Debug, Default)]
pub(crate) struct Nudged(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// How many wait, in all.
    waiting: usize,
    workers: HashMap<Nudge, Seat>,
}

/// What is kept of a worker that waits or was nudged.
#[derive(Debug, Default)]
struct Seat {
    waiting: usize,
    notify: Arc<Notify>,
    nudged_at: Option<Instant>,
}

impl Seat {
    /// Beyond the time between heartbeats a nudge is of no use: the worker has heard by itself.
    fn is_needed(&self) -> bool {
        let is_fresh = |at: Instant| at.elapsed() < HEARTBEAT_EVERY;
        self.waiting > 0 || self.nudged_at.is_some_and(is_fresh)
    }
}

/// A place in the table. Leaves it when dropped.
struct Waiting<'a> {
    nudged: &'a Nudged,
    worker: Nudge,
    notify: Arc<Notify>,
}

impl Nudged {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to `wait` (at most `WAIT_MAX`) until the worker is nudged. A nudge ends one wait: one
    /// that came before it, but after the worker's last heartbeat, counts.
    pub(crate) async fn wait(
        &self,
        namespace: &Name,
        worker: WorkerId,
        wait: Duration,
    ) -> Result<bool> {
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let waiting = self.enter(Nudge { namespace: namespace.clone(), worker })?;
        loop {
            let mut woken = pin!(waiting.notify.notified());
            // From here on nudges count, so that one that comes while we look is not missed.
            woken.as_mut().enable();
            if self.take(&waiting.worker) {
                return Ok(true);
            }
            if tokio::time::timeout_at(deadline, woken).await.is_err() {
                return Ok(false);
            }
        }
    }

    fn enter(&self, worker: Nudge) -> Result<Waiting<'_>> {
        let mut table = self.table();
        if table.waiting >= WAITERS_MAX {
            let message = format!(
                "worker {} cannot wait to be nudged: {WAITERS_MAX} wait already, the most there can be; its heartbeats tell it what to stop",
                worker.worker
            );
            return Err(Error::new(ErrorCode::Busy, message));
        }
        table.waiting += 1;
        let seat = table.workers.entry(worker.clone()).or_default();
        seat.waiting += 1;
        let notify = Arc::clone(&seat.notify);
        Ok(Waiting { nudged: self, worker, notify })
    }

    fn take(&self, worker: &Nudge) -> bool {
        self.table().workers.get_mut(worker).is_some_and(|seat| seat.nudged_at.take().is_some())
    }

    /// The worker sends a heartbeat: what it was nudged for, it hears by that.
    pub(crate) fn beats(&self, namespace: &Name, worker: WorkerId) {
        self.take(&Nudge { namespace: namespace.clone(), worker });
    }

    /// Wakes those who wait, and keeps the nudges of others for when they do.
    fn nudge(&self, nudges: &[Nudge]) {
        let mut table = self.table();
        if table.workers.len() + nudges.len() >= KEPT_MAX {
            table.workers.retain(|_, seat| seat.is_needed());
        }
        for nudge in nudges {
            let has_room = table.workers.len() < KEPT_MAX + table.waiting;
            if has_room || table.workers.contains_key(nudge) {
                let seat = table.workers.entry(nudge.clone()).or_default();
                seat.nudged_at = Some(Instant::now());
                seat.notify.notify_waiters();
            }
        }
    }

    /// Hands on what the store says, until it says no more.
    pub(crate) async fn listen(self: Arc<Self>, mut nudges: Nudges) {
        while let Some(nudges) = nudges.next().await {
            self.nudge(&nudges);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut table = self.nudged.table();
        table.waiting -= 1;
        if let Some(seat) = table.workers.get_mut(&self.worker) {
            seat.waiting -= 1;
            if !seat.is_needed() {
                table.workers.remove(&self.worker);
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/nudged.rs"]
mod tests;
