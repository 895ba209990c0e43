//! Commands as the attempts of jobs.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use taskwright::{Context, Shard, StopReason};
use taskwright_core::limits::PAYLOAD_BYTES_MAX;
use taskwright_store::Outcome;

use super::run::{Ran, Run, Stop};
use super::slots::Slot;

/// How long a command has between SIGTERM and SIGKILL. Shorter than the grace of the worker.
const GRACE: Duration = Duration::from_secs(2);
/// Longer than any worker takes to stop: then it ends the attempt itself.
const UNTIL_DROPPED: Duration = Duration::from_secs(3_600);

/// Runs a command as an attempt of a job, until it ends or the attempt should.
pub async fn run(
    words: Vec<OsString>,
    input: Option<Vec<u8>>,
    context: &Context,
    slot: &mut Slot,
) -> Ran {
    let mut variables = vec![
        ("TASKWRIGHT_JOB_ID", context.job_id().to_string()),
        ("TASKWRIGHT_ATTEMPT", context.attempt().to_string()),
        ("TASKWRIGHT_TASK", context.task().to_string()),
        ("TASKWRIGHT_QUEUE", context.queue().to_string()),
    ];
    if let Some(Shard { index, total }) = context.shard() {
        variables.push(("TASKWRIGHT_SHARD_INDEX", index.to_string()));
        variables.push(("TASKWRIGHT_SHARD_TOTAL", total.to_string()));
    }
    let run = Run { words, input, variables, output_bytes_max: PAYLOAD_BYTES_MAX };
    run.until(slot, stop(context)).await
}

async fn stop(context: &Context) -> Stop {
    let grace = match context.cancelled().await {
        // Another worker may run the job already.
        StopReason::Lost => Duration::ZERO,
        StopReason::Stopping => UNTIL_DROPPED,
        _ => GRACE,
    };
    Stop { grace }
}

/// The outcome of an attempt whose command was told to stop.
pub fn stopped(context: &Context) -> Outcome {
    match context.stop_reason() {
        Some(StopReason::TimedOut) => Outcome::TimedOut,
        Some(StopReason::Cancelled(reason)) => Outcome::Cancelled { reason: reason.clone() },
        _ => Outcome::Released,
    }
}

/// Refuses a program that is not there, before anything is tried with it.
pub fn check_program(program: &str) -> Result<()> {
    let is_there = if program.contains('/') {
        Path::new(program).exists()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    if !is_there {
        bail!("there is no program {program:?}; give its path, or see whether it is installed");
    }
    Ok(())
}
