//! Commands about many jobs: given by id, or all in one state of a queue.

use std::io::{BufRead, stdin};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use taskwright::Taskwright;
use taskwright_core::limits::BATCH_MAX;
use taskwright_core::{JobId, Name, Rate, StateName};
use taskwright_store::{Command, Controlled};
use tokio::time::Instant;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::{connect, show};

/// Between two calls where it is done at a rate.
const PACE_EVERY: Duration = Duration::from_millis(100);

/// Which jobs are meant.
#[derive(Debug, Args)]
pub struct Chosen {
    /// The jobs; - reads ids from standard input, one a line
    #[arg(value_name = "ID", required_unless_present = "queue")]
    ids: Vec<String>,
    /// All jobs of this queue instead
    #[arg(long, short, value_name = "NAME", conflicts_with = "ids")]
    queue: Option<Name>,
    /// With --queue: only of this task
    #[arg(long, short, value_name = "NAME", requires = "queue")]
    task: Option<Name>,
    /// With --queue: only with this tag
    #[arg(long, value_name = "WORD", requires = "queue")]
    tag: Option<String>,
}

/// What is done, in words.
pub struct Wording {
    /// `cancel`
    pub verb: &'static str,
    /// `cancelled`
    pub done: &'static str,
    /// The states of jobs that it is meant for, where a queue is named.
    pub states: &'static [StateName],
}

/// Does it to all of them, in batches; one line each where they were named.
pub async fn run(
    global: &Global,
    chosen: Chosen,
    wording: &Wording,
    command: impl Fn(Name, JobId) -> Command,
) -> Result<Exit> {
    let app = connect::connect(global).await?;
    run_with(global, app, chosen, wording, None, command).await
}

/// The same over a connection that is there already.
pub async fn run_with(
    global: &Global,
    app: Taskwright,
    chosen: Chosen,
    wording: &Wording,
    rate: Option<Rate>,
    command: impl Fn(Name, JobId) -> Command,
) -> Result<Exit> {
    let is_named = chosen.queue.is_none();
    let ids = if is_named { named(&chosen.ids)? } else { of_queue(&app, &chosen, wording).await? };
    let mut done = 0;
    let mut failed = 0;
    let pace = rate.map(Pace::of);
    let began = Instant::now();
    for batch in ids.chunks(pace.as_ref().map_or(BATCH_MAX, Pace::batch)) {
        if let Some(pace) = &pace {
            tokio::time::sleep_until(began + pace.after(done + failed)).await;
        }
        let commands = batch.iter().map(|&id| command(global.namespace.clone(), id)).collect();
        let answers = app.api().control(&connect::actor(), commands).await?;
        for (&id, answer) in batch.iter().zip(&answers) {
            let succeeded = matches!(answer, Controlled::Done { .. });
            if succeeded {
                done += 1
            } else {
                failed += 1
            }
            // Those of a queue that ended meanwhile need no word.
            if global.json || (is_named && (!succeeded || is_noteworthy(answer))) {
                tell(global, wording, id, answer)?;
            }
        }
    }
    app.close().await?;
    if !global.json {
        show::print(format_args!("{} {}.", show::counted(done, "job"), wording.done))?;
    }
    Ok(if is_named && failed > 0 { Exit::Failed } else { Exit::Done })
}

/// How fast it is done to one after another.
struct Pace {
    /// The time that one job takes up.
    each: Duration,
}

impl Pace {
    fn of(rate: Rate) -> Pace {
        Pace { each: Duration::from_millis(rate.period_ms) / rate.count.max(1) }
    }

    /// So many at once that a call is made about ten times a second.
    fn batch(&self) -> usize {
        let batch = PACE_EVERY.as_nanos() / self.each.as_nanos().max(1);
        usize::try_from(batch).unwrap_or(BATCH_MAX).clamp(1, BATCH_MAX)
    }

    /// When it is the turn of the next, after so many.
    fn after(&self, done: u64) -> Duration {
        self.each.saturating_mul(u32::try_from(done).unwrap_or(u32::MAX))
    }
}

fn named(words: &[String]) -> Result<Vec<JobId>> {
    if words != ["-"] {
        return words.iter().map(|word| Ok(word.parse()?)).collect();
    }
    let mut ids = Vec::new();
    for line in stdin().lock().lines() {
        let line = line.context("cannot read ids from standard input")?;
        if !line.trim().is_empty() {
            ids.push(line.trim().parse()?);
        }
    }
    if ids.is_empty() {
        bail!("standard input had no job ids");
    }
    Ok(ids)
}

async fn of_queue(app: &Taskwright, chosen: &Chosen, wording: &Wording) -> Result<Vec<JobId>> {
    let mut ids = Vec::new();
    for &state in wording.states {
        let mut filter = app.filter();
        filter.queue = chosen.queue.clone();
        filter.task = chosen.task.clone();
        filter.tag = chosen.tag.as_deref().map(Into::into);
        filter.state = Some(state);
        filter.limit = taskwright_core::limits::PAGE_MAX;
        loop {
            let page = app.list(filter.clone()).await?;
            ids.extend(page.jobs.iter().map(|job| job.id));
            filter.before = page.next;
            if page.next.is_none() {
                break;
            }
        }
    }
    Ok(ids)
}

/// Whether a success is not what the word says: a running job is only asked to stop.
fn is_noteworthy(answer: &Controlled) -> bool {
    matches!(answer, Controlled::Done { state: Some(StateName::Running) })
}

fn tell(global: &Global, wording: &Wording, id: JobId, answer: &Controlled) -> Result<()> {
    if global.json {
        let line = match answer {
            Controlled::Done { state } => {
                json!({"id": id.to_string(), "done": true, "state": state.map(StateName::as_str)})
            }
            Controlled::NotFound => {
                json!({"id": id.to_string(), "done": false, "reason": "not_found"})
            }
            Controlled::PoliciesFull { max } => json!({
                "id": id.to_string(), "done": false, "reason": "policies_full", "max": max
            }),
            Controlled::Taken { holder } => json!({
                "id": id.to_string(), "done": false, "reason": "taken", "holder": holder.to_string()
            }),
            Controlled::Refused { state } => json!({
                "id": id.to_string(), "done": false, "reason": "refused", "state": state.as_str()
            }),
        };
        show::print(line)?;
        return Ok(());
    }
    let verb = wording.verb;
    match answer {
        Controlled::Done { .. } => {
            eprintln!("Job {id} is running; its worker is told with its next heartbeat.");
        }
        Controlled::NotFound => {
            eprintln!("taskwright: cannot {verb} job {id}: there is no such job")
        }
        Controlled::PoliciesFull { max } => {
            eprintln!("taskwright: cannot {verb} job {id}: there are {max} policies");
        }
        Controlled::Taken { holder } => {
            eprintln!("taskwright: cannot {verb} job {id}: job {holder} holds its unique key");
        }
        Controlled::Refused { state } => {
            eprintln!("taskwright: cannot {verb} job {id}: it is {}", state.as_str());
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "../tests/batch.rs"]
mod tests;
