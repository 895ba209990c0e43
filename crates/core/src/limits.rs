//! Every maximum there is, in one place. They are checked before anything changes.

use std::time::Duration;

/// Longest args or result, in bytes of JSON.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Longest error message kept, in bytes; longer ones are cut.
pub const ERROR_BYTES_MAX: usize = 16 * 1024;
/// Deepest nesting of arrays and objects in a JSON text.
pub const JSON_DEPTH_MAX: usize = 128;
/// Most items (jobs, reports, commands) in one call.
pub const BATCH_MAX: usize = 1_000;
/// Most bytes of args or results in one call.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most jobs that one request is made into, each for its part.
pub const SHARDS_MAX: usize = BATCH_MAX;
/// Longest name of a namespace, queue or task, in bytes of `[a-z0-9._:/-]`.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest group, limit key or unique key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// Most limit keys of a job.
pub const LIMIT_KEYS_MAX: usize = 4;
/// Most policies of a namespace.
pub const POLICIES_MAX: usize = 10_000;
/// Most jobs without room that one claim looks at, beside those that it gives.
pub const CLAIM_LOOKS_MAX: usize = 256;
/// Most jobs that one call brings from lines into the claimable index, if it is no sweep: as many as a
/// call can insert.
pub const PROMOTIONS_MAX: usize = 1_000;
/// Most tags of a job.
pub const TAGS_MAX: usize = 8;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// Most labels of a worker.
pub const LABELS_MAX: usize = 32;
/// Longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 128;
/// Most terms of what a job requires of its worker.
pub const REQUIREMENT_TERMS_MAX: usize = 8;
/// Longest text of what a job requires of its worker, in bytes.
pub const REQUIREMENT_BYTES_MAX: usize = 1_024;
/// Most slots that a job takes: as many as one claim can ask for.
pub const COST_MAX: u32 = 1_000;
/// Most of one resource that a worker has or a job takes: every JSON reader holds it exactly.
pub const RESOURCE_MAX: u64 = 1_000_000_000_000_000;
/// Longest trace context, in bytes.
pub const TRACE_BYTES_MAX: usize = 512;
/// Most waits in a retry policy that lists them.
pub const RETRY_DELAYS_MAX: usize = 100;
/// The longest that the retry budget of a queue puts off a retry.
pub const RETRY_BUDGET_MAX: Duration = Duration::from_secs(24 * 3_600);
/// When an enqueue may be tried again that the waiting jobs of a queue left no room for.
pub const WAITING_FULL_AGAIN: Duration = Duration::from_secs(1);
/// Longest name that a worker gives itself, in bytes.
pub const WORKER_NAME_BYTES_MAX: usize = 256;
/// Most callers that wait for jobs to end, at one engine.
pub const WAITERS_MAX: usize = 100_000;
/// Most tasks that an engine keeps the costs of one by one, in each namespace.
pub const COST_TASKS_MAX: usize = 128;
/// Most workers that an engine keeps the costs of one by one, in each namespace.
pub const COST_WORKERS_MAX: usize = 64;
/// Most namespaces that an engine keeps costs of.
pub const COST_NAMESPACES_MAX: usize = 8;
/// Most attempts that an engine remembers the start of, to know how long they ran.
pub const COST_ATTEMPTS_MAX: usize = 100_000;
/// Most jobs of a simulation.
pub const SIMULATED_JOBS_MAX: u64 = 20_000_000;
/// Most workers of a simulation at one time.
pub const SIMULATED_WORKERS_MAX: usize = 100_000;
/// Most groups, and most limit keys of one name, of a class of jobs in a simulation.
pub const SIMULATED_KEYS_MAX: u32 = 1_000_000;
/// The longest time that can be simulated.
pub const SIMULATED_SPAN_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Most parents a job waits for.
pub const PARENTS_MAX: usize = 1_000;
/// Most lanes (queue × task × requirement) in a store.
pub const LANES_MAX: usize = 4_096;
/// Most queues or tasks that one worker serves.
pub const SERVED_MAX: usize = 1_000;
/// Attempts of a job that are kept: the first ones …
pub const ATTEMPTS_KEPT_FIRST: usize = 5;
/// … and the last ones.
pub const ATTEMPTS_KEPT_LAST: usize = 20;
/// Highest `max_attempts`.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// `max_attempts` where none is given.
pub const ATTEMPTS_DEFAULT: u32 = 20;
/// Attempts lost with their worker before a job is quarantined.
pub const LOSSES_MAX: u32 = 3;
/// Losses from which a job is a suspect: a worker holds one suspect at a time.
pub const LOSSES_SUSPECT: u32 = 2;
/// Most times a job may be released unspent before it is dead.
pub const RELEASES_MAX: u32 = 10_000;
/// Most times a job may be snoozed before it is dead.
pub const SNOOZES_MAX: u32 = 100_000;
/// Lowest (least urgent) and highest (most urgent) priority.
pub const PRIORITY_MIN: i8 = -10;
/// See [`PRIORITY_MIN`].
pub const PRIORITY_MAX: i8 = 10;
/// Farthest `run_at`, from now.
pub const RUN_AT_AHEAD_MAX: Duration = Duration::from_secs(3_653 * 24 * 3_600);
/// Longest `timeout` of an attempt.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Longest wait of one claim or one get.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Most jobs on one page of a list.
pub const PAGE_MAX: usize = 1_000;
/// How long a worker's lease lasts without a heartbeat, in time served by the store.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often a worker renews its lease.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// How often a node sweeps.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The most time served that one sweep may add: a stalled or suspended store lapses nobody at once.
pub const SERVED_PER_SWEEP_MAX: Duration = Duration::from_secs(2);
/// Longest cron expression, in bytes.
pub const CRON_BYTES_MAX: usize = 256;
/// Shortest interval of a schedule.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest interval of a schedule.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3_653 * 24 * 3_600);
/// Longest jitter of a schedule.
pub const JITTER_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Most instants in a schedule that lists them.
pub const INSTANTS_MAX: usize = 1_000;
/// Most windows of a schedule.
pub const WINDOWS_MAX: usize = 32;
/// Most calendars that a schedule names.
pub const CALENDARS_MAX: usize = 8;
/// Longest text of a calendar, in bytes.
pub const CALENDAR_BYTES_MAX: usize = 1024 * 1024;
/// Most days looked at to follow the recurring events of a calendar.
pub const CALENDAR_LOOKS_MAX: u32 = 2_000_000;
/// Most ticks or days that windows and calendars may leave out before the next tick.
pub const TICK_LOOKS_MAX: usize = 20_000;
/// An instant of a schedule is late when nobody ticked for so long since.
pub const TICK_LATE_AFTER: Duration = Duration::from_secs(60);
/// Most instants of a schedule that are caught up.
pub const CATCH_UP_MAX: usize = 1_000;
/// Most instants of a schedule that make a job in one call.
pub const TICKS_MAX: usize = 1_000;
/// Up to so many skipped instants of a schedule are counted exactly.
pub const SKIPS_COUNTED_MAX: usize = 1_000;
/// Largest body of a document (a schedule or a calendar as a store keeps it), in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;
/// Most documents of one kind in a namespace.
pub const DOCUMENTS_MAX: usize = 10_000;
/// Most documents on one page.
pub const DOCUMENTS_PAGE_MAX: usize = 100;
/// How long the id of an ended job is remembered at least.
pub const ID_WINDOW: Duration = Duration::from_secs(15 * 60);

/// A value that is over its maximum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {size} {unit}, and at most {max} are allowed")]
pub struct OverLimit {
    /// What was measured, for example `args`.
    pub what: &'static str,
    /// Its size.
    pub size: usize,
    /// The most allowed.
    pub max: usize,
    /// The unit of both numbers.
    pub unit: &'static str,
}

/// Refuses a `size` above `max`.
pub fn check(
    what: &'static str,
    size: usize,
    max: usize,
    unit: &'static str,
) -> Result<(), OverLimit> {
    if size <= max { Ok(()) } else { Err(OverLimit { what, size, max, unit }) }
}

/// Cuts a message at [`ERROR_BYTES_MAX`], on a character boundary, and says that it was cut.
pub fn cut_error(message: &str) -> String {
    const MARK: &str = " … (cut)";
    if message.len() <= ERROR_BYTES_MAX {
        return message.to_owned();
    }
    let mut end = ERROR_BYTES_MAX - MARK.len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &message[..end])
}

#[cfg(test)]
#[path = "tests/limits.rs"]
mod tests;
