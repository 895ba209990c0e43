//! Prints what became of inputs, in their order or as they come. It believes only the store: what
//! is printed is durable.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use taskwright::Taskwright;
use taskwright_core::{Job, JobId, StateName, WorkerId};
use taskwright_store::{Events, Heard};
use tokio::sync::watch;

use super::console::Console;
use super::cost::Costs;
use super::input::{Output, field, input_of, shown};
use super::roster::{Grown, Roster};
use crate::matrix::Cost;
use crate::show;

/// Jobs that are looked at together; each may hold an output of 1 MiB.
const TOGETHER: usize = 32;
/// How long one wait for a job lasts.
const WAIT: Duration = Duration::from_secs(20);
/// How often the jobs are looked through for ends that nobody told of.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Prints what became of inputs.
pub struct Printer {
    /// The run's store.
    pub app: Taskwright,
    /// Its jobs.
    pub roster: Roster,
    /// The worker of this life; what others did comes from earlier lives.
    pub worker: WorkerId,
    /// Where to print.
    pub console: Console,
    /// What things cost; earlier lives are added.
    pub costs: Costs,
    /// Whether JSON is wanted.
    pub is_json: bool,
}

impl Printer {
    /// Prints everything in the order of inputs; returns when there is nothing more to print.
    pub async fn in_order(&self) -> Result<()> {
        let mut grown = self.roster.grown();
        let mut next = 0;
        // Grows while outputs lie ready, so that none is read again and again while one is awaited.
        let mut together = 1;
        loop {
            let ids = self.roster.ids(next, together);
            let Some(&head) = ids.first() else {
                if is_at_end(&mut grown, next).await {
                    return Ok(());
                }
                continue;
            };
            let jobs = self.app.api().get(self.app.namespace(), &ids).await?;
            let ended = jobs.iter().take_while(|job| job.as_ref().is_none_or(has_ended)).count();
            for (id, job) in ids.iter().zip(jobs).take(ended) {
                self.print(next, *id, job)?;
                next += 1;
            }
            together = if ended == ids.len() { (2 * together).min(TOGETHER) } else { 1 };
            if ended == 0 {
                self.app.api().wait(self.app.namespace(), head, WAIT).await?;
            }
        }
    }

    /// Prints everything as it comes; returns when there is nothing more to print.
    pub async fn as_they_come(&self) -> Result<()> {
        let mut events = self.app.events().ok();
        let mut grown = self.roster.grown();
        let mut printed = Printed::default();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let size = *grown.borrow_and_update();
            if size.is_complete && printed.count == size.jobs {
                return Ok(());
            }
            tokio::select! {
                ended = ended_jobs(&mut events) => match ended {
                    Some(ids) => self.print_new(&ids, &mut printed).await?,
                    None => self.look_through(&mut printed).await?,
                },
                _ = look.tick() => self.look_through(&mut printed).await?,
                // An error means that it cannot grow any more.
                _ = grown.changed() => {}
            }
        }
    }

    async fn look_through(&self, printed: &mut Printed) -> Result<()> {
        let mut from = printed.all_before;
        loop {
            let ids = self.roster.ids(from, TOGETHER);
            if ids.is_empty() {
                return Ok(());
            }
            from += ids.len();
            self.print_new(&ids, printed).await?;
        }
    }

    /// Prints those of the jobs that have ended and were not printed before.
    async fn print_new(&self, ids: &[JobId], printed: &mut Printed) -> Result<()> {
        let is_new = |id: &JobId| self.roster.position(*id).is_some_and(|at| !printed.has(at));
        let ids: Vec<JobId> = ids.iter().copied().filter(is_new).collect();
        for ids in ids.chunks(TOGETHER) {
            let jobs = self.app.api().get(self.app.namespace(), ids).await?;
            for (id, job) in ids.iter().zip(jobs) {
                if let Some(position) = self.roster.position(*id)
                    && job.as_ref().is_none_or(has_ended)
                    && printed.add(position)
                {
                    self.print(position, *id, job)?;
                }
            }
        }
        Ok(())
    }

    fn print(&self, position: usize, id: JobId, job: Option<Job>) -> Result<()> {
        let Some(job) = job else {
            self.console.complain(format_args!("job {id} is gone: somebody deleted it"));
            return Ok(());
        };
        let input = job.args.as_ref().map(input_of).transpose()?.unwrap_or_default();
        let output = job.result.as_ref().map(Output::of).transpose();
        let output = output.with_context(|| format!("cannot read the result of job {id}"))?;
        if let Some(output) = output.as_ref().filter(|_| job.worker != Some(self.worker)) {
            let time = |millis: f64| Duration::from_secs_f64(millis.clamp(0.0, 1e12) / 1e3);
            let cost = Cost::of(time(output.waiting_ms), time(output.running_ms));
            self.costs.add(id, &shown(&input), output.worker.saturating_sub(1), cost);
        }
        if self.is_json {
            let line = line(position, &input, &job, output.as_ref());
            return Ok(self.console.print(format!("{line}\n").as_bytes())?);
        }
        match output {
            Some(output) => Ok(self.console.print(&output.printed()?)?),
            None => {
                self.console.complain(failure(&input, &job));
                Ok(())
            }
        }
    }
}

/// Which jobs were printed.
#[derive(Default)]
struct Printed {
    flags: Vec<bool>,
    /// Those at all places before this.
    all_before: usize,
    count: usize,
}

impl Printed {
    fn has(&self, position: usize) -> bool {
        self.flags.get(position).copied().unwrap_or(false)
    }

    /// Whether it is new.
    fn add(&mut self, position: usize) -> bool {
        if self.has(position) {
            return false;
        }
        if self.flags.len() <= position {
            self.flags.resize(position + 1, false);
        }
        self.flags[position] = true;
        self.count += 1;
        while self.has(self.all_before) {
            self.all_before += 1;
        }
        true
    }
}

/// Whether there is nothing from this place on, and never will be. Waits until there is a change.
async fn is_at_end(grown: &mut watch::Receiver<Grown>, next: usize) -> bool {
    let is_decided = |grown: &Grown| grown.is_complete || grown.jobs > next;
    match grown.wait_for(is_decided).await {
        Ok(grown) => grown.jobs <= next,
        // Whoever could make it grow is gone.
        Err(_) => true,
    }
}

fn has_ended(job: &Job) -> bool {
    job.state().name().is_final()
}

/// The jobs that have just ended; `None` where some were missed.
async fn ended_jobs(events: &mut Option<Events>) -> Option<Vec<JobId>> {
    let Some(heard) = events else { return std::future::pending().await };
    match heard.next().await {
        Heard::Events(heard) => {
            let ended = heard.iter().filter(|event| event.state.is_final());
            Some(ended.map(|event| event.id).collect())
        }
        Heard::Missed => None,
        Heard::Closed => {
            *events = None;
            None
        }
    }
}

/// What became of an input, as JSON.
fn line(position: usize, input: &[u8], job: &Job, output: Option<&Output>) -> serde_json::Value {
    let (name, input) = field(input);
    let mut line = json!({
        "index": position,
        name: input,
        "id": job.id.to_string(),
        "state": job.state().name().as_str(),
        "attempt": job.life.attempt,
    });
    if let Some(output) = output {
        let (name, printed) = output.field();
        line[name] = json!(printed);
        line["worker"] = json!(output.worker);
        line["waiting_ms"] = json!(output.waiting_ms);
        line["running_ms"] = json!(output.running_ms);
    }
    if let Some(error) = job.error.as_ref().filter(|_| output.is_none()) {
        line["error"] = json!({"kind": &*error.kind, "message": &*error.message});
    }
    line
}

/// That an input did not complete, in words.
fn failure(input: &[u8], job: &Job) -> String {
    let input = shown(input);
    let attempts = show::counted(job.life.attempt.into(), "attempt");
    match (job.state().name(), &job.error) {
        (StateName::Dead, Some(error)) => {
            format!("{input}: failed after {attempts}: {}", show::harmless(&error.message))
        }
        (state, _) => format!("{input}: {} after {attempts}", state.as_str()),
    }
}

#[cfg(test)]
#[path = "tests/print.rs"]
mod tests;
