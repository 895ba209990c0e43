//! Makes the jobs of schedules when they are due. Every node may: of those that decide the same at
//! once, one is done.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{BATCH_BYTES_MAX, BATCH_MAX, DOCUMENTS_PAGE_MAX};
use taskwright_core::schedule::{self, Decision, Rule, Schedule, Skipped};
use taskwright_core::{Job, JobId, NewJob, StateName, Timestamp};
use taskwright_store::{
    Command, Document, DocumentKind, Insert, Inserted, Store, Tick, Ticked, Wanted,
};

use super::calendars;
use super::saved::Saved;
use super::spec::{ScheduleSpec, Standing};
use crate::api::{JobRequest, Start};
use crate::error::{Error, ErrorCode, Result};
use crate::ids::IdSource;
use crate::validate;

/// How often a node looks whether the job has ended that a queued instant waits for.
const QUEUED_LOOK: Duration = Duration::from_secs(2);
/// Live jobs of a schedule that are kept in mind; of more the newest.
const LIVE_MAX: usize = 100;
/// Skips that are shown.
const SKIPS_MAX: usize = 20;
/// Pages of due schedules that are looked at in one go.
const PAGES_MAX: usize = 1_000;

/// Ticks schedules.
pub(crate) struct Clerk {
    store: Arc<dyn Store>,
    ids: Arc<IdSource>,
}

/// What is to be written of a schedule, and what its jobs are.
pub(super) struct Planned {
    pub saved: Saved,
    pub wake_at: Option<Timestamp>,
    pub jobs: Vec<NewJob>,
    /// Jobs to cancel first.
    pub cancel: Vec<JobId>,
}

impl Clerk {
    pub fn new(store: Arc<dyn Store>, ids: Arc<IdSource>) -> Self {
        Clerk { store, ids }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(super) fn ids(&self) -> &IdSource {
        &self.ids
    }

    /// Ticks every schedule that is due at `now`, the store's time.
    pub async fn run(&self, now: Timestamp) -> Result<()> {
        let mut before = Vec::new();
        for _ in 0..PAGES_MAX {
            let due = self.store.documents(Wanted::Due, DOCUMENTS_PAGE_MAX).await?;
            // What stays due, others see to.
            let is_last = due.is_empty() || due == before;
            before.clone_from(&due);
            for document in due {
                if document.id.kind == DocumentKind::Schedule {
                    self.tick(document, now).await?;
                }
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// A schedule that cannot be read or decided about is set aside, with the reason: it must not
    /// hold up the others.
    async fn tick(&self, document: Document, now: Timestamp) -> Result<()> {
        let mut saved = match Saved::read(&document.id.namespace, &document.body) {
            Ok(saved) => saved,
            // A newer node knows what to do with it.
            Err(error) if error.code == ErrorCode::TooNew => return Ok(()),
            Err(_) => return self.set_aside(&document).await,
        };
        let planned = match self.plan(saved.clone(), now).await {
            Ok(planned) => planned,
            Err(error) if error.code.is_retryable() || is_over(&error) => return Err(error),
            Err(error) => {
                saved.standing.trouble = Some(error.message.into());
                let (jobs, cancel) = (Vec::new(), Vec::new());
                Planned { saved, wake_at: None, jobs, cancel }
            }
        };
        let body = planned.saved.write()?;
        if body == document.body && planned.wake_at == document.wake_at {
            return Ok(());
        }
        self.cancel(&planned).await?;
        self.write(document, planned).await
    }

    async fn set_aside(&self, document: &Document) -> Result<()> {
        let tick = Tick {
            id: document.id.clone(),
            expected: Some(document.revision),
            revision: self.ids.number()?,
            body: Some(document.body.clone()),
            wake_at: None,
            jobs: Vec::new(),
            asked: None,
        };
        self.store.tick(vec![tick]).await?;
        Ok(())
    }

    async fn plan(&self, saved: Saved, now: Timestamp) -> Result<Planned> {
        let calendars = calendars::of_schedule(&*self.store, &saved.spec).await?;
        let rule = saved.spec.rule(&calendars)?;
        let saved = Saved { standing: self.looked_at(&saved).await?, ..saved };
        planned(saved, &rule, now, schedule::decide)
    }

    /// Where the schedule stands, now that its jobs were looked at.
    pub(super) async fn looked_at(&self, saved: &Saved) -> Result<Standing> {
        let Saved { spec, standing } = saved;
        if standing.live.is_empty() && !standing.state.live {
            return Ok(standing.clone());
        }
        let jobs = self.store.get(&spec.job.namespace, &standing.live).await?;
        Ok(ended(standing.clone(), spec, &jobs))
    }

    /// Asks the jobs to stop whose place others take.
    async fn cancel(&self, planned: &Planned) -> Result<()> {
        if planned.cancel.is_empty() {
            return Ok(());
        }
        let spec = &planned.saved.spec;
        let reason: Arc<str> = "the next job of the schedule takes its place".into();
        let command = |&id: &JobId| Command::Cancel {
            namespace: spec.job.namespace.clone(),
            id,
            reason: Arc::clone(&reason),
        };
        let commands = planned.cancel.iter().map(command).collect();
        self.store.control(&spec.tag(), commands).await?;
        Ok(())
    }

    async fn write(&self, document: Document, planned: Planned) -> Result<()> {
        let Planned { mut saved, wake_at, mut jobs, .. } = planned;
        let last = last_batch(&jobs);
        // Too much for one commit: all but the last go before it. They have the ids that the
        // schedule gives, so that nobody makes them twice.
        for batch in batches(jobs.drain(..last).collect()) {
            self.store.insert(Insert { jobs: batch, partial: true }).await?;
        }
        let revision = self.ids.number()?;
        let tick = Tick {
            id: document.id.clone(),
            expected: Some(document.revision),
            revision,
            body: Some(saved.write()?),
            wake_at,
            jobs,
            asked: None,
        };
        let Some(Ticked::Done { inserted }) = self.store.tick(vec![tick.clone()]).await?.pop()
        else {
            return Ok(());
        };
        let last_job = Saved::read(&document.id.namespace, &document.body)?.standing.last_job;
        if !note_refusals(&mut saved.standing, &tick.jobs, &inserted, last_job) {
            return Ok(());
        }
        let note = Tick {
            expected: Some(revision),
            revision: self.ids.number()?,
            body: Some(saved.write()?),
            jobs: Vec::new(),
            ..tick
        };
        self.store.tick(vec![note]).await?;
        Ok(())
    }
}

/// Takes note of the jobs that have ended; those that are gone have, too.
fn ended(mut standing: Standing, spec: &ScheduleSpec, jobs: &[Option<Job>]) -> Standing {
    let mut live = Vec::new();
    for (&id, job) in standing.live.iter().zip(jobs) {
        let state = job.as_ref().map(Job::state);
        if state.is_some_and(|state| !state.is_final()) {
            live.push(id);
        } else {
            let failed = state.is_some_and(|state| state.name() == StateName::Dead);
            standing.state = standing.state.ended(&spec.policy, failed);
        }
    }
    standing.state.live = !live.is_empty();
    standing.live = live;
    standing
}

/// What follows from a decision.
pub(super) fn planned(
    saved: Saved,
    rule: &Rule,
    now: Timestamp,
    decide: impl Fn(&Schedule<'_>, &schedule::State, Timestamp) -> Decision,
) -> Result<Planned> {
    let Saved { spec, mut standing } = saved;
    let of =
        Schedule { namespace: &spec.job.namespace, name: &spec.name, rule, policy: &spec.policy };
    let decision = decide(&of, &standing.state, now);
    standing.state = decision.state;
    note_skips(&mut standing, &decision.skipped);
    let cancels = decision.ticks.iter().any(|tick| tick.cancels_last);
    let cancel = if cancels { std::mem::take(&mut standing.live) } else { Vec::new() };
    let jobs = decision.ticks.iter().map(|tick| made(&spec, tick.job, tick.run_at));
    let jobs = validate::new_jobs_of_any_number(jobs.collect(), now)?;
    if !jobs.is_empty() {
        standing.trouble = None;
    }
    standing.made += jobs.len() as u64;
    standing.live.extend(jobs.iter().map(|job| job.id));
    let over = standing.live.len().saturating_sub(LIVE_MAX);
    standing.live.drain(..over);
    standing.last_job = jobs.last().map(|job| job.id).or(standing.last_job);
    let look = standing.state.queued.map(|_| now.plus(QUEUED_LOOK));
    let wake_at = decision.wake.into_iter().chain(look).min();
    Ok(Planned { saved: Saved { spec, standing }, wake_at, jobs, cancel })
}

fn note_skips(standing: &mut Standing, skipped: &[Skipped]) {
    standing.skipped += skipped.iter().map(|skipped| skipped.instants as u64).sum::<u64>();
    standing.skips.extend(skipped);
    let over = standing.skips.len().saturating_sub(SKIPS_MAX);
    standing.skips.drain(..over);
}

/// The job of one instant.
pub(super) fn made(spec: &ScheduleSpec, id: JobId, run_at: Timestamp) -> JobRequest {
    let mut job = JobRequest { id: Some(id), start: Start::At(run_at), ..spec.job.clone() };
    job.tags.push(spec.tag());
    job
}

/// Takes back what was said of jobs that the store did not take, and says why; whether there were any.
/// `last_job` is the newest job before these.
fn note_refusals(
    standing: &mut Standing,
    jobs: &[NewJob],
    inserted: &[Inserted],
    last_job: Option<JobId>,
) -> bool {
    let is_there =
        |answer: &Inserted| matches!(answer, Inserted::New { .. } | Inserted::Existing { .. });
    let there: Vec<JobId> =
        jobs.iter().zip(inserted).filter(|(_, a)| is_there(a)).map(|(job, _)| job.id).collect();
    let refused = (jobs.len() - there.len()) as u64;
    if refused == 0 {
        return false;
    }
    let why = inserted.iter().find_map(|answer| match answer {
        Inserted::Refused(refusal) => Some(refusal.to_string()),
        Inserted::Duplicate { id, .. } => Some(format!("job {id} holds its unique key")),
        _ => None,
    });
    standing.trouble = why.map(|why| format!("a job was not made: {why}").into());
    standing.made = standing.made.saturating_sub(refused);
    standing.refused += refused;
    standing.live.retain(|id| there.contains(id) || jobs.iter().all(|job| job.id != *id));
    standing.state.live = !standing.live.is_empty();
    standing.last_job = there.last().copied().or(last_job);
    true
}

/// Where the last batch that fits into one commit begins.
fn last_batch(jobs: &[NewJob]) -> usize {
    let mut bytes = 0;
    let fits = jobs.iter().rev().take(BATCH_MAX).take_while(|job| {
        bytes += job.args.len();
        bytes <= BATCH_BYTES_MAX / 2
    });
    jobs.len() - fits.count()
}

fn batches(mut jobs: Vec<NewJob>) -> Vec<Vec<NewJob>> {
    let mut batches = Vec::new();
    while !jobs.is_empty() {
        let last = jobs.split_off(last_batch(&jobs));
        batches.insert(0, last);
    }
    batches
}

fn is_over(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Closed | ErrorCode::Stopped | ErrorCode::Corrupt)
}

#[cfg(test)]
#[path = "tests/clerk.rs"]
mod tests;
