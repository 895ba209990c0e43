//! What `--json` prints. Field names are those of the HTTP API.

mod limit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use taskwright::{CostCell, CostSums, Costs, TaskCosts, Times, WorkerCosts};
use taskwright_core::{
    AttemptRecord, Job, JobError, Json, Load, LoadMeasure, Name, Place, Requirement, Resources,
    State, Until,
};
use taskwright_store::{NodeView, QueueCounts, WorkerView};

pub use self::limit::LimitLine;

/// One line of JSON.
pub fn line(value: &impl Serialize) -> String {
    // Only maps with odd keys cannot be written, and there are none.
    serde_json::to_string(value).unwrap_or_default()
}

/// A job, with what is known of it.
#[derive(Serialize)]
pub struct JobLine<'a> {
    namespace: &'a str,
    id: String,
    seq: u64,
    task: &'a str,
    queue: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    attempt: u32,
    failures: u32,
    max_attempts: u32,
    losses: u32,
    priority: i8,
    run_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    limit_keys: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    requires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    takes: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_total: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_until: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_for_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptLine<'a>>,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    kind: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    attempt: u32,
    worker: String,
    started_at: String,
    ended_at: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine<'a>>,
}

impl<'a> From<&'a Job> for JobLine<'a> {
    fn from(job: &'a Job) -> Self {
        let life = &job.life;
        let unique = job.extras.unique.as_ref();
        JobLine {
            namespace: job.namespace.as_str(),
            id: job.id.to_string(),
            seq: job.seq,
            task: job.task.as_str(),
            queue: job.queue.as_str(),
            state: life.state.name().as_str(),
            place: match life.state {
                State::Available(Place::Ready(_)) => Some("ready"),
                State::Available(Place::Until(_)) => Some("until"),
                State::Available(Place::Line(_)) => Some("line"),
                State::Available(Place::Intake) => Some("intake"),
                _ => None,
            },
            token: life.token().map(|token| token.to_string()),
            cause: match life.state {
                State::Dead(cause) => Some(cause.as_str()),
                _ => None,
            },
            attempt: life.attempt,
            failures: life.failures,
            max_attempts: life.max_attempts,
            losses: life.losses,
            priority: job.priority,
            run_at: job.run_at.to_string(),
            timeout_ms: job.timeout_ms,
            created_at: job.created_at.to_string(),
            started_at: job.started_at.map(|instant| instant.to_string()),
            finished_at: job.finished_at.map(|instant| instant.to_string()),
            worker: job.worker.map(|worker| worker.to_string()),
            cancel_requested: life.cancel_requested,
            cancel_reason: job.cancel_reason.as_deref(),
            error: job.error.as_ref().map(ErrorLine::from),
            progress: raw(job.progress.as_ref()),
            checkpoint: raw(job.checkpoint.as_ref()),
            args: raw(job.args.as_ref()),
            result: raw(job.result.as_ref()),
            expires_at: job.extras.expires_at.map(|instant| instant.to_string()),
            tags: &job.extras.tags,
            group: job.extras.group.as_deref(),
            limit_keys: &job.extras.limit_keys,
            requires: required(&job.extras.requires),
            cost: Some(job.extras.cost).filter(|cost| *cost > 1),
            takes: amounts(&job.extras.requires.taken()),
            shard_index: job.extras.shard.map(|shard| shard.index),
            shard_total: job.extras.shard.map(|shard| shard.total),
            unique_key: unique.map(|unique| &*unique.key),
            unique_until: match unique.map(|unique| unique.until) {
                Some(Until::Claimed) => Some("claimed"),
                Some(Until::Finished) => Some("finished"),
                Some(Until::Elapsed { .. }) | None => None,
            },
            unique_for_ms: match unique.map(|unique| unique.until) {
                Some(Until::Elapsed { ms }) => Some(ms),
                _ => None,
            },
            attempts: job.attempts.iter().map(AttemptLine::from).collect(),
        }
    }
}

impl<'a> From<&'a JobError> for ErrorLine<'a> {
    fn from(error: &'a JobError) -> Self {
        ErrorLine { kind: &error.kind, message: &error.message }
    }
}

impl<'a> From<&'a AttemptRecord> for AttemptLine<'a> {
    fn from(attempt: &'a AttemptRecord) -> Self {
        AttemptLine {
            attempt: attempt.attempt,
            worker: attempt.worker.to_string(),
            started_at: attempt.started_at.to_string(),
            ended_at: attempt.ended_at.to_string(),
            verdict: attempt.verdict.as_str(),
            error: attempt.error.as_ref().map(ErrorLine::from),
        }
    }
}

/// What is required, where anything is.
pub fn required(requires: &Requirement) -> Option<String> {
    (!requires.is_none()).then(|| requires.to_string())
}

/// Amounts of resources by name.
pub fn amounts(resources: &Resources) -> BTreeMap<String, u64> {
    resources.iter().map(|(name, amount)| (name.to_string(), amount)).collect()
}

/// JSON that is carried along unread, in one line.
pub fn raw(json: Option<&Json>) -> Option<Box<RawValue>> {
    // In JSON a line can end between tokens only, never inside a string.
    let line = json?.as_str().replace(['\n', '\r'], " ");
    RawValue::from_string(line).ok()
}

/// A queue and the numbers of its jobs.
#[derive(Serialize)]
pub struct QueueLine<'a> {
    queue: &'a str,
    paused: bool,
    size: u64,
    ready: u64,
    scheduled: u64,
    in_line: u64,
    blocked: u64,
    running: u64,
    completed: u64,
    dead: u64,
    cancelled: u64,
    expired: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_ready_at: Option<String>,
}

impl<'a> From<&'a QueueCounts> for QueueLine<'a> {
    fn from(counts: &'a QueueCounts) -> Self {
        QueueLine {
            queue: counts.queue.as_str(),
            paused: counts.paused,
            size: counts.live(),
            ready: counts.ready,
            scheduled: counts.scheduled,
            in_line: counts.in_line,
            blocked: counts.blocked,
            running: counts.running,
            completed: counts.completed,
            dead: counts.dead,
            cancelled: counts.cancelled,
            expired: counts.expired,
            oldest_ready_at: counts.oldest_ready_at.map(|instant| instant.to_string()),
        }
    }
}

/// A worker.
#[derive(Serialize)]
pub struct WorkerLine<'a> {
    id: String,
    name: &'a str,
    slots: u32,
    stopping: bool,
    load: LoadLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    queues: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    resources: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    resources_taken: BTreeMap<String, u64>,
    first_seen_at: String,
    last_seen_at: String,
    running: usize,
}

impl<'a> From<&'a WorkerView> for WorkerLine<'a> {
    fn from(worker: &'a WorkerView) -> Self {
        let profile = worker.profile.as_deref();
        let texts = |names: &'a [Name]| names.iter().map(Name::as_str).collect();
        WorkerLine {
            id: worker.id.to_string(),
            name: &worker.info.name,
            slots: worker.info.slots,
            stopping: worker.info.stopping,
            load: worker.info.load.into(),
            queues: profile.map(|profile| texts(&profile.queues)),
            tasks: profile.and_then(|profile| profile.tasks.as_deref()).map(texts),
            labels: profile
                .map(|profile| profile.labels.without_resources().texts())
                .unwrap_or_default(),
            resources: profile
                .map(|profile| amounts(&profile.labels.capacities()))
                .unwrap_or_default(),
            resources_taken: amounts(&worker.resources_taken),
            first_seen_at: worker.first_seen_at.to_string(),
            last_seen_at: worker.last_seen_at.to_string(),
            running: worker.running,
        }
    }
}

/// How loaded a worker is.
#[derive(Serialize)]
pub struct LoadLine {
    #[serde(flatten)]
    measured: MeasureLine,
    max: MeasureLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<u32>,
}

#[derive(Serialize)]
struct MeasureLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ms: Option<f64>,
}

impl From<Load> for LoadLine {
    fn from(load: Load) -> Self {
        let measure = |measure: LoadMeasure| MeasureLine {
            cpu_percent: measure.cpu_percent,
            memory_percent: measure.memory_percent,
            lag_ms: measure.lag.map(|lag| lag.as_secs_f64() * 1e3),
        };
        LoadLine { measured: measure(load.measured), max: measure(load.max), takes: load.takes }
    }
}

/// A process that has the store open.
#[derive(Serialize)]
pub struct NodeLine<'a> {
    epoch: u32,
    name: &'a str,
    version: &'a str,
    started_at: String,
    seen_at: String,
}

impl<'a> From<&'a NodeView> for NodeLine<'a> {
    fn from(node: &'a NodeView) -> Self {
        NodeLine {
            epoch: node.epoch,
            name: &node.name,
            version: &node.version,
            started_at: node.started_at.to_string(),
            seen_at: node.seen_at.to_string(),
        }
    }
}

/// JSON that somebody else has written, as a line.
pub fn in_a_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(['\n', '\r'], " ")
}

/// The cost matrix.
#[derive(Serialize)]
pub struct CostsLine<'a> {
    node: &'a str,
    since: String,
    now: String,
    tasks: Vec<SumsLine<'a>>,
    workers: Vec<SumsLine<'a>>,
    cells: Vec<CellLine>,
    total: SumsLine<'a>,
}

#[derive(Default, Serialize)]
struct SumsLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    completed: u64,
    failed: u64,
    given_back: u64,
    waiting: TimesLine,
    running: TimesLine,
}

#[derive(Default, Serialize)]
struct TimesLine {
    count: u64,
    sum_ms: f64,
    mean_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Serialize)]
struct CellLine {
    task: usize,
    worker: usize,
    started: u64,
    waiting_ms: f64,
    ended: u64,
    running_ms: f64,
}

impl<'a> From<&'a Costs> for CostsLine<'a> {
    fn from(costs: &'a Costs) -> Self {
        let task = |row: &'a TaskCosts| SumsLine {
            task: row.task.as_ref().map(|task| task.as_str()),
            ..SumsLine::from(&row.sums)
        };
        let worker = |column: &'a WorkerCosts| SumsLine {
            worker: column.worker.map(|worker| worker.to_string()),
            name: column.worker.map(|_| &*column.name),
            ..SumsLine::from(&column.sums)
        };
        let cell = |cell: &CostCell| CellLine {
            task: cell.task,
            worker: cell.worker,
            started: cell.cost.started,
            waiting_ms: millis(cell.cost.waiting),
            ended: cell.cost.ended,
            running_ms: millis(cell.cost.running),
        };
        CostsLine {
            node: &costs.node,
            since: costs.since.to_string(),
            now: costs.now.to_string(),
            tasks: costs.tasks.iter().map(task).collect(),
            workers: costs.workers.iter().map(worker).collect(),
            cells: costs.cells.iter().map(cell).collect(),
            total: SumsLine::from(&costs.total),
        }
    }
}

impl From<&CostSums> for SumsLine<'_> {
    fn from(sums: &CostSums) -> Self {
        SumsLine {
            completed: sums.completed,
            failed: sums.failed,
            given_back: sums.given_back,
            waiting: TimesLine::from(&sums.waiting),
            running: TimesLine::from(&sums.running),
            ..SumsLine::default()
        }
    }
}

impl From<&Times> for TimesLine {
    fn from(times: &Times) -> Self {
        TimesLine {
            count: times.count,
            sum_ms: millis(times.sum),
            mean_ms: millis(times.mean()),
            p50_ms: millis(times.p50),
            p90_ms: millis(times.p90),
            p99_ms: millis(times.p99),
            max_ms: millis(times.max),
        }
    }
}

/// Milliseconds with their thousandths.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
