//! Reports on their way to the store.

use std::collections::VecDeque;
use std::time::Duration;

use taskwright_core::limits::{BATCH_BYTES_MAX, BATCH_MAX};
use taskwright_core::{JobError, Name};
use taskwright_engine::{Error, ErrorCode};
use taskwright_store::{Outcome, Report, Reported, Retry};
use tokio::sync::oneshot;

use super::held::Key;
use super::{Completion, Hook};

/// What follows when a report is answered.
pub(crate) enum Then {
    /// The attempt is over.
    End { task: Name, queue: Name, duration: Duration },
    /// A task that waits for its checkpoint is told.
    Saved(oneshot::Sender<Result<(), Error>>),
}

/// Reports that wait to be sent.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<(Report, Then)>,
    /// How many of the next ones are sent one by one, to find the one that is refused.
    singly: usize,
}

/// Reports under way together.
pub(crate) struct Batch {
    pub(crate) reports: Vec<Report>,
    thens: Vec<Then>,
}

impl Outbox {
    pub(crate) fn push(&mut self, report: Report, then: Then) {
        self.waiting.push_back((report, then));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the next report is sent alone, because it may be refused.
    pub(crate) fn is_careful(&self) -> bool {
        self.singly > 0
    }

    /// The next reports, as many as one call may carry.
    pub(crate) fn next_batch(&mut self) -> Batch {
        let max = if self.singly > 0 { 1 } else { BATCH_MAX };
        self.singly = self.singly.saturating_sub(1);
        let mut batch = Batch { reports: Vec::new(), thens: Vec::new() };
        let mut bytes = 0;
        while let Some((report, then)) = self.waiting.pop_front() {
            bytes += weight(&report.outcome);
            let is_full = batch.reports.len() == max || bytes > BATCH_BYTES_MAX;
            if is_full && !batch.reports.is_empty() {
                self.waiting.push_front((report, then));
                break;
            }
            batch.reports.push(report);
            batch.thens.push(then);
        }
        batch
    }

    /// Takes back a batch that was refused as a whole because of one report: they are sent one by
    /// one, and a report that is refused alone becomes the failure of its attempt. What is refused
    /// even then comes back.
    pub(crate) fn take_back(&mut self, batch: Batch, error: &Error) -> Option<Batch> {
        if let [report] = batch.reports.as_slice() {
            let is_last_resort =
                matches!(&report.outcome, Outcome::Failed { error, .. } if &*error.kind == REFUSED);
            if is_last_resort || matches!(batch.thens.as_slice(), [Then::Saved(_)]) {
                return Some(batch);
            }
        }
        let is_single = batch.reports.len() == 1;
        self.singly += batch.reports.len();
        for (mut report, then) in batch.reports.into_iter().zip(batch.thens).rev() {
            if is_single {
                let message = format!("the report of this attempt was refused: {error}");
                let error = JobError::new(REFUSED, &message);
                report.outcome = Outcome::Failed { error, retry: Retry::Never };
            }
            self.waiting.push_front((report, then));
        }
        None
    }
}

/// The kind of error of an attempt whose report no store takes.
const REFUSED: &str = "report_refused";

fn weight(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Completed { result: Some(json) } | Outcome::Checkpoint { value: json } => {
            json.len()
        }
        Outcome::Failed { error, .. } => error.message.len(),
        _ => 0,
    }
}

impl Batch {
    /// The attempts that are over once this batch is answered.
    pub(crate) fn over(&self) -> impl Iterator<Item = Key> {
        let all = self.reports.iter().zip(&self.thens);
        all.filter(|(_, then)| matches!(then, Then::End { .. }))
            .map(|(report, _)| (report.id, report.token))
    }

    /// Tells everybody what became of their reports; without answers, that they could not be
    /// delivered.
    pub(crate) fn answered(self, answers: Result<Vec<Reported>, Error>, hooks: &[Hook]) {
        let (answers, error) = match answers {
            Ok(answers) => (answers, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let answers = answers.into_iter().map(Some).chain(std::iter::repeat(None));
        for ((report, then), reported) in self.reports.into_iter().zip(self.thens).zip(answers) {
            match then {
                Then::End { task, queue, duration } => {
                    if !matches!(reported, Some(Reported::Applied { .. } | Reported::Already)) {
                        tracing::warn!(job = %report.id, %task, ?reported, "the outcome of an attempt did not count");
                    }
                    if hooks.is_empty() {
                        continue;
                    }
                    let completion = Completion {
                        id: report.id,
                        task,
                        queue,
                        attempt: report.token.attempt,
                        outcome: report.outcome,
                        reported,
                        duration,
                    };
                    call(hooks, &completion);
                }
                Then::Saved(saved) => {
                    // The task may have ended meanwhile.
                    let _ = saved.send(save_answer(&report, reported, error.as_ref()));
                }
            }
        }
    }
}

fn save_answer(
    report: &Report,
    reported: Option<Reported>,
    error: Option<&Error>,
) -> Result<(), Error> {
    match (reported, error) {
        (Some(Reported::Applied { .. } | Reported::Already), _) => Ok(()),
        (None, Some(error)) => Err(error.clone()),
        (Some(Reported::Stale | Reported::Unknown) | None, _) => {
            let message = format!(
                "cannot save a checkpoint of job {}: the attempt is no longer this worker's; end it",
                report.id
            );
            Err(Error::new(ErrorCode::Conflict, message))
        }
    }
}

fn call(hooks: &[Hook], completion: &Completion) {
    for hook in hooks {
        let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(completion)));
        if called.is_err() {
            tracing::error!(job = %completion.id, "a hook of on_complete panicked");
        }
    }
}

#[cfg(test)]
#[path = "../tests/reports.rs"]
mod tests;
