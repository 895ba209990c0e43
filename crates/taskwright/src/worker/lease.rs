//! Renews a worker's lease, from a thread of its own, and hears what to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taskwright_core::limits::LEASE;
use taskwright_core::{Load, WorkerId};
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::{Heartbeat, WorkerInfo};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::held::Held;
use super::listen::listen;
use super::load::Gauge;
use crate::app::Taskwright;
use crate::retrying::Backoff;

/// The longest one try of a heartbeat may take.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(4);
/// How long before the end of an unrenewed lease unfenced attempts are stopped.
const LEASE_MARGIN: Duration = Duration::from_secs(3);
/// The longest the last heartbeat may hold up the end.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(2);

/// The lease of one worker, kept until dropped.
pub(crate) struct Lease {
    wish: watch::Sender<Wish>,
    stopping: Arc<AtomicBool>,
    ended: tokio::sync::oneshot::Receiver<()>,
}

/// What the worker wants of the thread.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Wish {
    /// Go on. The number grows with each heartbeat that is wanted at once.
    Renew(u64),
    /// One last heartbeat, then end.
    Farewell,
    /// End.
    End,
}

/// Whose lease it is.
pub(crate) struct Tenant {
    pub(crate) app: Taskwright,
    pub(crate) worker: WorkerId,
    pub(crate) name: Arc<str>,
    pub(crate) slots: usize,
    /// The time between heartbeats.
    pub(crate) every: Duration,
}

struct Renewing {
    tenant: Tenant,
    stopping: Arc<AtomicBool>,
    held: Arc<Held>,
    /// Of one that measures its load.
    load: Option<watch::Receiver<Load>>,
}

impl Lease {
    /// Starts the thread; the first heartbeat is sent at once, and each tells what a `gauge` measured
    /// last. Fails where no thread can be started.
    pub(crate) fn start(tenant: Tenant, held: Arc<Held>, gauge: Option<Gauge>) -> Result<Lease> {
        let (wish, wishes) = watch::channel(Wish::Renew(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let load = gauge.as_ref().map(Gauge::load);
        let renewing = Renewing { tenant, stopping: Arc::clone(&stopping), held, load };
        let failed = |error: std::io::Error| {
            let message = format!(
                "cannot start the thread that renews the worker's lease ({error}); end other processes"
            );
            Error::new(ErrorCode::Unavailable, message)
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (end, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("taskwright-lease".to_owned())
            .spawn(move || {
                runtime.block_on(renewing.run(wishes, gauge));
                // Nobody may be waiting.
                let _ = end.send(());
            })
            .map_err(failed)?;
        Ok(Lease { wish, stopping, ended })
    }

    /// Has a heartbeat sent now: what was given up is given back.
    pub(crate) fn renew_now(&self) {
        self.wish.send_modify(|wish| {
            if let Wish::Renew(number) = wish {
                *number += 1;
            }
        });
    }

    /// Tells with each heartbeat from now on that the worker takes no more jobs.
    pub(crate) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.renew_now();
    }

    /// Sends one last heartbeat and ends the thread.
    pub(crate) async fn farewell(mut self) {
        self.wish.send_replace(Wish::Farewell);
        // The thread ends by its own deadline; an error means that it has.
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.wish.send_if_modified(|wish| {
            let goes_on = matches!(wish, Wish::Renew(_));
            if goes_on {
                *wish = Wish::End;
            }
            goes_on
        });
    }
}

impl Renewing {
    async fn run(self, mut wishes: watch::Receiver<Wish>, gauge: Option<Gauge>) {
        let nudged = Arc::new(Notify::new());
        let Tenant { app, worker, .. } = &self.tenant;
        // Both end with the runtime, which is this thread's own.
        if let Some(gauge) = gauge {
            tokio::spawn(gauge.run());
        }
        tokio::spawn(listen(app.clone(), *worker, Arc::clone(&self.held), Arc::clone(&nudged)));
        let mut renewed_at = Instant::now();
        let mut backoff = Backoff::new(&self.tenant.app.shared.ids);
        loop {
            match *wishes.borrow_and_update() {
                Wish::Renew(_) => {}
                Wish::Farewell => {
                    // What it does not reach, the end of the lease does.
                    let _ = tokio::time::timeout(FAREWELL_DEADLINE, self.beat()).await;
                    return;
                }
                Wish::End => return,
            }
            let sent_at = Instant::now();
            let unanswered =
                || Error::new(ErrorCode::Unavailable, "the heartbeat was not answered in time");
            let beat = tokio::time::timeout(HEARTBEAT_DEADLINE, self.beat()).await;
            let pause = match beat.unwrap_or_else(|_| Err(unanswered())) {
                Ok(()) => {
                    renewed_at = sent_at;
                    backoff = Backoff::new(&self.tenant.app.shared.ids);
                    self.tenant.every.saturating_sub(sent_at.elapsed())
                }
                Err(error) => {
                    tracing::warn!(worker = %self.tenant.worker, %error, "cannot renew the lease");
                    backoff.pause(&error).min(self.tenant.every)
                }
            };
            if renewed_at.elapsed() + LEASE_MARGIN >= LEASE {
                self.held.lose_unfenced();
            }
            // Another wish ends the pause early; so does the end of the worker.
            tokio::select! {
                _ = wishes.changed() => {}
                () = nudged.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn beat(&self) -> Result<()> {
        let snapshot = self.held.snapshot();
        let heartbeat = Heartbeat {
            namespace: self.tenant.app.namespace().clone(),
            worker: self.tenant.worker,
            settled: snapshot.settled,
            held: snapshot.held,
            progress: snapshot.progress.clone(),
            info: WorkerInfo {
                name: Arc::clone(&self.tenant.name),
                slots: u32::try_from(self.tenant.slots).unwrap_or(u32::MAX),
                stopping: self.stopping.load(Ordering::Relaxed),
                load: self.load.as_ref().map(|load| *load.borrow()).unwrap_or_default(),
            },
        };
        match self.tenant.app.api().heartbeat(heartbeat).await {
            Ok(reply) => {
                let jobs = self.held.lose(&reply.lost);
                if jobs > 0 {
                    let worker = self.tenant.worker;
                    tracing::warn!(%worker, jobs, "jobs were lost: others may run them");
                }
                self.held.cancel(reply.cancel);
                Ok(())
            }
            Err(error) => {
                self.held.return_progress(snapshot.progress);
                Err(error)
            }
        }
    }
}
