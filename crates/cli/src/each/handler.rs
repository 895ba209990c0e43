//! Runs the command for one input.

use std::sync::Arc;
use std::time::Duration;

use taskwright::{Attempt, Context, Handler};
use taskwright_core::limits::PAYLOAD_BYTES_MAX;
use taskwright_core::{JobError, Json, RetryPolicy, retry};
use taskwright_store::{Outcome, Retry};
use tokio::sync::Notify;

use super::console::Console;
use super::cost::Costs;
use super::input::{Output, input_of, shown};
use crate::matrix::Cost;
use crate::subprocess::{self, Meaning, Slots, Template};

/// When an input runs again whose command exited with 75.
const SNOOZE: Duration = Duration::from_secs(60);

/// Failed inputs run again after a random time of up to 0.5 s, 1 s, 2 s …, at most 30 s. This is not
/// written into each job: a million jobs would grow by it.
const RETRY: RetryPolicy = RetryPolicy::Exponential { base_ms: 500, max_ms: 30_000 };

/// Runs the command for one input after the other.
#[derive(Clone)]
pub struct Runner {
    /// The command.
    pub template: Arc<Template>,
    /// Where it runs.
    pub slots: Slots,
    /// What it costs.
    pub costs: Costs,
    /// Where what it says is shown.
    pub console: Console,
    /// Told when an input has failed for good.
    pub failed: Arc<Notify>,
}

impl Handler for Runner {
    fn start(&self, args: Json, context: Context) -> Attempt {
        match input_of(&args) {
            Ok(input) => {
                let runner = self.clone();
                Attempt::future(async move { runner.run(input, &context).await })
            }
            Err(error) => Attempt::undecodable(&format!("the job holds no input: {error}")),
        }
    }

    fn stops_with_lease(&self) -> bool {
        true
    }
}

impl Runner {
    async fn run(&self, input: Vec<u8>, context: &Context) -> Outcome {
        let mut slot = self.slots.take();
        let worker = slot.number();
        let words = self.template.filled(&input);
        let ran = subprocess::run(words, None, context, &mut slot).await;
        slot.free();

        let waiting = context.started_at().since(context.run_at());
        self.costs.add(context.job_id(), &shown(&input), worker, Cost::of(waiting, ran.lasted));
        match subprocess::meaning(&ran, PAYLOAD_BYTES_MAX) {
            Meaning::Completed => {
                let (waiting, running) = (millis(waiting), millis(ran.lasted));
                match Output::new(ran.stdout, worker + 1, waiting, running).to_json() {
                    Some(result) => {
                        if !ran.stderr.is_empty() {
                            self.console.pass_on(&ran.stderr);
                        }
                        Outcome::Completed { result: Some(result) }
                    }
                    None => {
                        self.failed(subprocess::too_much_output(PAYLOAD_BYTES_MAX), true, context)
                    }
                }
            }
            Meaning::Failed { error, is_final } => self.failed(error, is_final, context),
            Meaning::Snoozed => Outcome::Snoozed { delay: SNOOZE },
            Meaning::Stopped => {
                let outcome = subprocess::stopped(context);
                if outcome == Outcome::TimedOut {
                    self.count_failure(false, context);
                }
                outcome
            }
        }
    }

    fn failed(&self, error: JobError, is_final: bool, context: &Context) -> Outcome {
        self.count_failure(is_final, context);
        let retry = if is_final {
            Retry::Never
        } else {
            let chance = retry::seed(context.job_id(), context.attempt());
            Retry::After(RETRY.delay(context.failures() + 1, chance))
        };
        Outcome::Failed { error, retry }
    }

    fn count_failure(&self, is_final: bool, context: &Context) {
        if is_final || context.failures() + 1 >= context.max_attempts() {
            self.failed.notify_one();
        } else {
            self.costs.count_retry();
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
