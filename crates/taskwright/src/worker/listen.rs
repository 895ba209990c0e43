//! Hears that an attempt should stop, sooner than the next heartbeat would.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::WorkerId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::held::Held;
use crate::app::{CALL_DEADLINE, Taskwright};
use crate::retrying::Backoff;

/// How long one call waits.
const LISTEN_WAIT: Duration = Duration::from_secs(20);
/// The shortest time between two calls, and so between heartbeats that are sent for them.
const LISTEN_GAP: Duration = Duration::from_millis(250);

/// While the worker holds anything, waits to be told to send a heartbeat at once, and passes that on
/// to `nudged`. Where it cannot, as with an older server, the next heartbeat does the same later.
pub(super) async fn listen(
    app: Taskwright,
    worker: WorkerId,
    held: Arc<Held>,
    nudged: Arc<Notify>,
) {
    let mut backoff = Backoff::new(&app.shared.ids);
    loop {
        held.any().await;
        let next_at = Instant::now() + LISTEN_GAP;
        let call = app.api().listen(app.namespace(), worker, LISTEN_WAIT);
        match timeout(LISTEN_WAIT + CALL_DEADLINE, call).await {
            Ok(Ok(is_nudged)) => {
                backoff = Backoff::new(&app.shared.ids);
                if is_nudged {
                    nudged.notify_one();
                }
            }
            Ok(Err(error)) if error.code.is_retryable() => sleep(backoff.pause(&error)).await,
            Ok(Err(error)) => {
                tracing::debug!(%worker, %error, "cancels come with the next heartbeat");
                sleep(LISTEN_WAIT).await;
            }
            Err(_) => {}
        }
        sleep_until(next_at).await;
    }
}
