//! Answering requests: read, ask the API, write. No rules live here.

use std::time::Duration;

use taskwright_core::{JobId, Name};
use taskwright_engine::{Api, Error, ErrorCode, PlaceRequest, Result, ScheduleView};
use taskwright_store::{Claim, Command, Controlled, Filter, QueueCounts};

use crate::enqueue::{self, Reply};
use crate::listen::{self, Listen};
use crate::look::{self, Get, Peek, Wait};
use crate::operation::Operation;
use crate::schedules::{self, Look};
use crate::{claim, control, costs, heartbeat, job, place, policy, report, status, why, work};

/// Answers one request. `actor` is who asks, for the audit record.
pub async fn answer(
    api: &dyn Api,
    operation: Operation,
    body: &[u8],
    actor: &str,
) -> Result<Vec<u8>> {
    match operation {
        Operation::Enqueue => enqueue(api, body, None).await,
        Operation::Claim => claim(api, claim::decode(body)?).await,
        Operation::Report => {
            let reported = api.report(report::decode(body)?).await?;
            Ok(report::encode_reply(&reported))
        }
        Operation::Heartbeat => {
            let reply = api.heartbeat(heartbeat::decode(body)?).await?;
            Ok(heartbeat::encode_reply(&reply))
        }
        Operation::Listen => {
            let Listen { namespace, worker, wait } = listen::decode(body)?;
            Ok(listen::encode_reply(api.listen(&namespace, worker, wait).await?))
        }
        Operation::Work => {
            let (worker, work) = work::decode(body)?;
            Ok(work::encode_reply(worker, &api.work(work).await?))
        }
        Operation::Control => {
            let controlled = api.control(actor, control::decode(body)?).await?;
            Ok(control::encode_reply(&controlled))
        }
        Operation::Get => {
            let Get { namespace, ids } = look::decode_get(body)?;
            Ok(look::encode_found(&api.get(&namespace, &ids).await?))
        }
        Operation::Wait => {
            let Wait { namespace, id, wait } = look::decode_wait(body)?;
            Ok(look::encode_waited(api.wait(&namespace, id, wait).await?.as_ref()))
        }
        Operation::List => list(api, look::decode_list(body)?).await,
        Operation::Peek => {
            let Peek { namespace, queue, max } = look::decode_peek(body)?;
            peek(api, &namespace, &queue, max).await
        }
        Operation::Queues => queues(api, &status::decode_namespace("queues request", body)?).await,
        Operation::Workers => {
            workers(api, &status::decode_namespace("workers request", body)?).await
        }
        Operation::Costs => costs(api, &status::decode_namespace("costs request", body)?).await,
        Operation::Place => place(api, place::decode(body)?).await,
        Operation::Policies => {
            let namespace = status::decode_namespace("policies request", body)?;
            policies(api, &namespace).await
        }
        Operation::Schedules => {
            let look = schedules::decode_look(body)?;
            Ok(schedules::encode_views(&found(api, &look).await?))
        }
        Operation::Schedule => {
            let (namespace, ask) = schedules::decode(body)?;
            let answer = schedules::carry_out(api, &namespace, ask, actor).await?;
            Ok(schedules::encode_answer(&answer))
        }
        Operation::Nodes => {
            status::decode_namespace("nodes request", body)?;
            nodes(api).await
        }
        Operation::Describe => {
            status::decode_namespace("describe request", body)?;
            describe(api).await
        }
    }
}

/// Writes jobs; `reply`, where it is given, overrides what the request says.
pub async fn enqueue(api: &dyn Api, body: &[u8], reply: Option<Reply>) -> Result<Vec<u8>> {
    let request = enqueue::decode(body)?;
    let reply = reply.unwrap_or(request.reply);
    if reply == Reply::Summary
        && let Some(item) = request.jobs.iter().position(|job| job.id.is_none())
    {
        let message = format!("jobs[{item}].id: a summary names no ids; send one with every job");
        return Err(Error::new(ErrorCode::Invalid, message).at_item(item));
    }
    let enqueued = api.enqueue(request.jobs, request.partial).await?;
    Ok(enqueue::encode_reply(&enqueued, reply))
}

async fn claim(api: &dyn Api, claim: Claim) -> Result<Vec<u8>> {
    let worker = claim.worker;
    Ok(claim::encode_reply(worker, &api.claim(claim).await?))
}

/// One job, once it has ended or after `wait`.
pub async fn job(api: &dyn Api, namespace: &Name, id: JobId, wait: Duration) -> Result<Vec<u8>> {
    let found = if wait.is_zero() {
        api.get(namespace, &[id]).await?.pop().flatten()
    } else {
        api.wait(namespace, id, wait).await?
    };
    match found {
        Some(job) => Ok(job::encode(&job)),
        None => Err(no_job(id)),
    }
}

/// Why a job does not run yet.
pub async fn why(api: &dyn Api, namespace: &Name, id: JobId) -> Result<Vec<u8>> {
    match api.why(namespace, id).await? {
        Some(why) => Ok(why::encode(&why)),
        None => Err(no_job(id)),
    }
}

/// A page of jobs.
pub async fn list(api: &dyn Api, filter: Filter) -> Result<Vec<u8>> {
    Ok(look::encode_page(&api.list(filter).await?))
}

/// The next jobs of a queue.
pub async fn peek(api: &dyn Api, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<u8>> {
    let jobs = api.peek(namespace, queue, max).await?;
    Ok(look::encode_page(&taskwright_store::Page { jobs, next: None }))
}

/// The queues of a namespace.
pub async fn queues(api: &dyn Api, namespace: &Name) -> Result<Vec<u8>> {
    Ok(status::encode_queues(&api.counts(namespace).await?))
}

/// One queue; where it never had a job, it is empty.
pub async fn queue(api: &dyn Api, namespace: &Name, queue: &Name) -> Result<Vec<u8>> {
    Ok(status::encode_queue(&counts(api, namespace, queue).await?))
}

/// How many jobs of a queue have not ended, and whether that is none.
pub async fn size(api: &dyn Api, namespace: &Name, queue: &Name) -> Result<Vec<u8>> {
    Ok(status::encode_size(&counts(api, namespace, queue).await?))
}

async fn counts(api: &dyn Api, namespace: &Name, queue: &Name) -> Result<QueueCounts> {
    let counts = api.counts(namespace).await?;
    let found = counts.into_iter().find(|counts| counts.queue == *queue);
    Ok(found.unwrap_or_else(|| QueueCounts::empty(queue.clone())))
}

/// The workers of a namespace.
pub async fn workers(api: &dyn Api, namespace: &Name) -> Result<Vec<u8>> {
    Ok(status::encode_workers(&api.workers(namespace).await?))
}

/// The cost matrix of a namespace.
pub async fn costs(api: &dyn Api, namespace: &Name) -> Result<Vec<u8>> {
    Ok(costs::encode(&api.costs(namespace).await?))
}

/// Which workers may run a job, and what excludes the others.
async fn place(api: &dyn Api, request: PlaceRequest) -> Result<Vec<u8>> {
    Ok(place::encode_reply(&api.place(request).await?))
}

/// The policies of a namespace.
pub async fn policies(api: &dyn Api, namespace: &Name) -> Result<Vec<u8>> {
    Ok(policy::encode(&api.policies(namespace).await?))
}

async fn found(api: &dyn Api, look: &Look) -> Result<Vec<ScheduleView>> {
    let api = api.scheduling()?;
    match &look.name {
        Some(name) => Ok(api.schedule(&look.namespace, name).await?.into_iter().collect()),
        None => api.schedules(&look.namespace, look.after.clone(), look.limit).await,
    }
}

/// A page of schedules.
pub async fn schedules(
    api: &dyn Api,
    namespace: Name,
    after: Option<Name>,
    limit: usize,
) -> Result<Vec<u8>> {
    let look = Look { namespace, name: None, after, limit };
    Ok(schedules::encode_views(&found(api, &look).await?))
}

/// One schedule.
pub async fn schedule(api: &dyn Api, namespace: &Name, name: &Name) -> Result<Vec<u8>> {
    match api.scheduling()?.schedule(namespace, name).await? {
        Some(view) => Ok(schedules::encode_view(&view)),
        None => {
            let message = format!("there is no schedule {name}; GET /v1/schedules lists them");
            Err(Error::new(ErrorCode::NotFound, message))
        }
    }
}

/// What a path asks of the schedule or calendar it names; `body` is what was sent, or nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ScheduleAction {
    /// Make it, or change it.
    Set,
    /// Remove it.
    Remove,
    /// Make no more jobs.
    Pause,
    /// Go on.
    Resume,
    /// Make a job now.
    Trigger,
    /// Make the jobs of past instants.
    Backfill,
    /// Load a calendar.
    SetCalendar,
    /// Remove a calendar.
    RemoveCalendar,
}

/// Does one thing with the schedule or calendar of a path.
pub async fn on_schedule(
    api: &dyn Api,
    (namespace, name): (Name, Name),
    action: ScheduleAction,
    body: &[u8],
    actor: &str,
) -> Result<Vec<u8>> {
    let ask = schedules::decode_action(&namespace, name, action, body)?;
    let answer = schedules::carry_out(api, &namespace, ask, actor).await?;
    Ok(schedules::encode_answer(&answer))
}

/// The calendars of a namespace, by name.
pub async fn calendars(api: &dyn Api, namespace: &Name) -> Result<Vec<u8>> {
    let answer = schedules::carry_out(api, namespace, schedules::Ask::Calendars, "").await?;
    Ok(schedules::encode_answer(&answer))
}

/// The processes that have the store open.
pub async fn nodes(api: &dyn Api) -> Result<Vec<u8>> {
    Ok(status::encode_nodes(&api.nodes().await?))
}

/// What the store is and what it promises.
pub async fn describe(api: &dyn Api) -> Result<Vec<u8>> {
    Ok(status::encode_description(&api.describe().await?))
}

/// Cancels a job; the body, if there is one, says why: `{"reason": "…"}`.
pub async fn cancel(
    api: &dyn Api,
    namespace: Name,
    id: JobId,
    body: &[u8],
    actor: &str,
) -> Result<Vec<u8>> {
    let reason = control::decode_reason(body)?;
    command(api, Command::Cancel { namespace, id, reason }, actor).await
}

/// Restarts an ended job; the body, if there is one, says how often it may fail: `{"attempts": n}`.
pub async fn redrive(
    api: &dyn Api,
    namespace: Name,
    id: JobId,
    body: &[u8],
    actor: &str,
) -> Result<Vec<u8>> {
    let attempts = control::decode_attempts(body)?;
    command(api, Command::Redrive { namespace, id, attempts }, actor).await
}

/// Changes how urgent a job is that waits, or when it is due; the body says which:
/// `{"priority": n, "run_at": "…"}`.
pub async fn adjust(
    api: &dyn Api,
    namespace: Name,
    id: JobId,
    body: &[u8],
    actor: &str,
) -> Result<Vec<u8>> {
    let (priority, run_at) = control::decode_adjust(body)?;
    command(api, Command::Adjust { namespace, id, priority, run_at }, actor).await
}

/// Sets a policy; a body without a limit takes it away.
pub async fn set_policy(
    api: &dyn Api,
    namespace: Name,
    body: &[u8],
    actor: &str,
) -> Result<Vec<u8>> {
    let (subject, policy) = policy::decode(body)?;
    command(api, Command::SetPolicy { namespace, subject, policy }, actor).await
}

/// Carries out one command, whose refusal is an error here.
pub async fn command(api: &dyn Api, command: Command, actor: &str) -> Result<Vec<u8>> {
    let subject = match &command {
        Command::Cancel { id, .. }
        | Command::Redrive { id, .. }
        | Command::Adjust { id, .. }
        | Command::Delete { id, .. } => Some(*id),
        Command::Pause { .. } | Command::Resume { .. } | Command::SetPolicy { .. } => None,
    };
    let controlled = api.control(actor, vec![command]).await?.pop();
    match (controlled, subject) {
        (Some(done @ Controlled::Done { .. }), _) => Ok(control::encode_one(&done)),
        (Some(Controlled::Refused { state }), Some(id)) => {
            let message = format!("job {id} is {state}; this cannot be done to it now");
            Err(Error::new(ErrorCode::Conflict, message))
        }
        (Some(Controlled::Taken { holder }), Some(id)) => {
            let message = format!(
                "job {holder} holds the unique key of job {id}; wait for it to end, then try again"
            );
            Err(Error::new(ErrorCode::Conflict, message))
        }
        (Some(Controlled::PoliciesFull { max }), _) => {
            let message = format!("there are {max} policies, the most there can be; remove some");
            Err(Error::new(ErrorCode::OverLimit, message))
        }
        (_, Some(id)) => Err(no_job(id)),
        (_, None) => Err(Error::new(ErrorCode::NotFound, "there is no such queue")),
    }
}

fn no_job(id: JobId) -> Error {
    let message = format!("there is no job {id} here; it may have been deleted or pruned");
    Error::new(ErrorCode::NotFound, message)
}
