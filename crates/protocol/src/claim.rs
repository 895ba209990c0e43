//! A worker asks for jobs, and gets some.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use taskwright_core::{JobId, Name, Token, WorkerId};
use taskwright_engine::Result;
use taskwright_store::{Claim, ClaimedJob, Profile};

use crate::extras::{reader_with_extras, write_extras};
use crate::fresh;
use crate::instant::Instant;
use crate::labels::{self, Amounts, read_amounts, write_amounts};
use crate::read::{At, Names, Object, Parsed, Payload, Text, invalid, name_or_default, read};
use crate::write;

/// A claim by hand takes so many jobs where it does not say.
const MAX_DEFAULT: usize = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimRequest<'a> {
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    worker: Option<Parsed<WorkerId>>,
    seq: Option<u64>,
    #[serde(borrow)]
    queues: Option<Vec<Text<'a>>>,
    tasks: Option<Vec<Text<'a>>>,
    #[serde(default)]
    labels: Vec<Text<'a>>,
    #[serde(default)]
    resources: Amounts,
    #[serde(default)]
    free: Amounts,
    max: Option<usize>,
    #[serde(default)]
    wait_ms: u64,
}

/// The claim inside a `work` request, whose namespace and worker stand outside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimFields<'a> {
    seq: Option<u64>,
    #[serde(borrow)]
    queues: Option<Vec<Text<'a>>>,
    tasks: Option<Vec<Text<'a>>>,
    #[serde(default)]
    labels: Vec<Text<'a>>,
    #[serde(default)]
    resources: Amounts,
    #[serde(default)]
    free: Amounts,
    max: Option<usize>,
    #[serde(default)]
    wait_ms: u64,
}

/// Reads a claim. Without a worker a new id is made; without `seq` the clock gives one, which
/// grows but cannot repeat a claim; without queues it is the queue `default`.
pub(crate) fn decode(body: &[u8]) -> Result<Claim> {
    let request: ClaimRequest<'_> = read("claim request", body)?;
    let namespace = name_or_default("namespace", request.namespace.as_ref())?;
    let worker = request.worker.map_or_else(fresh::worker_id, |worker| Ok(worker.0))?;
    let ClaimRequest { seq, queues, tasks, labels, resources, free, max, wait_ms, .. } = request;
    let fields = ClaimFields { seq, queues, tasks, labels, resources, free, max, wait_ms };
    fields.into_claim(namespace, worker)
}

impl ClaimFields<'_> {
    pub(crate) fn into_claim(self, namespace: Name, worker: WorkerId) -> Result<Claim> {
        let queues = match &self.queues {
            Some(queues) => names("queues", queues)?,
            None => vec![Name::default_name()],
        };
        let tasks = self.tasks.as_deref().map(|tasks| names("tasks", tasks)).transpose()?;
        let labels = labels::read(&self.labels, &self.resources)?;
        Ok(Claim {
            namespace,
            worker,
            seq: self.seq.unwrap_or_else(fresh::growing_number),
            profile: Arc::new(Profile { queues, tasks, labels }),
            max: self.max.unwrap_or(MAX_DEFAULT),
            free: read_amounts("free", &self.free)?,
            wait: Duration::from_millis(self.wait_ms),
            in_process: false,
        })
    }
}

fn names(list: &'static str, texts: &[Text<'_>]) -> Result<Vec<Name>> {
    let named = texts.iter().enumerate().map(|(item, text)| {
        Name::new(&text.0).map_err(|cause| invalid(&format!("{list}[{item}]"), cause))
    });
    named.collect()
}

pub(crate) fn encode(claim: &Claim) -> Vec<u8> {
    write::object(256, |object| {
        object.name("namespace", &claim.namespace);
        object.worker("worker", claim.worker);
        write_fields(claim, object);
    })
}

pub(crate) fn write_fields(claim: &Claim, object: &mut write::Object<'_>) {
    object.number("seq", claim.seq);
    object.names("queues", &claim.profile.queues);
    if let Some(tasks) = &claim.profile.tasks {
        object.names("tasks", tasks);
    }
    labels::write(&claim.profile.labels, object);
    write_amounts("free", &claim.free, object);
    object.number("max", claim.max as u64);
    object.millis("wait_ms", claim.wait);
}

/// Writes the jobs that were claimed, and by whom.
pub(crate) fn encode_reply(worker: WorkerId, jobs: &[ClaimedJob]) -> Vec<u8> {
    write::object(reply_size(jobs), |object| {
        object.worker("worker", worker);
        write_jobs(jobs, object);
    })
}

/// About how many bytes the jobs take.
pub(crate) fn reply_size(jobs: &[ClaimedJob]) -> usize {
    let payload: usize = jobs.iter().map(|job| job.args.len()).sum();
    payload + 480 * jobs.len() + 96
}

pub(crate) fn write_jobs(jobs: &[ClaimedJob], object: &mut write::Object<'_>) {
    object.list("jobs", jobs, |job, object| {
        object.id("id", job.id);
        object.number("seq", job.seq);
        object.name("queue", &job.queue);
        object.name("task", &job.task);
        object.json("args", &job.args);
        object.token("token", job.token);
        object.number("attempt", u64::from(job.token.attempt));
        object.number("failures", u64::from(job.failures));
        object.number("max_attempts", u64::from(job.max_attempts));
        if let Some(timeout_ms) = job.timeout_ms {
            object.number("timeout_ms", timeout_ms);
        }
        object.signed("priority", i64::from(job.priority));
        object.instant("created_at", job.created_at);
        object.instant("run_at", job.run_at);
        object.instant("started_at", job.started_at);
        if let Some(checkpoint) = &job.checkpoint {
            object.json("checkpoint", checkpoint);
        }
        write_extras(&job.extras, object);
    });
}

#[derive(Deserialize)]
struct ClaimReply<'a> {
    #[serde(borrow)]
    jobs: Vec<Object<ClaimedFields<'a>>>,
}

reader_with_extras! {
    /// A claimed job as it arrives at the worker.
    pub(crate) struct ClaimedFields<'a> {
        id: Parsed<JobId>,
        seq: u64,
        #[serde(borrow)]
        queue: Text<'a>,
        task: Text<'a>,
        args: Payload<'a>,
        token: Parsed<Token>,
        failures: u32,
        max_attempts: u32,
        timeout_ms: Option<u64>,
        priority: i8,
        created_at: Parsed<Instant>,
        run_at: Parsed<Instant>,
        started_at: Parsed<Instant>,
        checkpoint: Option<Payload<'a>>,
    }
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<Vec<ClaimedJob>> {
    let reply: ClaimReply<'_> = read("claim reply", body)?;
    claimed_jobs(reply.jobs)
}

pub(crate) fn claimed_jobs(jobs: Vec<Object<ClaimedFields<'_>>>) -> Result<Vec<ClaimedJob>> {
    let mut names = Names::default();
    let jobs = jobs.into_iter().enumerate().map(|(item, Object(mut fields))| {
        let at = At { list: "jobs", item };
        let mut name =
            |field, text: &Text<'_>| names.name(&text.0).map_err(|cause| at.invalid(field, cause));
        Ok(ClaimedJob {
            extras: fields.extras(),
            id: fields.id.0,
            seq: fields.seq,
            queue: name("queue", &fields.queue)?,
            task: name("task", &fields.task)?,
            args: fields.args.to_json(),
            token: fields.token.0,
            failures: fields.failures,
            max_attempts: fields.max_attempts,
            timeout_ms: fields.timeout_ms,
            priority: fields.priority,
            created_at: fields.created_at.0.0,
            run_at: fields.run_at.0.0,
            started_at: fields.started_at.0.0,
            checkpoint: fields.checkpoint.map(|json| json.to_json()),
        })
    });
    jobs.collect()
}
