//! Who waits for a job to end, and how they are woken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskwright_core::JobId;
use taskwright_core::limits::WAITERS_MAX;
use taskwright_store::{Event, Events, Heard, Store};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::error::{Error, ErrorCode, Result};

/// The table of those who wait. It listens to the store's hints only while somebody waits, so that
/// a store on which nobody waits need not make any.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    jobs: HashMap<JobId, Waited>,
    /// How many wait, in all.
    waiting: usize,
    listening: bool,
}

#[derive(Debug, Default)]
struct Waited {
    notify: Arc<Notify>,
    waiting: usize,
}

/// A place in the table. Leaves it when dropped.
pub(crate) struct Waiter {
    waiters: Arc<Waiters>,
    id: JobId,
    notify: Arc<Notify>,
}

impl Waiters {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for a job. What happens after this wakes the waiter; what happened before,
    /// the caller finds out by looking. Hints are read on `runtime`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        id: JobId,
        store: &Arc<dyn Store>,
        runtime: &Handle,
    ) -> Result<Waiter> {
        let mut table = self.table();
        if table.waiting >= WAITERS_MAX {
            let message = format!(
                "cannot wait for job {id}: {WAITERS_MAX} callers wait already, the most there can be; look again later"
            );
            return Err(Error::new(ErrorCode::Busy, message));
        }
        if !table.listening {
            table.listening = true;
            runtime.spawn(listen(Arc::clone(self), store.events()));
        }
        table.waiting += 1;
        let waited = table.jobs.entry(id).or_default();
        waited.waiting += 1;
        let notify = Arc::clone(&waited.notify);
        drop(table);
        Ok(Waiter { waiters: Arc::clone(self), id, notify })
    }

    /// Whether anybody waits.
    #[cfg(test)]
    pub(crate) fn has_any(&self) -> bool {
        self.table().waiting > 0
    }

    fn wake(&self, events: &[Event]) {
        let table = self.table();
        for event in events.iter().filter(|event| event.state.is_final()) {
            if let Some(waited) = table.jobs.get(&event.id) {
                waited.notify.notify_waiters();
            }
        }
    }

    fn wake_all(&self) {
        for waited in self.table().jobs.values() {
            waited.notify.notify_waiters();
        }
    }

    /// Stops listening if nobody waits any more.
    fn rest(&self) -> bool {
        let mut table = self.table();
        table.listening = table.waiting > 0;
        !table.listening
    }
}

impl Waiter {
    /// Waits for the next hint that the job ended. Polled once before the job is looked at, it
    /// misses nothing that happens after.
    pub(crate) fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut table = self.waiters.table();
        table.waiting -= 1;
        if let Some(waited) = table.jobs.get_mut(&self.id) {
            waited.waiting -= 1;
            if waited.waiting == 0 {
                table.jobs.remove(&self.id);
            }
        }
    }
}

async fn listen(waiters: Arc<Waiters>, mut events: Events) {
    loop {
        match events.next().await {
            Heard::Events(events) => waiters.wake(&events),
            Heard::Missed => waiters.wake_all(),
            Heard::Closed => {
                waiters.table().listening = false;
                waiters.wake_all();
                return;
            }
        }
        if waiters.rest() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "tests/waiters.rs"]
mod tests;
