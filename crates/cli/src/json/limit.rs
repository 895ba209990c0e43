//! Limits.

use serde::Serialize;
use taskwright::{Limit, Subject};
use taskwright_core::Rate;

/// What may start of a queue, task, group or key.
#[derive(Serialize)]
pub struct LimitLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<RateLine>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fair: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<RateLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered: Option<&'static str>,
}

#[derive(Serialize)]
struct RateLine {
    count: u32,
    period_ms: u64,
    burst: u32,
}

impl<'a> From<&'a Limit> for LimitLine<'a> {
    fn from(limit: &'a Limit) -> Self {
        let [mut queue, mut task, mut group, mut key] = [None; 4];
        match limit.subject() {
            Subject::Queue(name) => queue = Some(name.as_str()),
            Subject::Task(name) => task = Some(name.as_str()),
            Subject::Group { queue: name, group: text } => {
                (queue, group) = (Some(name.as_str()), Some(&**text));
            }
            Subject::Key(text) => key = Some(&**text),
        }
        let concurrency = limit.max_concurrency();
        let line = |Rate { count, period_ms, burst }| RateLine { count, period_ms, burst };
        let (rate, retries) = (limit.max_rate().map(line), limit.max_retries().map(line));
        let (fair, strict) = (limit.is_fair(), limit.is_strict());
        let weight = limit.group_weight();
        let waiting = limit.max_waiting();
        let ordered = limit.order().map(taskwright_core::Ordered::as_str);
        LimitLine {
            queue,
            task,
            group,
            key,
            concurrency,
            rate,
            fair,
            strict,
            weight,
            retries,
            waiting,
            ordered,
        }
    }
}
