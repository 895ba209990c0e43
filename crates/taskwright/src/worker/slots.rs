//! How many jobs run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The slots of a worker that are taken.
#[derive(Default)]
pub(crate) struct Slots {
    taken: AtomicUsize,
    freed: Notify,
}

/// One taken slot. It travels with the work, also into a thread that nobody waits for any more,
/// and is free again when dropped.
pub(crate) struct Slot(Option<Arc<Slots>>);

impl Slots {
    pub(crate) fn take(self: &Arc<Self>) -> Slot {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Slot(Some(Arc::clone(self)))
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until a slot was freed by a drop.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Slot {
    /// Frees the slot for somebody who looks anyway.
    pub(crate) fn give_back(mut self) {
        if let Some(slots) = self.0.take() {
            slots.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.taken.fetch_sub(1, Ordering::Relaxed);
            slots.freed.notify_one();
        }
    }
}
