//! One attempt: runs the handler's work until it ends or must be ended.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use taskwright_core::limits::PAYLOAD_BYTES_MAX;
use taskwright_core::{JobError, Json};
use taskwright_store::{Outcome, Retry};
use tokio::sync::watch;

use super::Stop;
use crate::context::{Context, StopReason};
use crate::handler::{Attempt, Handler, Work};

/// How long an attempt may run and how it is ended.
pub(crate) struct Limits {
    /// The longest it may run before it is told to stop.
    pub(crate) timeout: Option<Duration>,
    /// How long it may go on after it was told.
    pub(crate) grace: Duration,
    /// Turns to [`Stop::Now`] when everything must end.
    pub(crate) stop: watch::Receiver<Stop>,
}

/// Runs one attempt to its outcome. The `slot` comes back with it, unless the work could not be
/// ended: then it stays with the thread, and is dropped when that ends.
pub(crate) async fn supervise<S: Send + 'static>(
    handler: Arc<dyn Handler>,
    args: Json,
    context: Context,
    limits: Limits,
    slot: S,
) -> (Outcome, Option<S>) {
    let started = catch_unwind(AssertUnwindSafe(|| handler.start(args, context.clone())));
    let (outcome, slot) = match started {
        Err(panic) => (panicked(panic.as_ref()), Some(slot)),
        Ok(Attempt(Work::Async(future))) => {
            (until_ended(CatchPanic(future), &context, limits).await, Some(slot))
        }
        Ok(Attempt(Work::Blocking(work))) => {
            let thread = tokio::task::spawn_blocking(move || {
                let outcome = catch_unwind(AssertUnwindSafe(work));
                (outcome.unwrap_or_else(|panic| panicked(panic.as_ref())), slot)
            });
            let mut back = None;
            let work = Box::pin(async {
                match thread.await {
                    Ok((outcome, slot)) => {
                        back = Some(slot);
                        outcome
                    }
                    // The runtime went down before the thread began: as if it had not been tried.
                    Err(_) => Outcome::Released,
                }
            });
            let outcome = until_ended(work, &context, limits).await;
            (outcome, back)
        }
    };
    (reportable(outcome), slot)
}

/// Follows the work until it ends by itself, or is dropped: after its timeout or a cancel it is told
/// first and has the grace to end.
async fn until_ended(
    mut work: impl Future<Output = Outcome> + Unpin,
    context: &Context,
    mut limits: Limits,
) -> Outcome {
    let timeout = limits.timeout;
    let timed_out = async move {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        outcome = &mut work => return ended(outcome, context.stop_reason()),
        () = timed_out => {
            context.stop(StopReason::TimedOut);
        }
        _ = context.cancelled() => {}
        () = is_now(&mut limits.stop) => {
            context.stop(StopReason::Stopping);
        }
    }
    let reason = context.stop_reason().cloned().unwrap_or(StopReason::Stopping);
    let grace = limits.grace;
    let grace_over = async {
        match reason {
            // How long, the worker's own phases say.
            StopReason::Stopping => std::future::pending().await,
            _ => tokio::time::sleep(grace).await,
        }
    };
    tokio::select! {
        biased;
        outcome = &mut work => ended(outcome, Some(&reason)),
        () = grace_over => given_up(&reason),
        () = is_now(&mut limits.stop) => given_up(&reason),
    }
}

async fn is_now(stop: &mut watch::Receiver<Stop>) {
    // Without a worker nothing more can be asked for, so everything must end.
    let _ = stop.wait_for(|stop| *stop == Stop::Now).await;
}

/// What the outcome of an attempt means that ended by itself, perhaps because it was told to stop.
fn ended(outcome: Outcome, told: Option<&StopReason>) -> Outcome {
    match (outcome, told) {
        (Outcome::Failed { .. }, Some(StopReason::TimedOut)) => Outcome::TimedOut,
        // It failed because it was interrupted, for no fault of its own.
        (Outcome::Failed { .. }, Some(StopReason::Stopping)) => Outcome::Released,
        (outcome, _) => outcome,
    }
}

/// The outcome of an attempt that did not end when it was told to.
fn given_up(reason: &StopReason) -> Outcome {
    match reason {
        StopReason::Cancelled(reason) => Outcome::Cancelled { reason: Arc::clone(reason) },
        StopReason::TimedOut => Outcome::TimedOut,
        StopReason::Lost | StopReason::Stopping => Outcome::Released,
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Outcome {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (_, Some(message)) => message.as_str(),
        _ => "the task panicked with a value that is no text",
    };
    Outcome::Failed { error: JobError::new("panic", message), retry: Retry::ByPolicy }
}

/// Replaces an outcome that no store would take by the failure that it is.
fn reportable(outcome: Outcome) -> Outcome {
    let fault = match &outcome {
        Outcome::Completed { result: Some(result) } if result.len() > PAYLOAD_BYTES_MAX => format!(
            "the result is {} bytes, and at most {PAYLOAD_BYTES_MAX} are allowed; keep large data elsewhere and return where it is",
            result.len()
        ),
        Outcome::Checkpoint { .. } => {
            "the handler ended with a checkpoint; save it with Context::checkpoint".to_owned()
        }
        _ => return outcome,
    };
    Outcome::Failed { error: JobError::new("error", &fault), retry: Retry::Never }
}

/// Turns a panic while polling into an outcome.
struct CatchPanic(Pin<Box<dyn Future<Output = Outcome> + Send>>);

impl Future for CatchPanic {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Outcome> {
        let future = self.0.as_mut();
        catch_unwind(AssertUnwindSafe(|| future.poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(panicked(panic.as_ref())))
    }
}

#[cfg(test)]
#[path = "../tests/attempt.rs"]
mod tests;
