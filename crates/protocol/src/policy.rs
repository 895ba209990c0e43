//! Policies on the wire: what they are set for, and what they allow.

use std::fmt::Display;
use std::sync::Arc;

use serde::Deserialize;
use taskwright_core::{Ordered, Policy, Rate, Subject};
use taskwright_engine::{Error, Result};

use crate::read::{At, Names, Object, Text, invalid, read};
use crate::write;

/// What a policy is set for, as its fields name it.
pub(crate) struct Named<'a, 'b> {
    pub queue: Option<&'a Text<'b>>,
    pub task: Option<&'a Text<'b>>,
    pub group: Option<&'a Text<'b>>,
    pub key: Option<&'a Text<'b>>,
}

impl Named<'_, '_> {
    /// The one thing that is named; `fault` makes the error of a field.
    pub(crate) fn subject(
        &self,
        fault: impl Fn(&'static str, &dyn Display) -> Error,
        names: &mut Names,
    ) -> Result<Subject> {
        let mut name =
            |field, text: &Text<'_>| names.name(&text.0).map_err(|cause| fault(field, &cause));
        match (self.queue, self.task, self.group, self.key) {
            (Some(queue), None, None, None) => Ok(Subject::Queue(name("queue", queue)?)),
            (Some(queue), None, Some(group), None) => {
                Ok(Subject::Group { queue: name("queue", queue)?, group: Arc::from(&*group.0) })
            }
            (None, Some(task), None, None) => Ok(Subject::Task(name("task", task)?)),
            (None, None, None, Some(key)) => Ok(Subject::Key(Arc::from(&*key.0))),
            _ => Err(fault("queue", &"name a queue, a queue and a group, a task, or a key")),
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateFields {
    count: u32,
    period_ms: u64,
    #[serde(default = "one")]
    burst: u32,
}

fn one() -> u32 {
    1
}

impl From<RateFields> for Rate {
    fn from(fields: RateFields) -> Self {
        Rate { count: fields.count, period_ms: fields.period_ms, burst: fields.burst }
    }
}

/// What dead jobs do to those behind them in an ordered group or key.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderedWord {
    Block,
    Skip,
}

impl From<OrderedWord> for Ordered {
    fn from(word: OrderedWord) -> Self {
        match word {
            OrderedWord::Block => Ordered::Block,
            OrderedWord::Skip => Ordered::Skip,
        }
    }
}

/// Reads the policy of one subject; where it says nothing there is to be none.
pub(crate) fn decode(body: &[u8]) -> Result<(Subject, Option<Policy>)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        queue: Option<Text<'a>>,
        task: Option<Text<'a>>,
        group: Option<Text<'a>>,
        key: Option<Text<'a>>,
        concurrency: Option<u32>,
        rate: Option<RateFields>,
        #[serde(default)]
        fair: bool,
        #[serde(default)]
        strict: bool,
        weight: Option<u32>,
        retries: Option<RateFields>,
        waiting: Option<u32>,
        ordered: Option<OrderedWord>,
    }

    let fields: Fields<'_> = read("policy request", body)?;
    let named = Named {
        queue: fields.queue.as_ref(),
        task: fields.task.as_ref(),
        group: fields.group.as_ref(),
        key: fields.key.as_ref(),
    };
    let subject = named.subject(|field, cause| invalid(field, cause), &mut Names::default())?;
    let Fields { concurrency, fair, strict, weight, waiting, .. } = fields;
    let (rate, retries) = (fields.rate.map(Rate::from), fields.retries.map(Rate::from));
    let ordered = fields.ordered.map(Ordered::from);
    let policy = Policy { concurrency, rate, fair, strict, weight, retries, waiting, ordered };
    Ok((subject, (!policy.is_empty()).then_some(policy)))
}

pub(crate) fn write_policy(
    subject: &Subject,
    policy: Option<&Policy>,
    object: &mut write::Object<'_>,
) {
    match subject {
        Subject::Queue(queue) => object.name("queue", queue),
        Subject::Task(task) => object.name("task", task),
        Subject::Group { queue, group } => {
            object.name("queue", queue);
            object.text("group", group);
        }
        Subject::Key(key) => object.text("key", key),
    }
    let policy = policy.copied().unwrap_or_default();
    if let Some(concurrency) = policy.concurrency {
        object.number("concurrency", u64::from(concurrency));
    }
    let mut write_rate = |field, rate: Rate| {
        object.object(field, |fields| {
            fields.number("count", u64::from(rate.count));
            fields.number("period_ms", rate.period_ms);
            fields.number("burst", u64::from(rate.burst));
        });
    };
    if let Some(rate) = policy.rate {
        write_rate("rate", rate);
    }
    if let Some(retries) = policy.retries {
        write_rate("retries", retries);
    }
    if policy.fair {
        object.flag("fair", true);
    }
    if policy.strict {
        object.flag("strict", true);
    }
    if let Some(weight) = policy.weight {
        object.number("weight", u64::from(weight));
    }
    if let Some(waiting) = policy.waiting {
        object.number("waiting", u64::from(waiting));
    }
    if let Some(ordered) = policy.ordered {
        object.word("ordered", ordered.as_str());
    }
}

pub(crate) fn encode(policies: &[(Subject, Policy)]) -> Vec<u8> {
    write::object(128 * policies.len() + 16, |object| {
        object.list("policies", policies, |(subject, policy), object| {
            write_policy(subject, Some(policy), object);
        });
    })
}

#[derive(Deserialize)]
struct PoliciesReply<'a> {
    #[serde(borrow)]
    policies: Vec<Object<PolicyFields<'a>>>,
}

#[derive(Deserialize)]
struct PolicyFields<'a> {
    #[serde(borrow)]
    queue: Option<Text<'a>>,
    task: Option<Text<'a>>,
    group: Option<Text<'a>>,
    key: Option<Text<'a>>,
    concurrency: Option<u32>,
    rate: Option<RateFields>,
    #[serde(default)]
    fair: bool,
    #[serde(default)]
    strict: bool,
    weight: Option<u32>,
    retries: Option<RateFields>,
    waiting: Option<u32>,
    ordered: Option<OrderedWord>,
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<Vec<(Subject, Policy)>> {
    let reply: PoliciesReply<'_> = read("policies reply", body)?;
    let mut names = Names::default();
    let policies = reply.policies.into_iter().enumerate().map(|(item, Object(fields))| {
        let named = Named {
            queue: fields.queue.as_ref(),
            task: fields.task.as_ref(),
            group: fields.group.as_ref(),
            key: fields.key.as_ref(),
        };
        let at = At { list: "policies", item };
        let subject = named.subject(|field, cause| at.invalid(field, cause), &mut names)?;
        let (rate, retries) = (fields.rate.map(Rate::from), fields.retries.map(Rate::from));
        let ordered = fields.ordered.map(Ordered::from);
        let PolicyFields { concurrency, fair, strict, weight, waiting, .. } = fields;
        let policy = Policy { concurrency, rate, fair, strict, weight, retries, waiting, ordered };
        Ok((subject, policy))
    });
    policies.collect()
}
