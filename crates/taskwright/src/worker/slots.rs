//! How many slots are taken by what runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The slots of a worker that are taken.
#[derive(Default)]
pub(crate) struct Slots {
    taken: AtomicUsize,
    freed: Notify,
}

/// The slots that one job takes. They travel with the work, also into a thread that nobody waits for
/// any more, and are free again when dropped.
pub(crate) struct Slot {
    of: Option<Arc<Slots>>,
    cost: usize,
}

impl Slots {
    /// Takes as many as a job costs.
    pub(crate) fn take(self: &Arc<Self>, cost: usize) -> Slot {
        self.taken.fetch_add(cost, Ordering::Relaxed);
        Slot { of: Some(Arc::clone(self)), cost }
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until slots were freed by a drop.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Slot {
    /// Frees the slots for somebody who looks anyway.
    pub(crate) fn give_back(mut self) {
        if let Some(slots) = self.of.take() {
            slots.taken.fetch_sub(self.cost, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.of.take() {
            slots.taken.fetch_sub(self.cost, Ordering::Relaxed);
            slots.freed.notify_one();
        }
    }
}
