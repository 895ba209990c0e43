//! The one thread that changes a store, and the inbox in front of it.
//!
//! There is no timer: while one group is synced the next one gathers in the inbox.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use taskwright_store::{Error, ErrorKind, Result};

use crate::core::Core;
use crate::request::Request;

/// Bytes of new work that may wait for the writer.
const NEW_WORK_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Requests that may wait for the writer.
const REQUESTS_MAX: usize = 200_000;
/// When to try again where too much waits.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Between looks at whether segments can be freed, where nothing else happens.
const IDLE: Duration = Duration::from_secs(1);

/// Where requests wait for the writer.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    requests: Vec<Request>,
    new_work_bytes: u64,
    is_closed: bool,
    /// Whether the writer sleeps and must be woken.
    is_idle: bool,
}

impl Inbox {
    /// Hands a request to the writer; it is answered whatever happens.
    pub fn send(&self, request: Request) {
        let mut waiting = self.locked();
        if waiting.is_closed {
            return request.refuse(closed());
        }
        if request.is_new_work() {
            let bytes = request.journal_bytes();
            if waiting.new_work_bytes > 0 && waiting.new_work_bytes + bytes > NEW_WORK_BYTES_MAX {
                return request.refuse(busy());
            }
            waiting.new_work_bytes += bytes;
        }
        if waiting.requests.len() >= REQUESTS_MAX {
            return request.refuse(busy());
        }
        waiting.requests.push(request);
        if std::mem::take(&mut waiting.is_idle) {
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    /// Refuses everything from now on; the writer finishes what waits and ends.
    pub fn close(&self) {
        self.locked().is_closed = true;
        self.arrived.notify_one();
    }

    /// What waits, as soon as something does; nothing at `until`. The flag says that it was closed.
    fn take(&self, until: Instant) -> (Vec<Request>, bool) {
        let mut waiting = self.locked();
        while waiting.requests.is_empty() && !waiting.is_closed {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            waiting.is_idle = true;
            waiting =
                self.arrived.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
            waiting.is_idle = false;
        }
        waiting.new_work_bytes = 0;
        (std::mem::take(&mut waiting.requests), waiting.is_closed)
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread that serves the inbox until it is closed. `sync_every` is how often written
/// groups are synced where the durability setting does not do it at once.
pub fn start(
    inbox: Arc<Inbox>,
    core: Core,
    sync_every: Option<Duration>,
) -> Result<JoinHandle<Core>> {
    std::thread::Builder::new()
        .name("taskwright-writer".to_owned())
        .spawn(move || run(&inbox, core, sync_every))
        .map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("cannot start the writer thread: {error}"))
        })
}

fn run(inbox: &Inbox, mut core: Core, sync_every: Option<Duration>) -> Core {
    // If the writer panics, callers must hear of it rather than wait.
    struct CloseOnExit<'a>(&'a Inbox);
    impl Drop for CloseOnExit<'_> {
        fn drop(&mut self) {
            self.0.close();
            for request in self.0.take(Instant::now()).0 {
                request.refuse(closed());
            }
        }
    }
    let _guard = CloseOnExit(inbox);

    let mut sync_at = sync_every.map(|every| Instant::now() + every);
    let mut is_tidy = true;
    loop {
        let rest = if is_tidy { sync_every.unwrap_or(IDLE).min(IDLE) } else { Duration::ZERO };
        let idle = Instant::now() + rest;
        let until = core.next_deadline().map_or(idle, |deadline| deadline.min(idle));
        let (requests, is_closed) = inbox.take(until);
        let is_over = requests.is_empty() && is_closed;
        is_tidy = !requests.is_empty() || !core.tidy();
        core.serve(requests);
        core.end_waits(Instant::now());
        if let (Some(at), Some(every)) = (sync_at, sync_every)
            && (at <= Instant::now() || is_over)
        {
            // A failure stops the core, which then tells every caller.
            let _ = core.sync();
            sync_at = Some(Instant::now() + every);
        }
        core.recycle();
        if is_over {
            core.end_all_waits();
            return core;
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed; open it again")
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "too many requests wait for the store; try again in a moment")
        .retry_after(RETRY_AFTER)
}
