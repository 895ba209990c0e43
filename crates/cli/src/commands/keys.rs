//! The keys that a job is enqueued with: its unique key, its group, its limit keys.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use taskwright_core::{OnConflict, Replace, Unique, Until, parse_duration};
use taskwright_engine::JobRequest;

/// The keys of a job.
#[derive(Debug, Args)]
#[command(next_help_heading = "Keys and limits")]
pub struct Keys {
    /// A key that at most one job holds at a time; where another holds it, that one is kept
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// How long it holds the key: until claimed, until finished, or for a time, like 10m
    /// [default: finished; with debounce and throttle: claimed]
    #[arg(long, value_name = "UNTIL", value_parser = parse_until, requires = "unique")]
    unique_until: Option<Until>,
    /// What happens where another job holds the key: keep, refuse, debounce, throttle, or
    /// replace=FIELD,… (args, priority, run_at, max_attempts, timeout, tags)
    ///
    /// keep: that job is named and nothing changes. refuse: an error. debounce: that job is given
    /// the new args and starts as late as this one would (--delay). throttle: it is given the new
    /// args and keeps its time. Only a job that was not claimed yet is changed.
    #[arg(long, value_name = "WHAT", value_parser = parse_conflict, requires = "unique")]
    on_conflict: Option<Conflict>,
    /// With debounce or replace=run_at: no later than this after the first was enqueued
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "on_conflict")]
    at_most: Option<Duration>,
    /// A key inside the queue, such as a customer; see `taskwright limit`
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// A key of something that it uses, over all queues; up to 4; see `taskwright limit`
    #[arg(long = "limit-key", value_name = "KEY")]
    limit_keys: Vec<String>,
}

impl Keys {
    /// Gives them to a request.
    pub fn apply(self, request: &mut JobRequest) -> Result<()> {
        request.on_conflict = self.on_conflict()?;
        let until = self.unique_until.unwrap_or(match self.on_conflict {
            // What comes while it runs makes a job of its own.
            Some(Conflict::Debounce | Conflict::Throttle) => Until::Claimed,
            _ => Until::Finished,
        });
        request.unique = self.unique.map(|key| Unique { key: key.into(), until });
        request.group = self.group.map(Into::into);
        request.limit_keys = self.limit_keys.into_iter().map(Into::into).collect();
        Ok(())
    }

    fn on_conflict(&self) -> Result<OnConflict> {
        let on_conflict = self.on_conflict.map_or(OnConflict::Keep, OnConflict::from);
        let Some(at_most) = self.at_most else { return Ok(on_conflict) };
        match on_conflict {
            OnConflict::Replace(replace) if replace.run_at => {
                let at_most_ms = u64::try_from(at_most.as_millis()).ok();
                Ok(OnConflict::Replace(Replace { at_most_ms, ..replace }))
            }
            _ => bail!("--at-most goes with --on-conflict debounce or replace=run_at only"),
        }
    }
}

/// What happens where another job holds the key, by its word.
#[derive(Copy, Clone, Debug)]
enum Conflict {
    Keep,
    Refuse,
    Debounce,
    Throttle,
    Replace(Replace),
}

impl From<Conflict> for OnConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Keep => OnConflict::Keep,
            Conflict::Refuse => OnConflict::Refuse,
            Conflict::Debounce => OnConflict::Replace(Replace::debounce(None)),
            Conflict::Throttle => OnConflict::Replace(Replace::throttle()),
            Conflict::Replace(fields) => OnConflict::Replace(fields),
        }
    }
}

fn parse_until(text: &str) -> Result<Until, String> {
    match text {
        "claimed" => Ok(Until::Claimed),
        "finished" => Ok(Until::Finished),
        _ => {
            let time = parse_duration(text)
                .map_err(|error| format!("it is neither claimed nor finished, and {error}"))?;
            Ok(Until::Elapsed { ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) })
        }
    }
}

fn parse_conflict(text: &str) -> Result<Conflict, String> {
    match text {
        "keep" => Ok(Conflict::Keep),
        "refuse" => Ok(Conflict::Refuse),
        "debounce" => Ok(Conflict::Debounce),
        "throttle" => Ok(Conflict::Throttle),
        _ => match text.strip_prefix("replace=") {
            Some(fields) => parse_fields(fields).map(Conflict::Replace),
            None => Err("it is none of keep, refuse, debounce, throttle, replace=FIELD,…".into()),
        },
    }
}

fn parse_fields(fields: &str) -> Result<Replace, String> {
    let mut replace = Replace::default();
    for field in fields.split(',') {
        match field.trim() {
            "args" => replace.args = true,
            "priority" => replace.priority = true,
            "run_at" => replace.run_at = true,
            "max_attempts" => replace.max_attempts = true,
            "timeout" => replace.timeout = true,
            "tags" => replace.tags = true,
            other => {
                return Err(format!(
                    "{other:?} is none of args, priority, run_at, max_attempts, timeout, tags"
                ));
            }
        }
    }
    Ok(replace)
}

#[cfg(test)]
#[path = "../tests/keys.rs"]
mod tests;
