//! The job of a schedule, as it is kept.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskwright_core::{Json, Name, OnConflict, Replace, Requirement, RetryPolicy, Unique, Until};

use super::{corrupt, micros, name};
use crate::api::{JobRequest, Start};
use crate::error::{Error, ErrorCode, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobBody {
    task: String,
    queue: String,
    args: Box<RawValue>,
    #[serde(default)]
    priority: i8,
    max_attempts: Option<u32>,
    timeout_us: Option<u64>,
    retry: Option<RetryBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Arc<str>>,
    group: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    limit_keys: Vec<Arc<str>>,
    unique: Option<UniqueBody>,
    on_conflict: ConflictBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum RetryBody {
    Exponential { base_ms: u64, max_ms: u64 },
    Fixed { delay_ms: u64 },
    List { delays_ms: Vec<u64> },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UniqueBody {
    key: Arc<str>,
    until: UntilBody,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UntilBody {
    Claimed,
    Finished,
    Ms(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ConflictBody {
    Keep,
    Refuse,
    Replace {
        args: bool,
        priority: bool,
        run_at: bool,
        max_attempts: bool,
        timeout: bool,
        tags: bool,
        scheduled_only: bool,
        at_most_ms: Option<u64>,
    },
}

impl JobBody {
    pub fn of(job: &JobRequest) -> Result<Self> {
        let args = RawValue::from_string(job.args.as_str().to_owned());
        Ok(JobBody {
            task: job.task.to_string(),
            queue: job.queue.to_string(),
            args: args.map_err(|error| {
                Error::new(ErrorCode::Invalid, format!("the args are not JSON: {error}"))
            })?,
            priority: job.priority,
            max_attempts: job.max_attempts,
            timeout_us: job.timeout.map(micros),
            retry: job.retry.clone().map(|retry| match retry {
                RetryPolicy::Exponential { base_ms, max_ms } => {
                    RetryBody::Exponential { base_ms, max_ms }
                }
                RetryPolicy::Fixed { delay_ms } => RetryBody::Fixed { delay_ms },
                RetryPolicy::List { delays_ms } => RetryBody::List { delays_ms },
            }),
            tags: job.tags.clone(),
            group: job.group.clone(),
            limit_keys: job.limit_keys.clone(),
            requires: (!job.requires.is_none()).then(|| job.requires.to_string()),
            cost: job.cost,
            unique: job.unique.as_ref().map(|unique| UniqueBody {
                key: unique.key.clone(),
                until: match unique.until {
                    Until::Claimed => UntilBody::Claimed,
                    Until::Finished => UntilBody::Finished,
                    Until::Elapsed { ms } => UntilBody::Ms(ms),
                },
            }),
            on_conflict: match job.on_conflict {
                OnConflict::Keep => ConflictBody::Keep,
                OnConflict::Refuse => ConflictBody::Refuse,
                OnConflict::Replace(replace) => ConflictBody::Replace {
                    args: replace.args,
                    priority: replace.priority,
                    run_at: replace.run_at,
                    max_attempts: replace.max_attempts,
                    timeout: replace.timeout,
                    tags: replace.tags,
                    scheduled_only: replace.scheduled_only,
                    at_most_ms: replace.at_most_ms,
                },
            },
        })
    }

    pub fn request(self, namespace: &Name) -> Result<JobRequest> {
        let task = name(&self.task)?;
        Ok(JobRequest {
            namespace: namespace.clone(),
            queue: name(&self.queue)?,
            priority: self.priority,
            start: Start::Now,
            max_attempts: self.max_attempts,
            timeout: self.timeout_us.map(Duration::from_micros),
            retry: self.retry.map(|retry| match retry {
                RetryBody::Exponential { base_ms, max_ms } => {
                    RetryPolicy::Exponential { base_ms, max_ms }
                }
                RetryBody::Fixed { delay_ms } => RetryPolicy::Fixed { delay_ms },
                RetryBody::List { delays_ms } => RetryPolicy::List { delays_ms },
            }),
            tags: self.tags,
            group: self.group,
            limit_keys: self.limit_keys,
            unique: self.unique.map(|unique| Unique {
                key: unique.key,
                until: match unique.until {
                    UntilBody::Claimed => Until::Claimed,
                    UntilBody::Finished => Until::Finished,
                    UntilBody::Ms(ms) => Until::Elapsed { ms },
                },
            }),
            on_conflict: self.on_conflict.on_conflict(),
            requires: match self.requires {
                Some(text) => text.parse().map_err(corrupt)?,
                None => Requirement::NONE,
            },
            cost: self.cost,
            ..JobRequest::new(task, Json::from_trusted(self.args.get()))
        })
    }
}

impl ConflictBody {
    fn on_conflict(self) -> OnConflict {
        match self {
            ConflictBody::Keep => OnConflict::Keep,
            ConflictBody::Refuse => OnConflict::Refuse,
            ConflictBody::Replace {
                args,
                priority,
                run_at,
                max_attempts,
                timeout,
                tags,
                scheduled_only,
                at_most_ms,
            } => OnConflict::Replace(Replace {
                args,
                priority,
                run_at,
                max_attempts,
                timeout,
                tags,
                scheduled_only,
                at_most_ms,
            }),
        }
    }
}
