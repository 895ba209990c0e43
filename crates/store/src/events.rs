//! Hints of what happens in a store.

use std::sync::Arc;

use taskwright_core::{JobId, Name, StateName};
use tokio::sync::broadcast;

/// Groups of hints that a slow reader may fall behind before it loses some.
const BACKLOG: usize = 1_024;

/// One job changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The tenant.
    pub namespace: Name,
    /// The queue.
    pub queue: Name,
    /// The task.
    pub task: Name,
    /// The job.
    pub id: JobId,
    /// Its state now.
    pub state: StateName,
    /// The number of its newest attempt.
    pub attempt: u32,
}

/// Where a store announces hints.
#[derive(Clone, Debug)]
pub struct Publisher(broadcast::Sender<Arc<[Event]>>);

impl Default for Publisher {
    fn default() -> Self {
        Publisher(broadcast::channel(BACKLOG).0)
    }
}

impl Publisher {
    /// Whether anybody listens. Where nobody does, hints need not be made.
    pub fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Announces hints together.
    pub fn publish(&self, events: Vec<Event>) {
        if !events.is_empty() {
            // Without listeners there is nobody to tell.
            let _ = self.0.send(events.into());
        }
    }

    /// Hints from now on.
    pub fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }
}

/// What a listener gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Hints, in order.
    Events(Arc<[Event]>),
    /// The listener fell behind and hints were lost: look for yourself.
    Missed,
    /// The store was closed.
    Closed,
}

/// A stream of hints.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Arc<[Event]>>);

impl Events {
    /// The next hints. Waits until there are some; safe to drop while waiting.
    pub async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(events) => Heard::Events(events),
            Err(broadcast::error::RecvError::Lagged(_)) => Heard::Missed,
            Err(broadcast::error::RecvError::Closed) => Heard::Closed,
        }
    }
}
