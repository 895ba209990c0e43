//! Jobs to write, and what became of them.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use taskwright_core::limits::{BATCH_MAX, check};
use taskwright_core::{JobId, Json, Name, Requirement, RetryPolicy, StateName};
use taskwright_engine::{Enqueued, JobRequest, Result, Start};
use taskwright_store::Refusal;

use crate::extras::{shard, write_shard};
use crate::instant::Instant;
use crate::labels::{Amounts, taking};
use crate::read::{At, Names, Object, Parsed, Payload, Text, invalid, read};
use crate::unique::{
    ConflictField, ConflictFields, ReplaceField, UntilField, unique, write_on_conflict,
    write_unique,
};
use crate::write;

/// An enqueue as it arrives.
pub(crate) struct Enqueue {
    pub jobs: Vec<JobRequest>,
    pub partial: bool,
    pub reply: Reply,
}

/// How much a reply tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// One object for each job.
    #[default]
    Full,
    /// How many jobs are new, and one object for each that is not: for a client that made the ids.
    Summary,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    jobs: Vec<Object<JobFields<'a>>>,
    #[serde(default)]
    partial: bool,
    #[serde(default)]
    reply: Reply,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobFields<'a> {
    id: Option<Parsed<JobId>>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    task: Text<'a>,
    queue: Option<Text<'a>>,
    #[serde(borrow)]
    args: Option<Payload<'a>>,
    #[serde(default)]
    priority: i8,
    run_at: Option<Parsed<Instant>>,
    delay_ms: Option<u64>,
    max_attempts: Option<u32>,
    timeout_ms: Option<u64>,
    retry: Option<RetryFields>,
    expires_at: Option<Parsed<Instant>>,
    #[serde(default)]
    tags: Vec<Text<'a>>,
    group: Option<Text<'a>>,
    #[serde(default)]
    limit_keys: Vec<Text<'a>>,
    requires: Option<Text<'a>>,
    cost: Option<u32>,
    #[serde(default)]
    takes: Amounts,
    unique_key: Option<Text<'a>>,
    unique_until: Option<UntilField>,
    unique_for_ms: Option<u64>,
    #[serde(default)]
    on_conflict: ConflictField,
    #[serde(default)]
    replace: Vec<ReplaceField>,
    #[serde(default)]
    replace_scheduled_only: bool,
    replace_at_most_ms: Option<u64>,
    trace: Option<Text<'a>>,
    shards: Option<u32>,
    shard_index: Option<u32>,
    shard_total: Option<u32>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RetryFields {
    Exponential { base_ms: u64, max_ms: u64 },
    Fixed { delay_ms: u64 },
    List { delays_ms: Vec<u64> },
}

impl From<RetryFields> for RetryPolicy {
    fn from(fields: RetryFields) -> Self {
        match fields {
            RetryFields::Exponential { base_ms, max_ms } => {
                RetryPolicy::Exponential { base_ms, max_ms }
            }
            RetryFields::Fixed { delay_ms } => RetryPolicy::Fixed { delay_ms },
            RetryFields::List { delays_ms } => RetryPolicy::List { delays_ms },
        }
    }
}

/// Reads `{"jobs": […]}`, or the fields of a single job.
pub(crate) fn decode(body: &[u8]) -> Result<Enqueue> {
    let batch = match read::<Batch<'_>>("enqueue request", body) {
        Ok(batch) => batch,
        Err(_) if is_single(body) => {
            let job = read::<JobFields<'_>>("enqueue request", body)?;
            let jobs = vec![Object(job)];
            Batch { namespace: None, jobs, partial: false, reply: Reply::Full }
        }
        Err(error) => return Err(error),
    };
    let mut names = Names::default();
    let namespace = match &batch.namespace {
        Some(text) => names.name(&text.0).map_err(|cause| invalid("namespace", cause))?,
        None => Name::default_name(),
    };
    let default_queue = Name::default_name();
    let mut jobs = Vec::with_capacity(batch.jobs.len());
    for (item, Object(mut fields)) in batch.jobs.into_iter().enumerate() {
        let at = At { list: "jobs", item };
        let shards = fields.shards.take();
        let job = job_request(fields, at, &namespace, &default_queue, &mut names)?;
        let Some(shards) = shards else {
            jobs.push(job);
            continue;
        };
        // Before they are made: there would be as many as the numbers in the request say.
        check("the jobs of this call", jobs.len() + shards as usize, BATCH_MAX, "jobs")
            .map_err(|over| at.over("shards", &over))?;
        jobs.extend(job.sharded(shards).map_err(|error| at.invalid("shards", error.message))?);
    }
    Ok(Enqueue { jobs, partial: batch.partial, reply: batch.reply })
}

fn is_single(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        jobs: Option<serde::de::IgnoredAny>,
        task: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice(body)
        .is_ok_and(|probe: Probe| probe.jobs.is_none() && probe.task.is_some())
}

/// The job that these fields describe.
pub(crate) fn job_request(
    fields: JobFields<'_>,
    at: At,
    namespace: &Name,
    default_queue: &Name,
    names: &mut Names,
) -> Result<JobRequest> {
    let mut name =
        |field, text: &Text<'_>| names.name(&text.0).map_err(|cause| at.invalid(field, cause));
    let start = match (fields.run_at, fields.delay_ms) {
        (None, None) => Start::Now,
        (Some(run_at), None) => Start::At(run_at.0.0),
        (None, Some(delay_ms)) => Start::After(Duration::from_millis(delay_ms)),
        (Some(_), Some(_)) => {
            return Err(at.invalid("delay_ms", "run_at is given as well; give one of them"));
        }
    };
    if fields.unique_key.is_none()
        && (fields.unique_until.is_some() || fields.unique_for_ms.is_some())
    {
        return Err(at.invalid("unique_key", "it is missing; give the key that is to be held"));
    }
    if fields.unique_until.is_some() && fields.unique_for_ms.is_some() {
        return Err(at.invalid("unique_for_ms", "unique_until is given as well; give one of them"));
    }
    if fields.shards.is_some() {
        return Err(at.invalid("shards", "here one job is asked for; leave the shards out"));
    }
    if fields.shard_index.is_some() != fields.shard_total.is_some() {
        let cause = "shard_index and shard_total go together; to make several jobs, give shards";
        return Err(at.invalid("shard_index", cause));
    }
    let until = fields.unique_until.unwrap_or_else(|| fields.on_conflict.until());
    let conflict = ConflictFields {
        on_conflict: fields.on_conflict,
        replace: fields.replace,
        scheduled_only: fields.replace_scheduled_only,
        at_most_ms: fields.replace_at_most_ms,
    };
    let requires: Requirement = match &fields.requires {
        Some(text) => text.0.parse().map_err(|cause| at.invalid("requires", cause))?,
        None => Requirement::NONE,
    };
    let on_conflict = conflict.on_conflict().map_err(|(field, cause)| at.invalid(field, cause))?;
    Ok(JobRequest {
        id: fields.id.map(|id| id.0),
        namespace: match &fields.namespace {
            Some(text) => name("namespace", text)?,
            None => namespace.clone(),
        },
        task: name("task", &fields.task)?,
        queue: match &fields.queue {
            Some(text) => name("queue", text)?,
            None => default_queue.clone(),
        },
        args: match &fields.args {
            Some(args) => args.checked("args").map_err(|cause| at.over("args", &cause))?,
            None => Json::null(),
        },
        priority: fields.priority,
        start,
        max_attempts: fields.max_attempts,
        timeout: fields.timeout_ms.map(Duration::from_millis),
        retry: fields.retry.map(RetryPolicy::from),
        expires_at: fields.expires_at.map(|instant| instant.0.0),
        tags: fields.tags.iter().map(|tag| Arc::from(&*tag.0)).collect(),
        group: fields.group.as_ref().map(|group| Arc::from(&*group.0)),
        limit_keys: fields.limit_keys.iter().map(|key| Arc::from(&*key.0)).collect(),
        requires: taking(requires, &fields.takes).map_err(|cause| at.invalid("takes", cause))?,
        cost: fields.cost,
        unique: unique(
            fields.unique_key.as_ref().map(|key| Arc::from(&*key.0)),
            Some(until),
            fields.unique_for_ms,
        ),
        on_conflict,
        trace: fields.trace.map(|trace| Arc::from(&*trace.0)),
        shard: shard(fields.shard_index, fields.shard_total),
    })
}

/// Writes an enqueue request that asks for a summary, so every job needs its id.
pub(crate) fn encode(jobs: &[JobRequest], partial: bool) -> Vec<u8> {
    let payload: usize = jobs.iter().map(|job| job.args.len()).sum();
    write::object(payload + 160 * jobs.len() + 64, |request| {
        request.word("reply", "summary");
        if partial {
            request.flag("partial", true);
        }
        request.list("jobs", jobs, write_job);
    })
}

pub(crate) fn write_job(job: &JobRequest, object: &mut write::Object<'_>) {
    if let Some(id) = job.id {
        object.id("id", id);
    }
    if job.namespace.as_str() != "default" {
        object.name("namespace", &job.namespace);
    }
    object.name("task", &job.task);
    object.name("queue", &job.queue);
    object.json("args", &job.args);
    if job.priority != 0 {
        object.signed("priority", i64::from(job.priority));
    }
    match job.start {
        Start::Now => {}
        Start::After(delay) => object.millis("delay_ms", delay),
        Start::At(run_at) => object.instant("run_at", run_at),
    }
    if let Some(max_attempts) = job.max_attempts {
        object.number("max_attempts", u64::from(max_attempts));
    }
    if let Some(timeout) = job.timeout {
        object.millis("timeout_ms", timeout);
    }
    if let Some(retry) = &job.retry {
        write_retry(retry, object);
    }
    if let Some(expires_at) = job.expires_at {
        object.instant("expires_at", expires_at);
    }
    if !job.tags.is_empty() {
        object.texts("tags", &job.tags);
    }
    if let Some(group) = &job.group {
        object.text("group", group);
    }
    if !job.limit_keys.is_empty() {
        object.texts("limit_keys", &job.limit_keys);
    }
    if !job.requires.is_none() {
        object.text("requires", &job.requires.to_string());
    }
    if let Some(cost) = job.cost {
        object.number("cost", u64::from(cost));
    }
    if let Some(unique) = &job.unique {
        write_unique(unique, object);
    }
    write_on_conflict(job.on_conflict, object);
    if let Some(trace) = &job.trace {
        object.text("trace", trace);
    }
    write_shard(job.shard, object);
}

pub(crate) fn write_retry(retry: &RetryPolicy, object: &mut write::Object<'_>) {
    object.object("retry", |fields| match retry {
        RetryPolicy::Exponential { base_ms, max_ms } => {
            fields.word("kind", "exponential");
            fields.number("base_ms", *base_ms);
            fields.number("max_ms", *max_ms);
        }
        RetryPolicy::Fixed { delay_ms } => {
            fields.word("kind", "fixed");
            fields.number("delay_ms", *delay_ms);
        }
        RetryPolicy::List { delays_ms } => {
            fields.word("kind", "list");
            fields.numbers("delays_ms", delays_ms);
        }
    });
}

/// Writes what became of each job.
pub(crate) fn encode_reply(enqueued: &[Enqueued], reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Full => write::object(64 * enqueued.len() + 16, |object| {
            object.list("jobs", enqueued, write_enqueued);
        }),
        Reply::Summary => write::object(128, |object| {
            let is_new = |job: &Enqueued| matches!(job, Enqueued::New { .. });
            object.number("new", enqueued.iter().filter(|job| is_new(job)).count() as u64);
            let exceptions = enqueued.iter().enumerate().filter(|(_, job)| !is_new(job));
            object.list("exceptions", exceptions, |(item, job), object| {
                object.number("item", item as u64);
                write_enqueued(job, object);
            });
        }),
    }
}

fn write_enqueued(enqueued: &Enqueued, object: &mut write::Object<'_>) {
    match enqueued {
        Enqueued::New { id } => {
            object.id("id", *id);
            object.flag("new", true);
        }
        Enqueued::Existing { id, state } => {
            object.id("id", *id);
            object.flag("new", false);
            object.word("state", state.as_str());
        }
        Enqueued::Duplicate { id, state, replaced } => {
            object.id("id", *id);
            object.flag("new", false);
            object.flag("duplicate", true);
            object.flag("replaced", *replaced);
            object.word("state", state.as_str());
        }
        Enqueued::Refused(refusal) => object.object("refused", |fields| {
            let (code, sizes) = match refusal {
                Refusal::IdConflict(_) => ("conflict", None),
                Refusal::UniqueTaken { .. } => ("unique_taken", None),
                Refusal::LanesFull { max } => ("lanes_full", Some((None, *max as u64))),
                Refusal::WaitingFull { max, .. } => ("waiting_full", Some((None, u64::from(*max)))),
                Refusal::StoreFull { used, max } => ("store_full", Some((Some(*used), *max))),
            };
            fields.word("code", code);
            fields.text("detail", &refusal.to_string());
            match refusal {
                Refusal::IdConflict(id) => fields.id("id", *id),
                Refusal::UniqueTaken { key, holder } => {
                    fields.text("unique_key", key);
                    fields.id("holder", *holder);
                }
                Refusal::WaitingFull { queue, .. } => fields.name("queue", queue),
                Refusal::LanesFull { .. } | Refusal::StoreFull { .. } => {}
            }
            if let Some((used, max)) = sizes {
                if let Some(used) = used {
                    fields.number("used", used);
                }
                fields.number("max", max);
            }
        }),
    }
}

#[derive(Deserialize)]
struct Summary<'a> {
    #[serde(borrow)]
    exceptions: Vec<Exception<'a>>,
}

#[derive(Deserialize)]
struct Exception<'a> {
    item: usize,
    id: Option<Parsed<JobId>>,
    state: Option<Parsed<StateName>>,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    replaced: bool,
    #[serde(borrow)]
    refused: Option<RefusedFields<'a>>,
}

#[derive(Deserialize)]
struct RefusedFields<'a> {
    #[serde(borrow)]
    code: Text<'a>,
    unique_key: Option<Text<'a>>,
    holder: Option<Parsed<JobId>>,
    queue: Option<Parsed<Name>>,
    used: Option<u64>,
    max: Option<u64>,
}

/// Reads the summary that answers an enqueue of jobs with these ids.
pub(crate) fn decode_summary(body: &[u8], ids: &[JobId]) -> Result<Vec<Enqueued>> {
    let summary: Summary<'_> = read("enqueue reply", body)?;
    let mut enqueued: Vec<_> = ids.iter().map(|&id| Enqueued::New { id }).collect();
    for exception in summary.exceptions {
        let Some(place) = enqueued.get_mut(exception.item) else {
            return Err(invalid("exceptions", "the reply names a job that was not sent"));
        };
        let id = ids[exception.item];
        *place = match (exception.state, exception.refused) {
            (Some(state), _) if exception.duplicate => Enqueued::Duplicate {
                id: exception.id.map_or(id, |holder| holder.0),
                state: state.0,
                replaced: exception.replaced,
            },
            (Some(state), _) => Enqueued::Existing { id, state: state.0 },
            (None, Some(refused)) => Enqueued::Refused(refused.into_refusal(id)),
            (None, None) => Enqueued::New { id },
        };
    }
    Ok(enqueued)
}

impl RefusedFields<'_> {
    fn into_refusal(self, id: JobId) -> Refusal {
        let max = self.max.unwrap_or(0);
        match &*self.code.0 {
            "lanes_full" => Refusal::LanesFull { max: usize::try_from(max).unwrap_or(usize::MAX) },
            "store_full" => Refusal::StoreFull { used: self.used.unwrap_or(0), max },
            "waiting_full" => Refusal::WaitingFull {
                queue: self.queue.map_or_else(Name::default_name, |queue| queue.0),
                max: u32::try_from(max).unwrap_or(u32::MAX),
            },
            "unique_taken" => Refusal::UniqueTaken {
                key: self.unique_key.as_ref().map_or("", |key| &*key.0).into(),
                holder: self.holder.map_or(id, |holder| holder.0),
            },
            _ => Refusal::IdConflict(id),
        }
    }
}
