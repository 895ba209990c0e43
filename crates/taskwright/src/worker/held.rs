//! What a worker has, and must name with each heartbeat.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use taskwright_core::{JobId, Token};
use taskwright_store::{CancelOrder, ClaimedJob};
use tokio::sync::Notify;

use crate::context::{Context, StopReason};

/// One attempt.
pub(crate) type Key = (JobId, Token);

/// What a worker has. A job is in it from the arrival of its claim until its report is answered; a
/// claim is settled in the same moment as its jobs come in, so that no heartbeat can see one
/// without the other.
#[derive(Default)]
pub(crate) struct Held {
    inside: Mutex<Inside>,
    /// Told when jobs arrive.
    arrival: Notify,
}

#[derive(Default)]
struct Inside {
    attempts: HashMap<Key, Holding>,
    settled: u64,
}

struct Holding {
    context: Context,
    stops_with_lease: bool,
}

/// What a heartbeat says.
pub(crate) struct Snapshot {
    pub(crate) settled: u64,
    pub(crate) held: Vec<Key>,
    pub(crate) progress: Vec<(JobId, Token, taskwright_core::Json)>,
}

impl Held {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the jobs of claim `seq`, which has arrived. `admit` makes the context of each.
    pub(crate) fn arrived<T>(
        &self,
        seq: u64,
        jobs: Vec<ClaimedJob>,
        mut admit: impl FnMut(ClaimedJob) -> (Context, bool, T),
    ) -> Vec<T> {
        let mut inside = self.inside();
        let mut admitted = Vec::with_capacity(jobs.len());
        for job in jobs {
            let key = (job.id, job.token);
            // A repeated claim may answer again what is here already.
            if inside.attempts.contains_key(&key) {
                continue;
            }
            let (context, stops_with_lease, rest) = admit(job);
            inside.attempts.insert(key, Holding { context, stops_with_lease });
            admitted.push(rest);
        }
        inside.settled = inside.settled.max(seq);
        drop(inside);
        if !admitted.is_empty() {
            self.arrival.notify_waiters();
        }
        admitted
    }

    /// How many jobs there are.
    pub(crate) fn count(&self) -> usize {
        self.inside().attempts.len()
    }

    /// Waits until there is anything.
    pub(crate) async fn any(&self) {
        loop {
            let mut arrival = pin!(self.arrival.notified());
            // From here on an arrival counts, so that one that comes while we look is not missed.
            arrival.as_mut().enable();
            if !self.inside().attempts.is_empty() {
                return;
            }
            arrival.await;
        }
    }

    /// Notes that claim `seq` will never be repeated: whatever it took and did not deliver is
    /// given back by the next heartbeat.
    pub(crate) fn settle(&self, seq: u64) {
        let mut inside = self.inside();
        inside.settled = inside.settled.max(seq);
    }

    /// Lets go of everything up to claim `seq`: the next heartbeat gives it back.
    pub(crate) fn forget(&self, seq: u64) {
        let mut inside = self.inside();
        inside.attempts.clear();
        inside.settled = inside.settled.max(seq);
    }

    /// Lets go of attempts whose reports are answered.
    pub(crate) fn remove(&self, keys: impl Iterator<Item = Key>) {
        let mut inside = self.inside();
        for key in keys {
            inside.attempts.remove(&key);
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let inside = self.inside();
        let progress = inside.attempts.iter().filter_map(|(&(id, token), holding)| {
            holding.context.take_progress().map(|progress| (id, token, progress))
        });
        Snapshot {
            settled: inside.settled,
            progress: progress.collect(),
            held: inside.attempts.keys().copied().collect(),
        }
    }

    /// Puts back progress that could not be told.
    pub(crate) fn return_progress(&self, progress: Vec<(JobId, Token, taskwright_core::Json)>) {
        let inside = self.inside();
        for (id, token, progress) in progress {
            if let Some(holding) = inside.attempts.get(&(id, token)) {
                holding.context.return_progress(progress);
            }
        }
    }

    /// Tells attempts that they are no longer this worker's, and counts those that did not know.
    pub(crate) fn lose(&self, lost: &[Key]) -> usize {
        let inside = self.inside();
        let lost = lost.iter().filter_map(|key| inside.attempts.get(key));
        lost.filter(|holding| holding.context.stop(StopReason::Lost)).count()
    }

    /// Tells attempts to stop, as somebody ordered.
    pub(crate) fn cancel(&self, orders: Vec<CancelOrder>) {
        let inside = self.inside();
        for order in orders {
            if let Some(holding) = inside.attempts.get(&(order.id, order.token)) {
                holding.context.stop(if order.timed_out {
                    StopReason::TimedOut
                } else {
                    StopReason::Cancelled(order.reason)
                });
            }
        }
    }

    /// Tells every attempt to stop because the worker does.
    pub(crate) fn stop_all(&self) {
        for holding in self.inside().attempts.values() {
            holding.context.stop(StopReason::Stopping);
        }
    }

    /// Tells the attempts that must not outlive the lease that they are lost.
    pub(crate) fn lose_unfenced(&self) {
        for holding in self.inside().attempts.values().filter(|h| h.stops_with_lease) {
            holding.context.stop(StopReason::Lost);
        }
    }
}
