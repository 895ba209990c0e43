//! What can be done with schedules and calendars.

use async_trait::async_trait;
use taskwright_core::{JobId, Name, Timestamp};
use tokio::time::Instant;

use super::spec::{Backfilled, ScheduleChange, ScheduleSpec, ScheduleView};
use crate::engine::Engine;
use crate::error::Result;

/// The operations on schedules and calendars; part of `Api`.
#[async_trait]
pub trait Scheduling: Send + Sync {
    /// One page of the schedules of a namespace, by name, after this name; at most
    /// `limits::DOCUMENTS_PAGE_MAX`.
    async fn schedules(
        &self,
        namespace: &Name,
        after: Option<Name>,
        limit: usize,
    ) -> Result<Vec<ScheduleView>>;
    /// One schedule.
    async fn schedule(&self, namespace: &Name, name: &Name) -> Result<Option<ScheduleView>>;
    /// Makes a schedule, or changes it to this one, in the namespace of its job. It keeps its pause,
    /// its counts and its live jobs; instants up to now that were not made yet never are.
    async fn set_schedule(&self, actor: &str, spec: ScheduleSpec) -> Result<ScheduleChange>;
    /// Removes a schedule; its jobs stay. `false`: there was none.
    async fn remove_schedule(&self, actor: &str, namespace: &Name, name: &Name) -> Result<bool>;
    /// Makes no more jobs of a schedule until it is resumed; what is due meanwhile is skipped.
    async fn pause_schedule(&self, actor: &str, namespace: &Name, name: &Name) -> Result<()>;
    /// Lets a paused schedule go on from now.
    async fn resume_schedule(&self, actor: &str, namespace: &Name, name: &Name) -> Result<()>;
    /// Makes a job of a schedule now, which belongs to no instant.
    async fn trigger(&self, namespace: &Name, name: &Name) -> Result<JobId>;
    /// Makes the jobs of the instants after `from` up to `to`, which is over, whatever the policies
    /// say: the first `max` of them, at most `limits::BATCH_MAX`. What was made is not made again.
    async fn backfill(
        &self,
        namespace: &Name,
        name: &Name,
        from: Timestamp,
        to: Timestamp,
        max: usize,
    ) -> Result<Backfilled>;
    /// The instants of a schedule as it is written, after `from` (default: now), the first `max` of
    /// them, at most `limits::TICKS_MAX`. Nothing is kept.
    async fn preview(
        &self,
        spec: &ScheduleSpec,
        from: Option<Timestamp>,
        max: usize,
    ) -> Result<Vec<Timestamp>>;
    /// The names of the calendars of a namespace.
    async fn calendars(&self, namespace: &Name) -> Result<Vec<Name>>;
    /// Loads a calendar from a text (dates, or iCalendar), or takes it away; one that a schedule
    /// names cannot be taken away.
    async fn set_calendar(
        &self,
        actor: &str,
        namespace: &Name,
        name: &Name,
        text: Option<&str>,
    ) -> Result<()>;
}

#[async_trait]
impl Scheduling for Engine {
    async fn schedules(
        &self,
        namespace: &Name,
        after: Option<Name>,
        limit: usize,
    ) -> Result<Vec<ScheduleView>> {
        self.clerk.list(namespace, after, limit).await
    }

    async fn schedule(&self, namespace: &Name, name: &Name) -> Result<Option<ScheduleView>> {
        self.clerk.get(namespace, name).await
    }

    async fn set_schedule(&self, actor: &str, spec: ScheduleSpec) -> Result<ScheduleChange> {
        let change = self.clerk.set(actor, spec).await?;
        // The next instant may be sooner than the next sweep.
        self.due.by(Instant::now());
        Ok(change)
    }

    async fn remove_schedule(&self, actor: &str, namespace: &Name, name: &Name) -> Result<bool> {
        self.clerk.remove(actor, namespace, name).await
    }

    async fn pause_schedule(&self, actor: &str, namespace: &Name, name: &Name) -> Result<()> {
        self.clerk.pause(actor, namespace, name).await
    }

    async fn resume_schedule(&self, actor: &str, namespace: &Name, name: &Name) -> Result<()> {
        self.clerk.resume(actor, namespace, name).await?;
        self.due.by(Instant::now());
        Ok(())
    }

    async fn trigger(&self, namespace: &Name, name: &Name) -> Result<JobId> {
        self.clerk.trigger(namespace, name).await
    }

    async fn backfill(
        &self,
        namespace: &Name,
        name: &Name,
        from: Timestamp,
        to: Timestamp,
        max: usize,
    ) -> Result<Backfilled> {
        self.clerk.backfill(namespace, name, (from, to), max).await
    }

    async fn preview(
        &self,
        spec: &ScheduleSpec,
        from: Option<Timestamp>,
        max: usize,
    ) -> Result<Vec<Timestamp>> {
        spec.check()?;
        let from = match from {
            Some(from) => from,
            None => self.now().await?,
        };
        self.clerk.preview(spec, from, max).await
    }

    async fn calendars(&self, namespace: &Name) -> Result<Vec<Name>> {
        self.clerk.calendars(namespace).await
    }

    async fn set_calendar(
        &self,
        actor: &str,
        namespace: &Name,
        name: &Name,
        text: Option<&str>,
    ) -> Result<()> {
        self.clerk.set_calendar(actor, namespace, name, text).await?;
        self.due.by(Instant::now());
        Ok(())
    }
}
