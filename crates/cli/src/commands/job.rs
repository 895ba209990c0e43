//! `taskwright job`

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use taskwright::Taskwright;
use taskwright_core::limits::WAIT_MAX;
use taskwright_core::{
    AttemptRecord, Job, JobId, Json, State, StateName, Until, format_duration, parse_duration,
};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{JobLine, line};
use crate::{connect, show};

/// How long one wait lasts, before it is asked again.
const WAIT_EACH: Duration = Duration::from_secs(20);

/// Show all of a job
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes with --wait or --result: 0 completed · 1 dead, cancelled or expired · \
3 no such job · 4 not ended in time"
)]
pub struct Arguments {
    /// The job
    id: JobId,
    /// Wait until it has ended; for at most this time, where one is given
    #[arg(long, value_name = "TIME", value_parser = parse_duration, num_args = 0..=1, require_equals = true, default_missing_value = "3650days")]
    wait: Option<Duration>,
    /// Print only the result, as JSON
    #[arg(long)]
    result: bool,
}

/// Shows it.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let found = match arguments.wait {
        Some(wait) => ended(&app, arguments.id, wait).await?,
        None => app.get(arguments.id).await?,
    };
    app.close().await?;
    let Some(job) = found else {
        eprintln!("taskwright: there is no job {}; see `taskwright jobs`", arguments.id);
        return Ok(Exit::Nothing);
    };
    if arguments.result {
        match &job.result {
            Some(result) => show::print(result)?,
            None => {
                eprintln!("taskwright: job {} has no result: it is {}", job.id, show::state(&job))
            }
        }
    } else if global.json {
        show::print(line(&JobLine::from(&job)))?;
    } else {
        show::print(described(&job))?;
    }
    let decides = arguments.wait.is_some() || arguments.result;
    Ok(match job.state().name() {
        _ if !decides => Exit::Done,
        StateName::Completed => Exit::Done,
        state if state.is_final() => Exit::Failed,
        _ => Exit::TimeOver,
    })
}

async fn ended(app: &Taskwright, id: JobId, wait: Duration) -> Result<Option<Job>> {
    let begin = Instant::now();
    loop {
        let left = wait.saturating_sub(begin.elapsed());
        let slice = left.min(WAIT_EACH).min(WAIT_MAX);
        let job = app.api().wait(app.namespace(), id, slice).await?;
        let goes_on = job.as_ref().is_some_and(|job| !job.state().name().is_final());
        if !goes_on || left.is_zero() {
            return Ok(job);
        }
    }
}

fn described(job: &Job) -> String {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: String| lines.push(format!("{name:<12}{value}"));
    add("job", job.id.to_string());
    add("task", job.task.to_string());
    add("queue", job.queue.to_string());
    add("state", show::state(job));
    add("attempt", attempts(job));
    if job.priority != 0 {
        add("priority", job.priority.to_string());
    }
    add("created", show::instant(job.created_at));
    if job.run_at > job.created_at {
        add("due", show::instant(job.run_at));
    }
    if let Some(started_at) = job.started_at {
        add("started", show::instant(started_at));
    }
    if let Some(finished_at) = job.finished_at {
        let ran = job.started_at.map(|started_at| finished_at.since(started_at));
        let ran = ran.map(|ran| format!(", ran {}", format_duration(ran))).unwrap_or_default();
        add("finished", format!("{}{ran}", show::instant(finished_at)));
    }
    if let Some(timeout_ms) = job.timeout_ms {
        add("timeout", format_duration(Duration::from_millis(timeout_ms)));
    }
    if let Some(worker) = job.worker {
        add("worker", worker.to_string());
    }
    if !job.extras.tags.is_empty() {
        add("tags", job.extras.tags.join(", "));
    }
    if !job.extras.requires.is_none() {
        add("requires", job.extras.requires.to_string());
    }
    if job.extras.cost > 1 {
        add("cost", show::counted(job.extras.cost.into(), "slot"));
    }
    if let Some(shard) = job.extras.shard {
        add("shard", format!("{shard}, index {}", shard.index));
    }
    if let Some(unique) = &job.extras.unique {
        add("unique", show::harmless(&format!("{} ({})", unique.key, until(unique.until, job))));
    }
    if let Some(group) = &job.extras.group {
        add("group", show::harmless(group));
    }
    if !job.extras.limit_keys.is_empty() {
        add("limit keys", show::harmless(&job.extras.limit_keys.join(", ")));
    }
    if let Some(expires_at) = job.extras.expires_at {
        add("expires", show::instant(expires_at));
    }
    if let Some(reason) = &job.cancel_reason {
        add("cancel", show::harmless(reason));
    }
    for (name, json) in [
        ("args", &job.args),
        ("progress", &job.progress),
        ("checkpoint", &job.checkpoint),
        ("result", &job.result),
    ] {
        if let Some(json) = json {
            add(name, shown(json));
        }
    }
    if let Some(error) = &job.error {
        add("error", format!("{}: {}", error.kind, show::harmless(&error.message)));
    }
    lines.extend(timeline(job));
    lines.join("\n")
}

/// How long a job holds its unique key.
fn until(until: Until, job: &Job) -> String {
    match until {
        Until::Claimed => "until claimed".to_owned(),
        Until::Finished => "until finished".to_owned(),
        Until::Elapsed { ms } => {
            let ends_at = job.created_at.plus(Duration::from_millis(ms));
            format!("until {}", show::instant(ends_at))
        }
    }
}

fn attempts(job: &Job) -> String {
    let life = &job.life;
    let mut text = format!("{} ({} of {} failures", life.attempt, life.failures, life.max_attempts);
    for (count, word) in
        [(life.losses, "lost"), (life.released, "released"), (life.snoozed, "snoozed")]
    {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    text.push(')');
    text
}

fn shown(json: &Json) -> String {
    /// Longest JSON that is shown in full.
    const SHOWN_MAX: usize = 2_000;
    if json.len() <= SHOWN_MAX {
        return show::harmless(json.as_str());
    }
    let cut = show::short(json.as_str(), SHOWN_MAX);
    format!("{cut} ({} bytes; --json shows all)", show::count(json.len() as u64))
}

/// What happened to the job, in order.
fn timeline(job: &Job) -> Vec<String> {
    let mut lines = vec![String::new(), "timeline".to_owned()];
    let mut add =
        |instant, what: String| lines.push(format!("  {}  {what}", show::to_millis(instant)));
    add(job.created_at, "enqueued".to_owned());
    let mut before = 0;
    for attempt in &job.attempts {
        if attempt.attempt > before + 1 && before > 0 {
            let dropped = attempt.attempt - before - 1;
            add(attempt.started_at, format!("({dropped} attempts are not kept)"));
        }
        before = attempt.attempt;
        add(
            attempt.started_at,
            format!("attempt {} on worker {}", attempt.attempt, attempt.worker),
        );
        add(attempt.ended_at, format!("attempt {} {}", attempt.attempt, end_of(attempt)));
    }
    let is_last_shown = job.attempts.last().is_some_and(|last| last.attempt == job.life.attempt);
    if let (Some(started_at), false) = (job.started_at, is_last_shown) {
        let worker = job.worker.map(|worker| format!(" on worker {worker}")).unwrap_or_default();
        add(started_at, format!("attempt {}{worker}", job.life.attempt));
    }
    if let Some(finished_at) = job.finished_at {
        add(finished_at, show::state(job));
    } else if !matches!(job.state(), State::Running(_)) {
        add(job.run_at, show::state(job));
    }
    lines
}

fn end_of(attempt: &AttemptRecord) -> String {
    let ran = format_duration(attempt.ended_at.since(attempt.started_at));
    let error = attempt.error.as_ref().map(|error| {
        let first = error.message.lines().next().unwrap_or_default();
        format!(": {}", show::short(first, 100))
    });
    format!(
        "{} after {ran}{}",
        attempt.verdict.as_str().replace('_', " "),
        error.unwrap_or_default()
    )
}
