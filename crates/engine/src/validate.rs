//! What may reach a store: every maximum is checked here, before anything changes.

use std::fmt;
use std::time::Duration;

use taskwright_core::limits::{self, OverLimit, check};
use taskwright_core::turns::WEIGHT_MAX;
use taskwright_core::{
    Extras, JobId, Json, NewJob, OnConflict, Policy, Rate, Requirement, RetryPolicy, Shard,
    Subject, Timestamp, Unique, Until,
};
use taskwright_store::{Claim, Command, Filter, Heartbeat, Outcome, Profile, Report};

use crate::api::{JobRequest, Start};
use crate::error::{Error, ErrorCode, Result};
use crate::fingerprint::{fingerprint, of_shard};

/// The jobs of one enqueue, with every default filled in. `now` is the store's time, which is
/// needed where a job does not start at once; every request has its id.
pub(crate) fn new_jobs(requests: Vec<JobRequest>, now: Timestamp) -> Result<Vec<NewJob>> {
    batch("jobs", requests.len())?;
    let bytes = requests.iter().map(|request| request.args.len()).sum();
    check("the args of all jobs together", bytes, limits::BATCH_BYTES_MAX, "bytes")
        .map_err(|over| refused("cannot enqueue the batch", over, "send smaller batches"))?;
    new_jobs_of_any_number(requests, now)
}

/// As [`new_jobs`], without a bound on how many they are together.
pub(crate) fn new_jobs_of_any_number(
    requests: Vec<JobRequest>,
    now: Timestamp,
) -> Result<Vec<NewJob>> {
    let new_job = |(item, request)| new_job(request, now).map_err(|error| error.at_item(item));
    requests.into_iter().enumerate().map(new_job).collect()
}

fn new_job(request: JobRequest, now: Timestamp) -> Result<NewJob> {
    let refuse = |(code, fault): Fault| {
        Error::new(code, format!("cannot enqueue a job of task {}: {fault}", request.task))
    };
    check_request(&request, now).map_err(refuse)?;
    let requires = required(&request).map_err(refuse)?;
    let run_at = match request.start {
        Start::Now => None,
        Start::After(delay) => Some(now.plus(delay)),
        Start::At(instant) => Some(instant),
    };
    let id = request.id.ok_or_else(|| Error::new(ErrorCode::Invalid, "a job has no id"))?;
    let cost = request.cost.unwrap_or(1);
    let whole = fingerprint(&request.task, &request.queue, &request.args);
    Ok(NewJob {
        fingerprint: request.shard.map_or(whole, |shard| of_shard(whole, shard)),
        on_conflict: request.on_conflict,
        namespace: request.namespace,
        id,
        task: request.task,
        queue: request.queue,
        args: request.args,
        priority: request.priority,
        run_at,
        max_attempts: request.max_attempts.unwrap_or(limits::ATTEMPTS_DEFAULT),
        timeout_ms: request.timeout.map(whole_millis),
        extras: Extras {
            cost: if cost > 1 { cost } else { 0 },
            retry: request.retry,
            expires_at: request.expires_at,
            tags: request.tags,
            group: request.group,
            limit_keys: request.limit_keys,
            unique: request.unique,
            requires,
            trace: request.trace,
            shard: request.shard,
            ..Extras::default()
        },
    })
}

/// Milliseconds, rounded up: a timeout is never shorter than asked for.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

type Fault = (ErrorCode, String);

fn over(fault: OverLimit) -> Fault {
    (ErrorCode::OverLimit, fault.to_string())
}

fn invalid(fault: impl fmt::Display) -> Fault {
    (ErrorCode::Invalid, fault.to_string())
}

fn check_request(request: &JobRequest, now: Timestamp) -> Result<(), Fault> {
    check_payload("args", &request.args)?;
    check_priority(request.priority)?;
    match request.max_attempts {
        Some(0) => return Err(invalid("its max_attempts is 0; give at least 1")),
        Some(max) => {
            let size = usize::try_from(max).unwrap_or(usize::MAX);
            check("max_attempts", size, limits::ATTEMPTS_MAX as usize, "attempts").map_err(over)?;
        }
        None => {}
    }
    if let Some(timeout) = request.timeout {
        if timeout.is_zero() {
            return Err(invalid("its timeout is zero; leave it out for no limit"));
        }
        check_time("timeout", timeout, limits::TIMEOUT_MAX)?;
    }
    match request.start {
        Start::Now => {}
        Start::After(delay) => check_time("its delay", delay, limits::RUN_AT_AHEAD_MAX)?,
        Start::At(at) => check_time("run_at, from now,", at.since(now), limits::RUN_AT_AHEAD_MAX)?,
    }
    if let Some(policy) = &request.retry {
        check_policy(policy)?;
    }
    check("the list of its tags", request.tags.len(), limits::TAGS_MAX, "tags").map_err(over)?;
    for tag in &request.tags {
        check("a tag", tag.len(), limits::TAG_BYTES_MAX, "bytes").map_err(over)?;
        if tag.is_empty() {
            return Err(invalid("one of its tags is empty; leave it out"));
        }
    }
    check_keys(request)?;
    check_unique(request.unique.as_ref(), request.on_conflict)?;
    if let Some(trace) = &request.trace {
        check("trace", trace.len(), limits::TRACE_BYTES_MAX, "bytes").map_err(over)?;
    }
    check_shard(request)
}

/// What a job requires, the slots that it takes among it.
fn required(request: &JobRequest) -> Result<Requirement, Fault> {
    let cost = request.cost.unwrap_or(1);
    if cost == 0 {
        return Err(invalid("its cost is 0 slots; give at least 1, or leave it out"));
    }
    check("its cost", cost as usize, limits::COST_MAX as usize, "slots").map_err(over)?;
    request.requires.with_cost(cost).map_err(invalid)
}

fn check_shard(request: &JobRequest) -> Result<(), Fault> {
    let Some(Shard { index, total }) = request.shard else { return Ok(()) };
    check("the number of its shards", total as usize, limits::SHARDS_MAX, "shards")
        .map_err(over)?;
    if index >= total {
        return Err(invalid(format!(
            "its shard_index is {index} of {total}; the first one is 0, the last one {}",
            total.saturating_sub(1)
        )));
    }
    if request.unique.is_some() {
        return Err(invalid(
            "it is a shard and has a unique key, which only one of the shards could hold; leave one out",
        ));
    }
    Ok(())
}

fn check_priority(priority: i8) -> Result<(), Fault> {
    if (limits::PRIORITY_MIN..=limits::PRIORITY_MAX).contains(&priority) {
        return Ok(());
    }
    Err(invalid(format!(
        "its priority is {priority}; give one from -10 (least urgent) to 10 (most urgent)"
    )))
}

fn check_adjusted(
    priority: Option<i8>,
    run_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Fault> {
    priority.map_or(Ok(()), check_priority)?;
    let Some(run_at) = run_at else { return Ok(()) };
    check_time("run_at, from now,", run_at.since(now), limits::RUN_AT_AHEAD_MAX)
}

fn check_keys(request: &JobRequest) -> Result<(), Fault> {
    let keys = &request.limit_keys;
    check("the list of its limit keys", keys.len(), limits::LIMIT_KEYS_MAX, "keys")
        .map_err(over)?;
    let named = request.group.iter().map(|group| ("its group", group));
    for (what, key) in named.chain(keys.iter().map(|key| ("a limit key", key))) {
        check(what, key.len(), limits::KEY_BYTES_MAX, "bytes").map_err(over)?;
        if key.is_empty() {
            return Err(invalid(format!("{what} is empty; leave it out")));
        }
        if key.ends_with('*') {
            return Err(invalid(format!("{what} ends in *, as only patterns of policies do")));
        }
    }
    Ok(())
}

/// Checks what a policy is set for, and the policy.
fn check_policy_for(subject: &Subject, policy: Option<&Policy>) -> Result<(), Fault> {
    if let Subject::Group { group: key, .. } | Subject::Key(key) = subject {
        check("the key of a policy", key.len(), limits::KEY_BYTES_MAX, "bytes").map_err(over)?;
        if key.is_empty() {
            return Err(invalid("its key is empty; give a key, or * for each of them"));
        }
    }
    let Some(policy) = policy else { return Ok(()) };
    if policy.fair && !matches!(subject, Subject::Queue(_)) {
        return Err(invalid("only a queue can be fair: its groups take turns then; name a queue"));
    }
    if policy.strict && !matches!(subject, Subject::Queue(_)) {
        return Err(invalid(
            "only a queue can be strict: its most urgent job is always next then; name a queue",
        ));
    }
    if policy.strict && policy.fair {
        return Err(invalid(
            "a queue is fair or strict: where groups take turns, priorities count within a group \
             only; choose one",
        ));
    }
    if policy.ordered.is_some() && !matches!(subject, Subject::Group { .. } | Subject::Key(_)) {
        return Err(invalid(
            "only a group or a limit key can be ordered: its jobs run one after another; name one",
        ));
    }
    match policy.weight {
        Some(_) if !matches!(subject, Subject::Group { .. }) => {
            return Err(invalid(
                "only a group has a weight: its share of a fair queue; name a group",
            ));
        }
        Some(weight) if !(1..=WEIGHT_MAX).contains(&weight) => {
            return Err(invalid(format!("its weight is {weight}; give 1 to {WEIGHT_MAX}")));
        }
        _ => {}
    }
    if !matches!(subject, Subject::Queue(_)) {
        if policy.retries.is_some() {
            return Err(invalid("only a queue has a retry budget; name a queue"));
        }
        if policy.waiting.is_some() {
            return Err(invalid("only a queue bounds how many jobs wait; name a queue"));
        }
    }
    let has_zero = |rate: &Rate| rate.count == 0 || rate.period_ms == 0 || rate.burst == 0;
    if policy.rate.as_ref().is_some_and(has_zero) {
        return Err(invalid(
            "its rate has a zero; give at least 1 start, 1 ms and a burst of 1, or a concurrency \
             of 0 to let nothing start",
        ));
    }
    if policy.retries.as_ref().is_some_and(has_zero) {
        return Err(invalid(
            "its retry budget has a zero; give at least 1 retry, 1 ms and a burst of 1, or jobs \
             that are not retried",
        ));
    }
    let period = |rate: Rate| Duration::from_millis(rate.period_ms);
    for (what, rate) in [("its period", policy.rate), ("the period of its retries", policy.retries)]
    {
        rate.map_or(Ok(()), |rate| check_time(what, period(rate), limits::TIMEOUT_MAX))?;
    }
    Ok(())
}

fn check_unique(unique: Option<&Unique>, on_conflict: OnConflict) -> Result<(), Fault> {
    let Some(unique) = unique else {
        return match on_conflict {
            OnConflict::Keep => Ok(()),
            _ => Err(invalid("it says what to do on a conflict, but has no unique key: add one")),
        };
    };
    if unique.key.is_empty() {
        return Err(invalid("its unique key is empty; leave it out"));
    }
    check("its unique key", unique.key.len(), limits::KEY_BYTES_MAX, "bytes").map_err(over)?;
    match unique.until {
        Until::Elapsed { ms: 0 } => Err(invalid("its unique key is held for no time; give a time")),
        Until::Elapsed { ms } => {
            check_time("the hold of its key", Duration::from_millis(ms), limits::RUN_AT_AHEAD_MAX)
        }
        Until::Claimed | Until::Finished => Ok(()),
    }
}

fn check_payload(what: &'static str, json: &Json) -> Result<(), Fault> {
    if json.is_empty() {
        return Err(invalid(format!("its {what} is an empty text; write null for nothing")));
    }
    check(what, json.len(), limits::PAYLOAD_BYTES_MAX, "bytes").map_err(|fault| {
        (ErrorCode::OverLimit, format!("{fault}; keep large data elsewhere and pass where it is"))
    })
}

fn check_time(what: &str, time: Duration, max: Duration) -> Result<(), Fault> {
    if time <= max {
        return Ok(());
    }
    let days = |duration: Duration| duration.as_secs() / 86_400;
    let message = format!("{what} is {} days, and at most {} are allowed", days(time), days(max));
    Err((ErrorCode::OverLimit, message))
}

fn check_policy(policy: &RetryPolicy) -> Result<(), Fault> {
    let longest_ms = match policy {
        RetryPolicy::Exponential { max_ms, .. } => *max_ms,
        RetryPolicy::Fixed { delay_ms } => *delay_ms,
        RetryPolicy::List { delays_ms } => {
            check("the list of retry delays", delays_ms.len(), limits::RETRY_DELAYS_MAX, "delays")
                .map_err(over)?;
            let longest = delays_ms.iter().max();
            *longest
                .ok_or_else(|| invalid("its list of retry delays is empty; give at least one"))?
        }
    };
    check_time("a retry delay", Duration::from_millis(longest_ms), limits::RUN_AT_AHEAD_MAX)
}

fn refused(tried: &str, over: OverLimit, advice: &str) -> Error {
    Error::new(ErrorCode::OverLimit, format!("{tried}: {over}; {advice}"))
}

/// Refuses a batch with more items than a call may have.
pub(crate) fn batch(what: &'static str, items: usize) -> Result<()> {
    check(what, items, limits::BATCH_MAX, "items")
        .map_err(|over| refused("the call was not carried out", over, "send smaller batches"))
}

/// Refuses a list of ids that is too long for a call.
pub(crate) fn ids(ids: &[JobId]) -> Result<()> {
    batch("the list of ids", ids.len())
}

/// Checks a claim, and cuts `max` and `wait` to what one call may ask for.
pub(crate) fn claim(claim: &mut Claim) -> Result<()> {
    if claim.seq == 0 {
        let message = "a claim has seq 0; number the claims of a worker from 1";
        return Err(Error::new(ErrorCode::Invalid, message));
    }
    if claim.max == 0 {
        let message = "a claim asks for 0 jobs; claim only when a slot is free";
        return Err(Error::new(ErrorCode::Invalid, message));
    }
    claim.max = claim.max.min(limits::BATCH_MAX);
    claim.wait = claim.wait.min(limits::WAIT_MAX);
    profile(&claim.profile)?;
    free(claim)
}

/// Whoever has resources says how much of each is free: else nobody could know what fits.
fn free(claim: &Claim) -> Result<()> {
    let invalid = |fault: String| {
        let message = format!("cannot claim for this worker: {fault}");
        Err(Error::new(ErrorCode::Invalid, message))
    };
    let all = claim.profile.labels.capacities();
    if let Some((resource, _)) = all.iter().find(|(resource, _)| !claim.free.names(resource)) {
        return invalid(format!(
            "it has the resource {resource} and does not say how much of it is free; name it in free"
        ));
    }
    for (resource, amount) in claim.free.iter() {
        if !all.names(resource) {
            return invalid(format!("{resource} is free, and none of its resources"));
        }
        if amount > all.get(resource) {
            let all = all.get(resource);
            return invalid(format!("{amount} of {resource} are free, and it has {all} in all"));
        }
    }
    Ok(())
}

fn profile(profile: &Profile) -> Result<()> {
    let tried = "cannot claim for this worker";
    let refuse = |over| refused(tried, over, "start several workers");
    if profile.queues.is_empty() {
        let message = format!("{tried}: it names no queue; name at least one");
        return Err(Error::new(ErrorCode::Invalid, message));
    }
    check("the list of its queues", profile.queues.len(), limits::SERVED_MAX, "names")
        .map_err(refuse)?;
    if let Some(tasks) = &profile.tasks {
        if tasks.is_empty() {
            let message = format!("{tried}: it serves no task; name at least one");
            return Err(Error::new(ErrorCode::Invalid, message));
        }
        check("the list of its tasks", tasks.len(), limits::SERVED_MAX, "names").map_err(refuse)?;
    }
    if let Some(Err(text)) = profile.labels.slots() {
        let message = format!(
            "{tried}: its label slots is {text:?}, and says how many slots it has: give a whole \
             number from 1"
        );
        return Err(Error::new(ErrorCode::Invalid, message));
    }
    Ok(())
}

/// Checks reports: sizes of results and checkpoints, times of snoozes. Errors are cut, not refused:
/// a job whose error is too long has failed all the same.
pub(crate) fn reports(reports: &mut [Report]) -> Result<()> {
    batch("the list of reports", reports.len())?;
    let bytes = reports.iter().map(|report| payload_bytes(&report.outcome)).sum();
    check("the results of all reports together", bytes, limits::BATCH_BYTES_MAX, "bytes")
        .map_err(|over| refused("cannot take the reports", over, "send smaller batches"))?;
    for (item, report) in reports.iter_mut().enumerate() {
        if let Err((code, fault)) = check_outcome(&mut report.outcome) {
            let message = format!("cannot report on job {}: {fault}", report.id);
            return Err(Error::new(code, message).at_item(item));
        }
    }
    Ok(())
}

fn payload_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Completed { result: Some(json) } | Outcome::Checkpoint { value: json } => {
            json.len()
        }
        _ => 0,
    }
}

fn check_outcome(outcome: &mut Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Completed { result: Some(result) } => check_payload("result", result),
        Outcome::Checkpoint { value } => check_payload("checkpoint", value),
        Outcome::Snoozed { delay } => check_time("the snooze", *delay, limits::RUN_AT_AHEAD_MAX),
        Outcome::Failed { error, .. } => {
            if error.message.len() > limits::ERROR_BYTES_MAX {
                error.message = limits::cut_error(&error.message).into();
            }
            check("the kind of the error", error.kind.len(), limits::NAME_BYTES_MAX, "bytes")
                .map_err(over)
        }
        Outcome::Cancelled { reason } => {
            if reason.len() > limits::ERROR_BYTES_MAX {
                *reason = limits::cut_error(reason).into();
            }
            Ok(())
        }
        Outcome::Completed { result: None } | Outcome::TimedOut | Outcome::Released => Ok(()),
    }
}

/// Checks what a worker says of itself.
pub(crate) fn heartbeat(heartbeat: &Heartbeat) -> Result<()> {
    let tried = "cannot renew the lease of this worker";
    check("its name", heartbeat.info.name.len(), limits::WORKER_NAME_BYTES_MAX, "bytes")
        .map_err(|over| refused(tried, over, "shorten it"))?;
    for (id, _, progress) in &heartbeat.progress {
        check_payload("progress", progress)
            .map_err(|(code, fault)| Error::new(code, format!("{tried}, job {id}: {fault}")))?;
    }
    Ok(())
}

/// Checks commands: their number, what they ask for, and the lengths of reasons and of the actor's
/// name. `now` is the store's time, which is needed where a job is to have another `run_at`.
pub(crate) fn commands(actor: &str, commands: &[Command], now: Timestamp) -> Result<()> {
    batch("the list of commands", commands.len())?;
    let shorten = |tried: &str, over| refused(tried, over, "shorten it");
    check("the name of the actor", actor.len(), limits::WORKER_NAME_BYTES_MAX, "bytes")
        .map_err(|over| shorten("the commands were not carried out", over))?;
    for (item, command) in commands.iter().enumerate() {
        match command {
            Command::Cancel { id, reason, .. } => {
                check("the reason", reason.len(), limits::ERROR_BYTES_MAX, "bytes").map_err(
                    |over| shorten(&format!("cannot cancel job {id}"), over).at_item(item),
                )?;
            }
            Command::Adjust { id, priority, run_at, .. } => {
                check_adjusted(*priority, *run_at, now).map_err(|(code, fault)| {
                    Error::new(code, format!("cannot adjust job {id}: {fault}")).at_item(item)
                })?;
            }
            Command::SetPolicy { subject, policy, .. } => {
                check_policy_for(subject, policy.as_ref()).map_err(|(code, fault)| {
                    Error::new(code, format!("cannot set a policy: {fault}")).at_item(item)
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a filter and cuts its page to the longest there is.
pub(crate) fn filter(filter: &mut Filter) {
    filter.limit = filter.limit.clamp(1, limits::PAGE_MAX);
}

#[cfg(test)]
#[path = "tests/validate.rs"]
mod tests;
