//! Hints of what happens in a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use taskwright_core::{JobId, Name, StateName, Timestamp, WorkerId};
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

/// A worker that should send a heartbeat at once, to hear that an attempt of its should stop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nudge {
    /// The tenant.
    pub namespace: Name,
    /// The worker.
    pub worker: WorkerId,
}

/// Where a store announces hints.
#[derive(Clone, Debug)]
pub struct Publisher {
    events: broadcast::Sender<Arc<[Event]>>,
    nudges: broadcast::Sender<Arc<[Nudge]>>,
    room_at: Arc<AtomicI64>,
}

impl Default for Publisher {
    fn default() -> Self {
        Publisher {
            events: broadcast::channel(BACKLOG).0,
            nudges: broadcast::channel(BACKLOG).0,
            room_at: Arc::new(AtomicI64::new(i64::MAX)),
        }
    }
}

impl Publisher {
    /// Whether anybody listens to events. Where nobody does, they need not be made.
    pub fn is_heard(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Announces hints together.
    pub fn publish(&self, events: Vec<Event>) {
        if !events.is_empty() {
            // Without listeners there is nobody to tell.
            let _ = self.events.send(events.into());
        }
    }

    /// Announces nudges together.
    pub fn nudge(&self, nudges: Vec<Nudge>) {
        if !nudges.is_empty() {
            // Without listeners there is nobody to tell.
            let _ = self.nudges.send(nudges.into());
        }
    }

    /// Tells when there is more room by time alone (`Store::room_at`).
    pub fn tell_room(&self, at: Option<Timestamp>) {
        self.room_at.store(at.map_or(i64::MAX, Timestamp::as_micros), Ordering::Release);
    }

    /// What was told last.
    pub fn room_at(&self) -> Option<Timestamp> {
        let at = self.room_at.load(Ordering::Acquire);
        (at < i64::MAX).then(|| Timestamp::from_micros(at))
    }

    /// Hints from now on.
    pub fn subscribe(&self) -> Events {
        Events(self.events.subscribe())
    }

    /// Nudges from now on.
    pub fn subscribe_to_nudges(&self) -> Nudges {
        Nudges(self.nudges.subscribe())
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

/// A stream of nudges.
#[derive(Debug)]
pub struct Nudges(broadcast::Receiver<Arc<[Nudge]>>);

impl Nudges {
    /// A stream that has ended: that of a store which makes no nudges.
    pub fn none() -> Self {
        Publisher::default().subscribe_to_nudges()
    }

    /// The next nudges; `None`: there will be no more. Waits until there are some; safe to drop
    /// while waiting. What a slow reader missed is not told: the workers' own heartbeats hear it.
    pub async fn next(&mut self) -> Option<Arc<[Nudge]>> {
        loop {
            match self.0.recv().await {
                Ok(nudges) => return Some(nudges),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
