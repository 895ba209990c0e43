//! Ticks in random lives.

use taskwright_core::Json;

use super::make::namespace;
use super::ops::{CallFault, TickPick};
use super::world::{Checked, World, same, shifted};
use crate::clock::Clock;
use crate::contract::Store;
use crate::document::{DocumentId, DocumentKind, Tick, Ticked, Wanted};
use crate::fault::FaultStore;
use crate::request::Inserted;

const NAMES: [&str; 3] = ["hourly", "nightly", "weekly"];
const PAGE: usize = 2;

impl World<'_> {
    pub async fn tick(&mut self, pick: &TickPick, fault: CallFault) -> Checked {
        let tick = self.new_tick(pick).await?;
        let expected = self.model.tick(vec![tick.clone()]).await.map_err(|e| e.to_string())?;
        let call = async |store: &FaultStore| store.tick(vec![tick.clone()]).await;
        let (answers, repeated) = self.ask(fault, call).await;
        let answers = answers.map_err(|error| format!("tick: {error}"))?;
        match (expected.into_iter().next(), answers.into_iter().next()) {
            (Some(Ticked::Done { inserted }), Some(answer)) if repeated => {
                self.admit_jobs_of(&tick, &inserted).await?;
                let was_removed = tick.body.is_none();
                if was_removed { Ok(()) } else { same("repeated tick", Ticked::Already, answer) }
            }
            (Some(Ticked::Done { inserted }), Some(Ticked::Done { inserted: answers })) => {
                self.compare_inserted(inserted, answers, false)
            }
            (expected, answer) => same("tick", expected, answer),
        }
    }

    /// What became of the jobs of a tick whose first reply was lost is seen by looking.
    async fn admit_jobs_of(&mut self, tick: &Tick, inserted: &[Inserted]) -> Checked {
        for (job, inserted) in tick.jobs.iter().zip(inserted) {
            let Inserted::New { seq } = inserted else { continue };
            let found = self.store.get(&job.namespace, &[job.id]).await;
            let found = found.map_err(|error| format!("get: {error}"))?.pop().flatten();
            let found = found.ok_or_else(|| format!("job {} of a tick is not there", job.id))?;
            self.translation.admit(*seq, found.seq)?;
        }
        Ok(())
    }

    async fn new_tick(&mut self, pick: &TickPick) -> Result<Tick, String> {
        let kind = if pick.is_calendar { DocumentKind::Calendar } else { DocumentKind::Schedule };
        let name = taskwright_core::Name::new(NAMES[pick.name]).map_err(|e| e.to_string())?;
        let id = DocumentId { namespace: namespace(pick.elsewhere), kind, name };
        let found = self.model.documents(Wanted::One(id.clone()), 1).await;
        let current = found.map_err(|e| e.to_string())?.pop().map(|document| document.revision);
        self.ticks += 1;
        let expected = match (pick.is_current, pick.expects_none) {
            (true, _) => current,
            (false, true) => None,
            (false, false) => Some(current.unwrap_or(self.ticks).saturating_sub(1)),
        };
        let jobs = pick.jobs.iter().map(|job| self.new_job(job)).collect();
        Ok(Tick {
            id,
            expected,
            revision: self.ticks,
            body: (!pick.removes).then(|| Json::from_trusted(format!("{{\"n\":{}}}", self.ticks))),
            wake_at: pick.wakes_in.map(|ahead| shifted(self.clock.now(), ahead)),
            jobs,
            asked: None,
        })
    }

    pub async fn compare_documents(&self) -> Checked {
        let model = self.model.documents(Wanted::Due, 100).await.map_err(|e| e.to_string())?;
        let store = self.store.documents(Wanted::Due, 100).await;
        let store = store.map_err(|error| format!("documents: {error}"))?;
        same("due documents", model, store)?;
        let mut after: Option<DocumentId> = None;
        loop {
            let wanted = Wanted::All(after);
            let model = self.model.documents(wanted.clone(), PAGE).await;
            let model = model.map_err(|e| e.to_string())?;
            let store = self.store.documents(wanted, PAGE).await;
            let store = store.map_err(|error| format!("documents: {error}"))?;
            same("documents", &model, &store)?;
            after = match model.last() {
                Some(last) => Some(last.id.clone()),
                None => return Ok(()),
            };
        }
    }
}
