//! What a job is like, whoever makes it: the arguments that `enqueue` and `schedules set` share.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use taskwright_core::{Name, Requirement, Resources, RetryPolicy, parse_duration};
use taskwright_engine::JobRequest;

use super::keys::Keys;
use crate::payload;

/// What a job is like.
#[derive(Debug, Args)]
pub struct Kind {
    /// The task to run
    task: Name,
    /// The input, JSON: as it is, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "null")]
    args: String,
    /// The queue to wait in
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    queue: Name,
    /// From -10 (least urgent) to 10 (most urgent)
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i8,
    /// Dead at so many failures [default: 20]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// The longest an attempt may run, like 90s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// The wait before each further attempt [default: a random time of up to 2s, 4s, 8s …]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    retry_delay: Option<Duration>,
    /// A word to find it by; up to 8
    #[arg(long = "tag", value_name = "WORD")]
    tags: Vec<String>,
    /// What the labels of its worker must meet, like 'gpu>=24,region in (eu us),!spot'
    #[arg(long, value_name = "TERMS")]
    requires: Option<Requirement>,
    /// How many slots of its worker it takes, up to 1000 [default: 1]
    #[arg(long, value_name = "SLOTS")]
    cost: Option<u32>,
    /// How much it takes of a resource of its worker, like memory=8; repeat it for others
    #[arg(long = "take", value_name = "NAME=AMOUNT")]
    takes: Vec<String>,
    /// Its keys.
    #[command(flatten)]
    keys: Keys,
}

impl Kind {
    /// A job of this kind, to start at once.
    pub fn request(self) -> Result<JobRequest> {
        let args = payload::read("--args", &self.args)?;
        let mut request = JobRequest::new(self.task, args);
        request.queue = self.queue;
        request.priority = self.priority;
        request.max_attempts = self.max_attempts;
        request.timeout = self.timeout;
        request.tags = self.tags.iter().map(|tag| tag.as_str().into()).collect();
        request.requires = taking(self.requires.unwrap_or_default(), &self.takes)?;
        request.cost = self.cost;
        request.retry = self.retry_delay.map(|delay| RetryPolicy::Fixed {
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        });
        self.keys.apply(&mut request)?;
        Ok(request)
    }
}

/// What a job requires that also takes these amounts.
pub fn taking(requires: Requirement, takes: &[String]) -> Result<Requirement> {
    let takes = Resources::parse(takes.iter().map(String::as_str))?;
    let mut amounts = takes.iter();
    Ok(amounts.try_fold(requires, |requires, (resource, amount)| {
        requires.with_taken(resource.as_str(), amount)
    })?)
}
