//! Schedules and calendars of a server.

use async_trait::async_trait;
use taskwright_core::{JobId, Name, Timestamp};
use taskwright_engine::{
    Backfilled, Result, ScheduleChange, ScheduleSpec, ScheduleView, Scheduling,
};

use crate::operation::Operation;
use crate::remote::{RemoteApi, Transport};
use crate::schedules::{self, Answer, Ask, Look, told};

impl<T: Transport> RemoteApi<T> {
    async fn ask(&self, namespace: &Name, ask: Ask) -> Result<Answer> {
        let body = schedules::encode(namespace, &ask);
        schedules::decode_answer(&self.call(Operation::Schedule, body).await?)
    }
}

#[async_trait]
impl<T: Transport> Scheduling for RemoteApi<T> {
    async fn schedules(
        &self,
        namespace: &Name,
        after: Option<Name>,
        limit: usize,
    ) -> Result<Vec<ScheduleView>> {
        let look = Look { namespace: namespace.clone(), name: None, after, limit };
        let reply = self.call(Operation::Schedules, schedules::encode_look(&look)).await?;
        schedules::decode_views(&reply, namespace)
    }

    async fn schedule(&self, namespace: &Name, name: &Name) -> Result<Option<ScheduleView>> {
        let name = Some(name.clone());
        let look = Look { namespace: namespace.clone(), name, after: None, limit: 1 };
        let reply = self.call(Operation::Schedules, schedules::encode_look(&look)).await?;
        Ok(schedules::decode_views(&reply, namespace)?.pop())
    }

    async fn set_schedule(&self, _actor: &str, spec: ScheduleSpec) -> Result<ScheduleChange> {
        let namespace = spec.job.namespace.clone();
        told(self.ask(&namespace, Ask::Set(Box::new(spec))).await?.change)
    }

    async fn remove_schedule(&self, _actor: &str, namespace: &Name, name: &Name) -> Result<bool> {
        told(self.ask(namespace, Ask::Remove(name.clone())).await?.removed)
    }

    async fn pause_schedule(&self, _actor: &str, namespace: &Name, name: &Name) -> Result<()> {
        self.ask(namespace, Ask::Pause(name.clone())).await.map(drop)
    }

    async fn resume_schedule(&self, _actor: &str, namespace: &Name, name: &Name) -> Result<()> {
        self.ask(namespace, Ask::Resume(name.clone())).await.map(drop)
    }

    async fn trigger(&self, namespace: &Name, name: &Name) -> Result<JobId> {
        told(self.ask(namespace, Ask::Trigger(name.clone())).await?.id)
    }

    async fn backfill(
        &self,
        namespace: &Name,
        name: &Name,
        from: Timestamp,
        to: Timestamp,
        max: usize,
    ) -> Result<Backfilled> {
        let ask = Ask::Backfill { name: name.clone(), from, to, max };
        told(self.ask(namespace, ask).await?.backfilled)
    }

    async fn preview(
        &self,
        spec: &ScheduleSpec,
        from: Option<Timestamp>,
        max: usize,
    ) -> Result<Vec<Timestamp>> {
        let ask = Ask::Preview { spec: Box::new(spec.clone()), from, max };
        told(self.ask(&spec.job.namespace, ask).await?.instants)
    }

    async fn calendars(&self, namespace: &Name) -> Result<Vec<Name>> {
        told(self.ask(namespace, Ask::Calendars).await?.calendars)
    }

    async fn set_calendar(
        &self,
        _actor: &str,
        namespace: &Name,
        name: &Name,
        text: Option<&str>,
    ) -> Result<()> {
        let ask = Ask::SetCalendar { name: name.clone(), text: text.map(str::to_owned) };
        self.ask(namespace, ask).await.map(drop)
    }
}
