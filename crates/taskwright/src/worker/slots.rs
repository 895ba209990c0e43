//! How many slots and how much of its resources are taken by what a worker runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use taskwright_core::Resources;
use taskwright_core::placement::Cost;
use tokio::sync::Notify;

/// What is taken of a worker.
#[derive(Default)]
pub(crate) struct Slots {
    taken: AtomicUsize,
    resources: Mutex<Resources>,
    freed: Notify,
}

/// What one job takes. It travels with the work, also into a thread that nobody waits for any more, and
/// is free again when dropped.
pub(crate) struct Slot {
    of: Option<Arc<Slots>>,
    cost: Cost,
}

impl Slots {
    /// Takes what a job costs.
    pub(crate) fn take(self: &Arc<Self>, cost: Cost) -> Slot {
        self.taken.fetch_add(cost.slots, Ordering::Relaxed);
        self.change(&cost, Resources::add);
        Slot { of: Some(Arc::clone(self)), cost }
    }

    /// What is taken now.
    pub(crate) fn taken(&self) -> Cost {
        let resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Cost { slots: self.taken.load(Ordering::Relaxed), resources }
    }

    /// Waits until something was freed by a drop.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn free(&self, cost: &Cost) {
        self.change(cost, Resources::take_away);
        self.taken.fetch_sub(cost.slots, Ordering::Relaxed);
    }

    fn change(&self, cost: &Cost, change: fn(&mut Resources, &Resources)) {
        if !cost.resources.is_empty() {
            let mut taken = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut taken, &cost.resources);
        }
    }
}

impl Slot {
    /// Frees what was taken for somebody who looks anyway.
    pub(crate) fn give_back(mut self) {
        if let Some(slots) = self.of.take() {
            slots.free(&self.cost);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.of.take() {
            slots.free(&self.cost);
            slots.freed.notify_one();
        }
    }
}
