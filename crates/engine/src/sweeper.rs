//! Does what is due, every second and at the instants when jobs come due.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskwright_core::limits::SWEEP_EVERY;
use taskwright_store::{Outcome, Report, Retry, Store, Swept};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::error::{Error, ErrorCode};
use crate::ids::IdSource;
use crate::schedules::Clerk;

/// Jobs that one sweep looks at; more follow at once.
const SWEEP_LIMIT: usize = 1_000;
/// The longest a sweep may take before it is tried anew.
const SWEEP_DEADLINE: Duration = Duration::from_secs(30);
/// The longest pause between sweeps that fail.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// In the long run, sweeps for jobs that come due are at least so far apart.
const GAP: Duration = Duration::from_millis(20);
/// Sweeps for jobs that come due may be ahead of their pace by so much.
const BURST: Duration = Duration::from_millis(80);
/// Only the store knows when a job is retried by its policy: how soon it is asked.
const RETRY_LOOK: Duration = Duration::from_millis(100);

/// When the next sweep is wanted.
#[derive(Debug, Default)]
pub(crate) struct Due {
    at: Mutex<Option<Instant>>,
    sooner: Notify,
}

impl Due {
    fn wanted(&self) -> MutexGuard<'_, Option<Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a sweep at `at`, or earlier.
    pub(crate) fn by(&self, at: Instant) {
        let mut wanted = self.wanted();
        if wanted.is_none_or(|wanted| at < wanted) {
            *wanted = Some(at);
            self.sooner.notify_one();
        }
    }

    fn at(&self) -> Option<Instant> {
        *self.wanted()
    }

    fn forget(&self) {
        *self.wanted() = None;
    }
}

/// After which time jobs come due again that wait as these reports say, if any do.
pub(crate) fn due_after(reports: &[Report]) -> Option<Duration> {
    let wait = |report: &Report| match report.outcome {
        Outcome::Snoozed { delay } | Outcome::Failed { retry: Retry::After(delay), .. } => {
            Some(delay)
        }
        Outcome::TimedOut | Outcome::Failed { retry: Retry::ByPolicy, .. } => Some(RETRY_LOOK),
        _ => None,
    };
    reports.iter().filter_map(wait).filter(|wait| !wait.is_zero()).min()
}

/// Keeps sweeps for due jobs from following each other too fast, however many jobs come due.
struct Pace {
    /// When the next sweep would be if all had kept to [`GAP`].
    next: Instant,
}

impl Pace {
    fn swept(&mut self, at: Instant) {
        self.next = self.next.max(at) + GAP;
    }

    fn free_at(&self) -> Instant {
        self.next.checked_sub(BURST).unwrap_or(self.next)
    }
}

/// Sweeps `store` every [`SWEEP_EVERY`], when a job comes due as far as the last sweep and `due`
/// know, and again at once while there is more to do, until `stop` turns true or the store is gone.
/// A sweep that fails is tried again, with back-off and jitter.
pub(crate) async fn sweep(
    store: Arc<dyn Store>,
    ids: Arc<IdSource>,
    due: Arc<Due>,
    clerk: Arc<Clerk>,
    mut stop: watch::Receiver<bool>,
) {
    let mut failures = 0;
    let mut pace = Pace { next: Instant::now() };
    loop {
        // What began to wait before this moment, the sweep sees.
        due.forget();
        let asked_at = Instant::now();
        let swept = tokio::time::timeout(SWEEP_DEADLINE, store.sweep(SWEEP_LIMIT)).await;
        let now = Instant::now();
        pace.swept(now);
        let next = match swept {
            Ok(Ok(swept)) => {
                failures = 0;
                // The store looks at its clock first; what it does after that may take long.
                for at in [swept.next_due, swept.wake_at].into_iter().flatten() {
                    if at > swept.now {
                        due.by(asked_at + at.since(swept.now));
                    }
                }
                match tick(&clerk, &swept).await {
                    Ok(()) if swept.more => now,
                    Ok(()) => now + SWEEP_EVERY,
                    Err(error) if is_over(error) => return,
                    Err(_) => now + SWEEP_EVERY,
                }
            }
            Ok(Err(error)) if is_over(Error::from(error.clone()).code) => return,
            Ok(Err(_)) | Err(_) => {
                failures += 1;
                now + pause_after(failures, ids.number().unwrap_or(0))
            }
        };
        let earliest = if failures == 0 { pace.free_at().min(next) } else { next };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = until(&due, earliest, next) => {}
        }
    }
}

/// Ticks schedules where some are due.
async fn tick(clerk: &Clerk, swept: &Swept) -> Result<(), ErrorCode> {
    if swept.wake_at.is_none_or(|at| at > swept.now) {
        return Ok(());
    }
    match tokio::time::timeout(SWEEP_DEADLINE, clerk.run(swept.now)).await {
        Ok(ticked) => ticked.map_err(|error| error.code),
        Err(_) => Err(ErrorCode::Busy),
    }
}

/// Waits until a sweep is wanted, between `earliest` and `latest`.
async fn until(due: &Due, earliest: Instant, latest: Instant) {
    loop {
        let at = due.at().map_or(latest, |at| at.clamp(earliest, latest));
        tokio::select! {
            () = sleep_until(at) => return,
            () = due.sooner.notified() => {}
        }
    }
}

fn is_over(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Stopped | ErrorCode::Closed | ErrorCode::Corrupt)
}

/// Between [`SWEEP_EVERY`] and twice as long for each failure, at most [`PAUSE_MAX`].
fn pause_after(failures: u32, chance: u64) -> Duration {
    let bound = SWEEP_EVERY.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    let spread = bound.min(PAUSE_MAX).saturating_sub(SWEEP_EVERY).as_micros();
    let jitter = u64::try_from(spread).map_or(0, |spread| chance % (spread + 1));
    SWEEP_EVERY + Duration::from_micros(jitter)
}

#[cfg(test)]
#[path = "tests/sweeper.rs"]
mod tests;
