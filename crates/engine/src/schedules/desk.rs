//! What people do with schedules and calendars.

use taskwright_core::limits::{self, BATCH_MAX, DOCUMENT_BYTES_MAX, DOCUMENTS_PAGE_MAX, check};
use taskwright_core::schedule::{self, PausedBy, Rule, Schedule, State};
use taskwright_core::{JobId, Json, Name, NewJob, Timestamp};
use taskwright_store::{
    Asked, Document, DocumentId, DocumentKind, Insert, Inserted, Tick, Ticked, Wanted,
};

use super::calendars;
use super::clerk::{Clerk, made, planned};
use super::saved::Saved;
use super::spec::{Backfilled, ScheduleChange, ScheduleSpec, ScheduleView, Standing};
use crate::api::{JobRequest, Start};
use crate::error::{Error, ErrorCode, Result};
use crate::validate;

/// How often a change is tried again because others change the same schedule.
const ATTEMPTS_MAX: usize = 16;
/// Room in a document for where the schedule stands.
const STANDING_BYTES: usize = 64 * 1024;

/// What is to become of a document: its body and when a node looks at it, with jobs.
struct Revised {
    body: Option<Json>,
    wake_at: Option<Timestamp>,
    jobs: Vec<NewJob>,
}

fn schedule_id(namespace: &Name, name: &Name) -> DocumentId {
    DocumentId { namespace: namespace.clone(), kind: DocumentKind::Schedule, name: name.clone() }
}

fn unknown(what: &str, name: &Name) -> Error {
    let message = format!("there is no {what} {name}; `taskwright {what}s` lists what there is");
    Error::new(ErrorCode::NotFound, message)
}

fn view(document: &Document) -> Result<ScheduleView> {
    let Saved { spec, standing } = Saved::read(&document.id.namespace, &document.body)?;
    Ok(ScheduleView { spec, standing, next_at: document.wake_at })
}

impl Clerk {
    pub async fn list(
        &self,
        namespace: &Name,
        after: Option<Name>,
        limit: usize,
    ) -> Result<Vec<ScheduleView>> {
        let wanted = Wanted::Of(namespace.clone(), DocumentKind::Schedule, after);
        let limit = limit.clamp(1, DOCUMENTS_PAGE_MAX);
        self.store().documents(wanted, limit).await?.iter().map(view).collect()
    }

    pub async fn get(&self, namespace: &Name, name: &Name) -> Result<Option<ScheduleView>> {
        self.document(schedule_id(namespace, name)).await?.as_ref().map(view).transpose()
    }

    /// Makes a schedule, or changes it to this one; it keeps where it stands.
    pub async fn set(&self, actor: &str, spec: ScheduleSpec) -> Result<ScheduleChange> {
        spec.check()?;
        let rule = self.rule_of(&spec).await?;
        let text = Saved::spec_text(&spec)?;
        check("it, written down,", text.len(), DOCUMENT_BYTES_MAX - STANDING_BYTES, "bytes")
            .map_err(|over| Error { code: ErrorCode::OverLimit, ..spec.fault(over) })?;
        let id = schedule_id(&spec.job.namespace, &spec.name);
        let mut change = ScheduleChange::Unchanged;
        self.revise(actor, "set", id, |document, now| {
            let before =
                document.and_then(|found| Saved::read(&found.id.namespace, &found.body).ok());
            change = match (document, &before) {
                (None, _) => ScheduleChange::Created,
                (Some(_), Some(before)) if Saved::spec_text(&before.spec)? == text => {
                    change = ScheduleChange::Unchanged;
                    return Ok(None);
                }
                _ => ScheduleChange::Changed,
            };
            let standing = match before {
                Some(Saved { standing, .. }) => Standing {
                    state: State { last: now, queued: None, ..standing.state },
                    trouble: None,
                    ..standing
                },
                None => Standing::new(now),
            };
            let wake_at = match standing.state.paused {
                None => rule.next_after(now),
                Some(_) => None,
            };
            let body = Saved { spec: spec.clone(), standing }.write()?;
            Ok(Some(Revised { body: Some(body), wake_at, jobs: Vec::new() }))
        })
        .await?;
        Ok(change)
    }

    /// Removes a schedule; the jobs it made stay. `false`: there was none.
    pub async fn remove(&self, actor: &str, namespace: &Name, name: &Name) -> Result<bool> {
        let mut found = false;
        self.revise(actor, "remove", schedule_id(namespace, name), |document, _| {
            found |= document.is_some();
            let gone = Revised { body: None, wake_at: None, jobs: Vec::new() };
            Ok(document.map(|_| gone))
        })
        .await?;
        Ok(found)
    }

    /// Makes no more jobs of a schedule, until it is resumed.
    pub async fn pause(&self, actor: &str, namespace: &Name, name: &Name) -> Result<()> {
        self.revise(actor, "pause", schedule_id(namespace, name), |document, _| {
            let mut saved = self.read(document, name)?;
            if saved.standing.state.paused == Some(PausedBy::Operator) {
                return Ok(None);
            }
            saved.standing.state.paused = Some(PausedBy::Operator);
            Ok(Some(Revised { body: Some(saved.write()?), wake_at: None, jobs: Vec::new() }))
        })
        .await
    }

    /// Lets a paused schedule go on. What was due meanwhile is skipped.
    pub async fn resume(&self, actor: &str, namespace: &Name, name: &Name) -> Result<()> {
        let view = self.get(namespace, name).await?.ok_or_else(|| unknown("schedule", name))?;
        let rule = self.rule_of(&view.spec).await?;
        let seen = Saved { spec: view.spec, standing: view.standing };
        let standing = self.looked_at(&seen).await?;
        self.revise(actor, "resume", schedule_id(namespace, name), |document, now| {
            let mut saved = self.read(document, name)?;
            if saved.standing.state.paused.is_none() {
                return Ok(None);
            }
            if saved.standing == seen.standing {
                saved.standing = standing.clone();
            }
            let planned = planned(saved, &rule, now, schedule::resume)?;
            let body = Some(planned.saved.write()?);
            Ok(Some(Revised { body, wake_at: planned.wake_at, jobs: planned.jobs }))
        })
        .await
    }

    /// Makes a job of the schedule now, which belongs to no instant.
    pub async fn trigger(&self, namespace: &Name, name: &Name) -> Result<JobId> {
        let view = self.get(namespace, name).await?.ok_or_else(|| unknown("schedule", name))?;
        let id = self.ids().job_id()?;
        let job = JobRequest { start: Start::Now, ..made(&view.spec, id, Timestamp::ZERO) };
        let jobs = validate::new_jobs(vec![job], Timestamp::ZERO)?;
        match self.store().insert(Insert { jobs, partial: false }).await?.pop() {
            Some(Inserted::Duplicate { id, .. }) => Ok(id),
            Some(Inserted::Refused(refusal)) => Err(crate::engine::refused(refusal)),
            _ => Ok(id),
        }
    }

    /// Makes the jobs of the instants after `from` up to `to`, at most so many, whatever the policy
    /// says; those that were made already are not made again.
    pub async fn backfill(
        &self,
        namespace: &Name,
        name: &Name,
        (from, to): (Timestamp, Timestamp),
        max: usize,
    ) -> Result<Backfilled> {
        let view = self.get(namespace, name).await?.ok_or_else(|| unknown("schedule", name))?;
        let now = self.store().now().await?;
        if to > now {
            let message = format!(
                "cannot backfill the schedule {name} up to {to}, which is not over yet; give an instant up to now"
            );
            return Err(Error::new(ErrorCode::Invalid, message));
        }
        let rule = self.rule_of(&view.spec).await?;
        let spec = &view.spec;
        let of = Schedule { namespace, name, rule: &rule, policy: &spec.policy };
        let room = (limits::BATCH_BYTES_MAX / spec.job.args.len().max(1)).clamp(1, BATCH_MAX);
        let max = max.clamp(1, room);
        let ticks = schedule::backfill(&of, from, to, max);
        let until = ticks.last().map(|tick| tick.instant).filter(|_| ticks.len() == max);
        let jobs = ticks.iter().map(|tick| made(spec, tick.job, tick.run_at)).collect();
        let jobs = validate::new_jobs(jobs, now)?;
        let answers = self.store().insert(Insert { jobs, partial: true }).await?;
        let made = answers.iter().filter(|answer| matches!(answer, Inserted::New { .. })).count();
        for answer in &answers {
            if let Inserted::Refused(refusal) = answer {
                return Err(crate::engine::refused(refusal.clone()));
            }
        }
        Ok(Backfilled { made, existing: answers.len() - made, until })
    }

    /// The next instants of a schedule as it is written, after `from`: at most so many.
    pub async fn preview(
        &self,
        spec: &ScheduleSpec,
        from: Timestamp,
        max: usize,
    ) -> Result<Vec<Timestamp>> {
        let rule = self.rule_of(spec).await?;
        let mut instants = Vec::new();
        let mut after = from;
        while instants.len() < max.min(limits::TICKS_MAX)
            && let Some(next) = rule.next_after(after)
        {
            instants.push(next);
            after = next;
        }
        Ok(instants)
    }

    pub async fn calendars(&self, namespace: &Name) -> Result<Vec<Name>> {
        let mut names: Vec<Name> = Vec::new();
        loop {
            let after = names.last().cloned();
            let wanted = Wanted::Of(namespace.clone(), DocumentKind::Calendar, after);
            let page = self.store().documents(wanted, DOCUMENTS_PAGE_MAX).await?;
            let is_last = page.len() < DOCUMENTS_PAGE_MAX;
            names.extend(page.into_iter().map(|document| document.id.name));
            if is_last {
                return Ok(names);
            }
        }
    }

    /// Loads a calendar, or takes it away; one that schedules name stays.
    pub async fn set_calendar(
        &self,
        actor: &str,
        namespace: &Name,
        name: &Name,
        text: Option<&str>,
    ) -> Result<()> {
        let body = text.map(|text| calendars::body(name, text)).transpose()?;
        if body.is_none() {
            self.refuse_if_named(namespace, name).await?;
        }
        let action = if body.is_some() { "load" } else { "remove" };
        let id = calendars::calendar_id(namespace, name);
        self.revise(actor, action, id, |document, _| {
            let is_same = document.map(|found| &found.body) == body.as_ref();
            if document.is_none() && body.is_none() {
                return Err(unknown("calendar", name));
            }
            let revised = Revised { body: body.clone(), wake_at: None, jobs: Vec::new() };
            Ok((!is_same).then_some(revised))
        })
        .await?;
        self.wake_those_that_name(actor, namespace, name).await
    }

    async fn refuse_if_named(&self, namespace: &Name, calendar: &Name) -> Result<()> {
        match self.naming(namespace, calendar).await?.first() {
            None => Ok(()),
            Some(view) => {
                let message = format!(
                    "cannot remove the calendar {calendar}: the schedule {} names it; change that first",
                    view.spec.name
                );
                Err(Error::new(ErrorCode::Conflict, message))
            }
        }
    }

    /// With other days, other instants may be next.
    async fn wake_those_that_name(
        &self,
        actor: &str,
        namespace: &Name,
        calendar: &Name,
    ) -> Result<()> {
        for view in self.naming(namespace, calendar).await? {
            let name = &view.spec.name;
            self.revise(actor, "wake", schedule_id(namespace, name), |document, now| {
                let is_paused = |found: &Document| {
                    Saved::read(&found.id.namespace, &found.body)
                        .is_ok_and(|saved| saved.standing.state.paused.is_some())
                };
                Ok(document.filter(|found| !is_paused(found)).map(|found| Revised {
                    body: Some(found.body.clone()),
                    wake_at: Some(now),
                    jobs: Vec::new(),
                }))
            })
            .await?;
        }
        Ok(())
    }

    async fn naming(&self, namespace: &Name, calendar: &Name) -> Result<Vec<ScheduleView>> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.list(namespace, after, DOCUMENTS_PAGE_MAX).await?;
            let is_last = page.len() < DOCUMENTS_PAGE_MAX;
            after = page.last().map(|view| view.spec.name.clone());
            found.extend(page.into_iter().filter(|view| view.spec.exclude.contains(calendar)));
            if is_last {
                return Ok(found);
            }
        }
    }

    async fn rule_of(&self, spec: &ScheduleSpec) -> Result<Rule> {
        let calendars = calendars::of_schedule(self.store(), spec).await?;
        spec.rule(&calendars)
    }

    fn read(&self, document: Option<&Document>, name: &Name) -> Result<Saved> {
        let document = document.ok_or_else(|| unknown("schedule", name))?;
        Saved::read(&document.id.namespace, &document.body)
    }

    async fn document(&self, id: DocumentId) -> Result<Option<Document>> {
        Ok(self.store().documents(Wanted::One(id), 1).await?.pop())
    }

    /// Changes a document as `change` says of it at the store's time, again where somebody else was
    /// faster; `None` leaves it as it is.
    async fn revise(
        &self,
        actor: &str,
        action: &str,
        id: DocumentId,
        mut change: impl FnMut(Option<&Document>, Timestamp) -> Result<Option<Revised>>,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            let found = self.document(id.clone()).await?;
            let now = self.store().now().await?;
            let Some(Revised { body, wake_at, jobs }) = change(found.as_ref(), now)? else {
                return Ok(());
            };
            let action = format!("{action} {} {} {}", id.kind.as_str(), id.namespace, id.name);
            let tick = Tick {
                id: id.clone(),
                expected: found.map(|document| document.revision),
                revision: self.ids().number()?,
                body,
                wake_at,
                jobs,
                asked: Some(Asked { actor: actor.into(), action: action.into() }),
            };
            match self.store().tick(vec![tick]).await?.pop() {
                Some(Ticked::Done { .. } | Ticked::Already) => return Ok(()),
                Some(Ticked::Full { max }) => {
                    let kind = id.kind.as_str();
                    let message =
                        format!("there are {max} {kind}s, the most there can be; remove some");
                    return Err(Error::new(ErrorCode::OverLimit, message));
                }
                _ => {}
            }
        }
        let message = format!(
            "the {} {} is changed by others all the time; try again",
            id.kind.as_str(),
            id.name
        );
        Err(Error::new(ErrorCode::Busy, message))
    }
}
