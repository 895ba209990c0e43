use taskwright_core::{JobId, Name, Timestamp, Token};
use taskwright_store::ClaimedJob;

use super::*;

struct Doing<F>(F);

impl<F: Fn(Context) -> Attempt + Send + Sync + 'static> Handler for Doing<F> {
    fn start(&self, _args: Json, context: Context) -> Attempt {
        (self.0)(context)
    }
}

fn context() -> Context {
    let job = ClaimedJob {
        id: JobId::from_u128(1),
        seq: 1,
        queue: Name::default_name(),
        task: Name::default_name(),
        args: Json::null(),
        token: Token { epoch: 1, attempt: 1, nonce: 1 },
        failures: 0,
        max_attempts: 20,
        timeout_ms: None,
        priority: 0,
        created_at: Timestamp::ZERO,
        run_at: Timestamp::ZERO,
        started_at: Timestamp::ZERO,
        checkpoint: None,
        extras: taskwright_core::Extras::default(),
    };
    Context::of(job, None).0
}

/// The outcome of what `doing` does, on a clock that jumps to what is waited for.
async fn run(
    context: Context,
    timeout: Option<Duration>,
    stop: watch::Receiver<Stop>,
    doing: impl Fn(Context) -> Attempt + Send + Sync + 'static,
) -> Outcome {
    let limits = Limits { timeout, grace: Duration::from_secs(5), stop };
    supervise(Arc::new(Doing(doing)), Json::null(), context, limits, ()).await.0
}

fn failing() -> Outcome {
    Outcome::Failed { error: JobError::new("error", "interrupted"), retry: Retry::ByPolicy }
}

fn kind(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { error, .. } => &error.kind,
        other => panic!("not a failure: {other:?}"),
    }
}

const DONE: Outcome = Outcome::Completed { result: None };
const SECOND: Duration = Duration::from_secs(1);

/// Work that ends so when it is told to stop.
fn when_told(outcome: Outcome) -> impl Fn(Context) -> Attempt + Send + Sync {
    move |context| {
        let outcome = outcome.clone();
        Attempt::future(async move {
            context.cancelled().await;
            outcome
        })
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_timeout_only_a_completion_counts() {
    let (_stop, stopped) = watch::channel(Stop::No);
    let told = |outcome| run(context(), Some(SECOND), stopped.clone(), when_told(outcome));
    assert_eq!(told(DONE).await, DONE);
    assert_eq!(told(failing()).await, Outcome::TimedOut);
    let deaf = |_| Attempt::future(std::future::pending());
    assert_eq!(run(context(), Some(SECOND), stopped.clone(), deaf).await, Outcome::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_a_failure_is_given_back_unspent() {
    let (stop, stopped) = watch::channel(Stop::No);
    let told = |outcome| {
        let context = context();
        context.stop(StopReason::Stopping);
        run(context, None, stopped.clone(), when_told(outcome))
    };
    assert_eq!(told(DONE).await, DONE);
    assert_eq!(told(failing()).await, Outcome::Released);
    stop.send_replace(Stop::Now);
    let deaf = |_| Attempt::future(std::future::pending());
    assert_eq!(run(context(), None, stopped.clone(), deaf).await, Outcome::Released);
}

#[tokio::test(start_paused = true)]
async fn after_a_cancel_the_outcome_counts_or_the_reason() {
    let (_stop, stopped) = watch::channel(Stop::No);
    let cancelled = || {
        let context = context();
        context.stop(StopReason::Cancelled("unwanted".into()));
        context
    };
    let failed = run(cancelled(), None, stopped.clone(), when_told(failing())).await;
    assert_eq!(failed, failing());
    let deaf = |_| Attempt::future(std::future::pending());
    let given_up = run(cancelled(), None, stopped.clone(), deaf).await;
    assert_eq!(given_up, Outcome::Cancelled { reason: "unwanted".into() });
}

#[tokio::test]
async fn panics_are_failures_wherever_they_happen() {
    let (_stop, stopped) = watch::channel(Stop::No);
    let starting = run(context(), None, stopped.clone(), |_| panic!("at the start")).await;
    assert_eq!(kind(&starting), "panic");
    let polling = |_| Attempt::future(async { panic!("while polling") });
    assert_eq!(kind(&run(context(), None, stopped.clone(), polling).await), "panic");
    let blocking = |_| Attempt::blocking(|| panic!("on a thread"));
    assert_eq!(kind(&run(context(), None, stopped.clone(), blocking).await), "panic");
    let odd = |_| Attempt::blocking(|| std::panic::panic_any(7));
    assert_eq!(kind(&run(context(), None, stopped, odd).await), "panic");
}

#[tokio::test]
async fn an_outcome_that_no_store_takes_is_a_final_failure() {
    let (_stop, stopped) = watch::channel(Stop::No);
    let checkpoint = |_| Attempt::ended(Outcome::Checkpoint { value: Json::null() });
    let outcome = run(context(), None, stopped, checkpoint).await;
    assert!(matches!(outcome, Outcome::Failed { retry: Retry::Never, .. }));
}
