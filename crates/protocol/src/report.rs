//! A worker says how attempts went.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use taskwright_core::{JobError, JobId, Name, StateName, Token};
use taskwright_engine::Result;
use taskwright_store::{Outcome, Report, Reported, Retry};

use crate::read::{At, Names, Object, Parsed, Payload, Text, invalid, name_or_default, read};
use crate::write;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportRequest<'a> {
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    reports: Vec<Object<ReportFields<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportFields<'a> {
    id: Parsed<JobId>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    token: Parsed<Token>,
    outcome: OutcomeWord,
    #[serde(borrow)]
    result: Option<Payload<'a>>,
    error: Option<Object<ErrorFields<'a>>>,
    retry: Option<RetryWord>,
    retry_after_ms: Option<u64>,
    delay_ms: Option<u64>,
    reason: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Payload<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeWord {
    Completed,
    Failed,
    TimedOut,
    Snoozed,
    Released,
    Cancelled,
    Checkpoint,
}

/// What should follow a failure that names no time.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RetryWord {
    ByPolicy,
    Never,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorFields<'a> {
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    message: Text<'a>,
}

impl ErrorFields<'_> {
    pub(crate) fn to_error(&self) -> JobError {
        JobError::new(self.kind.as_ref().map_or("error", |kind| &kind.0), &self.message.0)
    }
}

pub(crate) fn decode(body: &[u8]) -> Result<Vec<Report>> {
    let request: ReportRequest<'_> = read("report request", body)?;
    let namespace = name_or_default("namespace", request.namespace.as_ref())?;
    reports(request.reports, &namespace)
}

pub(crate) fn reports(
    items: Vec<Object<ReportFields<'_>>>,
    namespace: &Name,
) -> Result<Vec<Report>> {
    let mut names = Names::default();
    let reports = items.into_iter().enumerate().map(|(item, Object(fields))| {
        let at = At { list: "reports", item };
        Ok(Report {
            namespace: match &fields.namespace {
                Some(text) => {
                    names.name(&text.0).map_err(|cause| at.invalid("namespace", cause))?
                }
                None => namespace.clone(),
            },
            id: fields.id.0,
            token: fields.token.0,
            outcome: fields.outcome(at)?,
        })
    });
    reports.collect()
}

impl ReportFields<'_> {
    fn outcome(&self, at: At) -> Result<Outcome> {
        self.refuse_misplaced(at)?;
        Ok(match self.outcome {
            OutcomeWord::Completed => {
                let result = self.result.as_ref().map(|result| result.checked("result"));
                let result = result.transpose().map_err(|cause| at.over("result", &cause))?;
                Outcome::Completed { result }
            }
            OutcomeWord::Failed => {
                let Some(Object(error)) = &self.error else {
                    return Err(
                        at.invalid("error", "an attempt that failed needs {\"message\": …}")
                    );
                };
                Outcome::Failed { error: error.to_error(), retry: self.retry(at)? }
            }
            OutcomeWord::TimedOut => Outcome::TimedOut,
            OutcomeWord::Snoozed => {
                let Some(delay_ms) = self.delay_ms else {
                    return Err(at.invalid("delay_ms", "a snoozed attempt says for how long"));
                };
                Outcome::Snoozed { delay: Duration::from_millis(delay_ms) }
            }
            OutcomeWord::Released => Outcome::Released,
            OutcomeWord::Cancelled => {
                let reason = self.reason.as_ref().map_or("", |reason| &reason.0);
                Outcome::Cancelled { reason: Arc::from(reason) }
            }
            OutcomeWord::Checkpoint => {
                let Some(value) = &self.value else {
                    return Err(at.invalid("value", "a checkpoint needs a value"));
                };
                let value = value.checked("value").map_err(|cause| at.over("value", &cause))?;
                Outcome::Checkpoint { value }
            }
        })
    }

    fn retry(&self, at: At) -> Result<Retry> {
        match (self.retry, self.retry_after_ms) {
            (None | Some(RetryWord::ByPolicy), None) => Ok(Retry::ByPolicy),
            (Some(RetryWord::Never), None) => Ok(Retry::Never),
            (None, Some(after_ms)) => Ok(Retry::After(Duration::from_millis(after_ms))),
            (Some(_), Some(_)) => {
                Err(at.invalid("retry_after_ms", "retry is given as well; give one of them"))
            }
        }
    }

    /// A field that belongs to another outcome is a mistake of the caller, not noise.
    fn refuse_misplaced(&self, at: At) -> Result<()> {
        use OutcomeWord::{Cancelled, Checkpoint, Completed, Failed, Snoozed};
        let fields = [
            ("result", self.result.is_some(), Completed),
            ("error", self.error.is_some(), Failed),
            ("retry", self.retry.is_some(), Failed),
            ("retry_after_ms", self.retry_after_ms.is_some(), Failed),
            ("delay_ms", self.delay_ms.is_some(), Snoozed),
            ("reason", self.reason.is_some(), Cancelled),
            ("value", self.value.is_some(), Checkpoint),
        ];
        let misplaced =
            fields.into_iter().find(|&(_, given, outcome)| given && outcome != self.outcome);
        match misplaced {
            None => Ok(()),
            Some((field, _, outcome)) => {
                let cause = format!("it goes only with outcome {:?}", outcome.as_str());
                Err(at.invalid(field, cause))
            }
        }
    }
}

impl OutcomeWord {
    const fn as_str(self) -> &'static str {
        match self {
            OutcomeWord::Completed => "completed",
            OutcomeWord::Failed => "failed",
            OutcomeWord::TimedOut => "timed_out",
            OutcomeWord::Snoozed => "snoozed",
            OutcomeWord::Released => "released",
            OutcomeWord::Cancelled => "cancelled",
            OutcomeWord::Checkpoint => "checkpoint",
        }
    }
}

pub(crate) fn encode(reports: &[Report]) -> Vec<u8> {
    write::object(request_size(reports), |object| write_reports(reports, "default", object))
}

/// About how many bytes the reports take.
pub(crate) fn request_size(reports: &[Report]) -> usize {
    let payload = |report: &Report| match &report.outcome {
        Outcome::Completed { result } => result.as_ref().map_or(0, |result| result.len()),
        Outcome::Failed { error, .. } => error.message.len(),
        Outcome::Checkpoint { value } => value.len(),
        _ => 0,
    };
    reports.iter().map(payload).sum::<usize>() + 128 * reports.len() + 64
}

/// Writes the reports; the namespace is written where it is not that of the request.
pub(crate) fn write_reports(reports: &[Report], namespace: &str, object: &mut write::Object<'_>) {
    object.list("reports", reports, |report, object| {
        object.id("id", report.id);
        if report.namespace.as_str() != namespace {
            object.name("namespace", &report.namespace);
        }
        object.token("token", report.token);
        write_outcome(&report.outcome, object);
    });
}

fn write_outcome(outcome: &Outcome, object: &mut write::Object<'_>) {
    let mut word = |word: OutcomeWord| object.word("outcome", word.as_str());
    match outcome {
        Outcome::Completed { result } => {
            word(OutcomeWord::Completed);
            if let Some(result) = result {
                object.json("result", result);
            }
        }
        Outcome::Failed { error, retry } => {
            word(OutcomeWord::Failed);
            write_error("error", error, object);
            match retry {
                Retry::ByPolicy => {}
                Retry::After(wait) => object.millis("retry_after_ms", *wait),
                Retry::Never => object.word("retry", "never"),
            }
        }
        Outcome::TimedOut => word(OutcomeWord::TimedOut),
        Outcome::Snoozed { delay } => {
            word(OutcomeWord::Snoozed);
            object.millis("delay_ms", *delay);
        }
        Outcome::Released => word(OutcomeWord::Released),
        Outcome::Cancelled { reason } => {
            word(OutcomeWord::Cancelled);
            object.text("reason", reason);
        }
        Outcome::Checkpoint { value } => {
            word(OutcomeWord::Checkpoint);
            object.json("value", value);
        }
    }
}

pub(crate) fn write_error(key: &str, error: &JobError, object: &mut write::Object<'_>) {
    object.object(key, |fields| {
        fields.text("kind", &error.kind);
        fields.text("message", &error.message);
    });
}

pub(crate) fn encode_reply(reported: &[Reported]) -> Vec<u8> {
    write::object(reply_size(reported), |object| write_reported(reported, object))
}

/// About how many bytes the answers take.
pub(crate) fn reply_size(reported: &[Reported]) -> usize {
    48 * reported.len() + 16
}

pub(crate) fn write_reported(reported: &[Reported], object: &mut write::Object<'_>) {
    object.list("reports", reported, |reported, object| match reported {
        Reported::Applied { state } => {
            object.word("status", "applied");
            object.word("state", state.as_str());
        }
        Reported::Already => object.word("status", "already"),
        Reported::Stale => object.word("status", "stale"),
        Reported::Unknown => object.word("status", "unknown"),
    });
}

#[derive(Deserialize)]
struct ReportReply {
    reports: Vec<Object<ReportedFields>>,
}

#[derive(Deserialize)]
pub(crate) struct ReportedFields {
    status: StatusWord,
    state: Option<Parsed<StateName>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusWord {
    Applied,
    Already,
    Stale,
    Unknown,
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<Vec<Reported>> {
    let reply: ReportReply = read("report reply", body)?;
    reported(reply.reports)
}

pub(crate) fn reported(items: Vec<Object<ReportedFields>>) -> Result<Vec<Reported>> {
    let reported = items.into_iter().map(|Object(fields)| match fields.status {
        StatusWord::Applied => match fields.state {
            Some(state) => Ok(Reported::Applied { state: state.0 }),
            None => Err(invalid("state", "the reply to a report lacks it")),
        },
        StatusWord::Already => Ok(Reported::Already),
        StatusWord::Stale => Ok(Reported::Stale),
        StatusWord::Unknown => Ok(Reported::Unknown),
    });
    reported.collect()
}
