//! Does what is due, every second.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::SWEEP_EVERY;
use taskwright_store::{ErrorKind, Store};
use tokio::sync::watch;

use crate::ids::IdSource;

/// Jobs that one sweep looks at; more follow at once.
const SWEEP_LIMIT: usize = 1_000;
/// The longest a sweep may take before it is tried anew.
const SWEEP_DEADLINE: Duration = Duration::from_secs(30);
/// The longest pause between sweeps that fail.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Sweeps `store` every [`SWEEP_EVERY`], and again at once while there is more to do, until `stop`
/// turns true or the store is gone. A sweep that fails is tried again, with back-off and jitter.
pub(crate) async fn sweep(
    store: Arc<dyn Store>,
    ids: Arc<IdSource>,
    mut stop: watch::Receiver<bool>,
) {
    let mut failures = 0;
    loop {
        let swept = tokio::time::timeout(SWEEP_DEADLINE, store.sweep(SWEEP_LIMIT)).await;
        let pause = match swept {
            Ok(Ok(swept)) => {
                failures = 0;
                if swept.more { Duration::ZERO } else { SWEEP_EVERY }
            }
            Ok(Err(error)) if is_over(error.kind) => return,
            Ok(Err(_)) | Err(_) => {
                failures += 1;
                pause_after(failures, ids.number().unwrap_or(0))
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn is_over(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Stopped | ErrorKind::Closed | ErrorKind::Corrupt)
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
