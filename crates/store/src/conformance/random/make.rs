//! What is asked of the stores, made from what was picked.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::{
    Extras, JobError, JobId, Json, Labels, Name, NewJob, OnConflict, Ordered, Policy, Rate,
    Replace, Requirement, Resources, Subject, Unique, Until, WorkerId,
};

use super::ops::{
    JobShape, KEYS, LABELLINGS, OutcomePick, PolicyPick, REQUIREMENTS, RESOURCES, Serves, TAKES,
    UniquePick,
};
use crate::request::{Outcome, Retry};

pub fn namespace(elsewhere: bool) -> Name {
    if elsewhere { name("elsewhere") } else { Name::default_name() }
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

pub fn queue(number: usize) -> Name {
    name(&format!("queue-{number}"))
}

pub fn task(number: usize) -> Name {
    name(&format!("task-{number}"))
}

pub fn worker_id(number: usize) -> WorkerId {
    WorkerId::from_u128(number as u128 + 1)
}

pub fn number(value: u8) -> Json {
    Json::from_trusted(value.to_string())
}

/// A job with nothing special, of this number.
pub fn plain(number: usize) -> NewJob {
    NewJob {
        namespace: Name::default_name(),
        id: JobId::from_u128(number as u128 + 1),
        task: task(0),
        queue: queue(0),
        args: Json::from_trusted(format!("[{number}]")),
        priority: 0,
        run_at: None,
        max_attempts: 20,
        timeout_ms: None,
        fingerprint: number as u64 * 2,
        on_conflict: OnConflict::default(),
        extras: Extras::default(),
    }
}

/// The unique key that was picked, and what happens where another job holds it.
pub fn unique_of(pick: &UniquePick) -> (Unique, OnConflict) {
    let until = match pick.until {
        0 => Until::Claimed,
        1 | 2 => Until::Finished,
        ms => Until::Elapsed { ms: ms * 1_000 },
    };
    let replace = Replace { scheduled_only: pick.scheduled_only, ..Replace::throttle() };
    let on_conflict = match pick.on_conflict {
        0 => OnConflict::Keep,
        1 => OnConflict::Refuse,
        2 => OnConflict::Replace(Replace { at_most_ms: Some(40_000), run_at: true, ..replace }),
        3 => OnConflict::Replace(replace),
        _ => OnConflict::Replace(Replace {
            priority: true,
            run_at: true,
            max_attempts: true,
            timeout: true,
            tags: true,
            // Else a repeated call could change what the first one could not.
            scheduled_only: false,
            ..replace
        }),
    };
    (Unique { key: format!("key {}", pick.key).into(), until }, on_conflict)
}

pub fn group(number: usize) -> Arc<str> {
    format!("group {number}").into()
}

pub fn limit_keys(bits: u8) -> Vec<Arc<str>> {
    let is_set = |number: &usize| bits >> number & 1 == 1;
    (0..KEYS).filter(is_set).map(|number| format!("limit {number}").into()).collect()
}

/// What a job can require, and what it can take.
pub fn requirement(shape: &JobShape) -> Requirement {
    let texts: [&str; REQUIREMENTS] = ["", "a>=2", "!a", "a in (1 2),b", "b"];
    let takes: [&str; TAKES] = ["", "1 of m", "3 of m", "2 of n", "1 of n,2 of m"];
    let text = format!("{},{}", texts[shape.requires], takes[shape.takes]);
    let requirement: Requirement = text.trim_matches(',').parse().expect("a valid requirement");
    requirement.with_cost(shape.cost).expect("a valid cost")
}

/// What labels a worker can have, and what resources.
pub fn labels(serves: &Serves) -> Labels {
    let texts: [&str; LABELLINGS] = ["", "a=1,b", "a=2", "a=3,b"];
    let mut labels: Labels = texts[serves.labels].parse().expect("valid labels");
    if serves.slots > 0 {
        labels.set_slots(serves.slots).expect("a label");
    }
    for (resource, amount) in resources(serves.resources).iter() {
        labels.set_capacity(resource.as_str(), amount).expect("a resource");
    }
    labels
}

fn resources(number: usize) -> Resources {
    let texts: [&str; RESOURCES] = ["", "m=1", "m=4,n=2", "m=9,n=9"];
    texts[number].parse().expect("valid resources")
}

/// How much of its resources a worker says is free.
pub fn free(serves: &Serves) -> Resources {
    let mut left = resources(serves.resources);
    left.take_away(&left.iter().map(|(name, _)| (name.clone(), serves.taken)).collect());
    left
}

/// What a policy can be set for: names, and patterns that say less of them.
pub fn subject_of(number: usize) -> Subject {
    match number {
        0 => Subject::Queue(queue(0)),
        1 => Subject::Task(task(0)),
        2 => Subject::Group { queue: queue(1), group: group(0) },
        3 => Subject::Group { queue: queue(0), group: "*".into() },
        4 => Subject::Key("limit *".into()),
        number => Subject::Key(format!("limit {}", number - 5).into()),
    }
}

pub fn policy_of(pick: &PolicyPick) -> Policy {
    let rate = |(count, seconds, burst)| Rate { count, period_ms: seconds * 1_000, burst };
    let PolicyPick { concurrency, fair, strict, weight, waiting, ordered, .. } = *pick;
    let (rate, retries) = (pick.rate.map(rate), pick.retries.map(rate));
    let ordered = ordered.map(|skips| if skips { Ordered::Skip } else { Ordered::Block });
    Policy { concurrency, rate, fair, strict, weight, retries, waiting, ordered }
}

pub fn outcome_of(pick: &OutcomePick) -> Outcome {
    let seconds = Duration::from_secs;
    let failed = |retry| Outcome::Failed { error: JobError::new("error", "it broke"), retry };
    match pick {
        OutcomePick::Completed(result) => Outcome::Completed { result: result.map(number) },
        OutcomePick::Failed(wait) => failed(Retry::After(seconds(wait.unwrap_or(0)))),
        OutcomePick::FailedByPolicy => failed(Retry::ByPolicy),
        OutcomePick::FailedForGood => failed(Retry::Never),
        OutcomePick::TimedOut => Outcome::TimedOut,
        OutcomePick::Snoozed(wait) => Outcome::Snoozed { delay: seconds(*wait) },
        OutcomePick::Released => Outcome::Released,
        OutcomePick::Cancelled => Outcome::Cancelled { reason: "no longer needed".into() },
        OutcomePick::Checkpoint(value) => Outcome::Checkpoint { value: number(*value) },
    }
}
