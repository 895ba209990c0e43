//! What operators ask.

use std::sync::Arc;

use taskwright_core::lifecycle::{Event, step};
use taskwright_core::{JobId, Name, State};
use taskwright_store::{Command, Controlled, Nudge, Result};

use super::counters::Slot;
use super::entry::Entry;
use super::insert::place_at;
use super::{Archive, Archived, ArchivedJob, Ledger};
use crate::change::{Audit, Change, More, QueueSettings, Seq, Vital};

impl Ledger {
    /// See `Store::control`.
    pub fn control(
        &mut self,
        actor: &str,
        commands: Vec<Command>,
        archive: &mut dyn Archive,
    ) -> Result<Vec<Controlled>> {
        commands
            .into_iter()
            .map(|command| {
                let action = describe(&command);
                let (at, actor) = (self.now, Arc::from(actor));
                self.changes.push(Change::Audit(Audit { at, actor, action: action.into() }));
                self.carry_out(command, archive)
            })
            .collect()
    }

    fn carry_out(&mut self, command: Command, archive: &mut dyn Archive) -> Result<Controlled> {
        match command {
            Command::Cancel { namespace, id, reason } => {
                self.cancel(&namespace, id, reason, archive)
            }
            Command::Redrive { namespace, id, attempts } => {
                self.redrive(&namespace, id, attempts, archive)
            }
            Command::Adjust { namespace, id, priority, run_at } => {
                self.adjust(&namespace, id, priority, run_at, archive)
            }
            Command::SetPolicy { namespace, subject, policy } => {
                self.set_policy(namespace, subject, policy, archive)
            }
            Command::Delete { namespace, id } => self.delete(&namespace, id, archive),
            Command::Pause { namespace, queue } => Ok(self.set_paused(&namespace, &queue, true)),
            Command::Resume { namespace, queue } => Ok(self.set_paused(&namespace, &queue, false)),
        }
    }

    fn cancel(
        &mut self,
        namespace: &Name,
        id: JobId,
        reason: Arc<str>,
        archive: &mut dyn Archive,
    ) -> Result<Controlled> {
        let Some(seq) = self.recall(namespace, id, archive)? else {
            return Ok(Controlled::NotFound);
        };
        let vital = self.jobs[&seq].vital();
        let Ok(life) = step(&vital.life, &Event::Cancel) else {
            return Ok(self.refused(seq, vital.life.state));
        };
        let finished_at = life.state.is_final().then_some(self.now);
        let asked = self.jobs[&seq].rare.as_ref().and_then(|rare| rare.cancel_reason.clone());
        let more = More { cancel_reason: asked.or(Some(reason)), ..More::default() };
        self.set(seq, Vital { life, finished_at, ..vital }, Some(Box::new(more)));
        if let (State::Running(_), Some(run)) = (life.state, vital.run)
            && let Some(worker) = self.workers.get(run.worker)
        {
            self.nudges.push(Nudge { namespace: namespace.clone(), worker: worker.id });
        }
        Ok(Controlled::Done { state: Some(life.state.name()) })
    }

    fn redrive(
        &mut self,
        namespace: &Name,
        id: JobId,
        attempts: u32,
        archive: &mut dyn Archive,
    ) -> Result<Controlled> {
        let Some(seq) = self.recall(namespace, id, archive)? else {
            return Ok(Controlled::NotFound);
        };
        let entry = &self.jobs[&seq];
        let vital = entry.vital();
        let attempts = if attempts == 0 { entry.fixed.max_attempts } else { attempts };
        let place = place_at(self.now, self.now, entry.fixed.priority);
        let Ok(life) = step(&vital.life, &Event::Redrive { attempts, place }) else {
            return Ok(self.refused(seq, vital.life.state));
        };
        if let Some(holder) = self.rival(seq, &life, archive)? {
            self.let_alone(seq);
            return Ok(Controlled::Taken { holder });
        }
        self.set(seq, Vital { life, due_at: self.now, finished_at: None, ..vital }, None);
        Ok(Controlled::Done { state: Some(life.state.name()) })
    }

    fn delete(
        &mut self,
        namespace: &Name,
        id: JobId,
        archive: &mut dyn Archive,
    ) -> Result<Controlled> {
        let Some(seq) = self.recall(namespace, id, archive)? else {
            return Ok(Controlled::NotFound);
        };
        let Some(entry) = self.jobs.get_mut(&seq) else { return Ok(Controlled::NotFound) };
        let state = entry.state();
        if !state.is_final() {
            return Ok(self.refused(seq, state));
        }
        self.forget(seq);
        self.changes.push(Change::Delete(seq));
        Ok(Controlled::Done { state: None })
    }

    /// Counts a job as gone. Its id is remembered, and it stays until the table has let it go too.
    pub(super) fn forget(&mut self, seq: Seq) {
        let Some(entry) = self.jobs.get_mut(&seq) else { return };
        entry.rare_mut().deleted = true;
        if !self.recalled.remove(&seq) {
            // It departs with the group of its deletion, not with that of its end.
            entry.rare_mut().undone_ends += 1;
        }
        let (lane, state) = (entry.fixed.lane, entry.state());
        self.departing.push_back((self.position, seq));
        let queue_index = self.lanes.get(lane).queue_index;
        self.lanes.queues[queue_index].counters.subtract(Slot::of(state), 1);
        self.note_key(seq);
        self.leave_orders(seq);
    }

    /// The answer for a job that stays as it is.
    pub(super) fn refused(&mut self, seq: Seq, state: State) -> Controlled {
        self.let_alone(seq);
        Controlled::Refused { state: state.name() }
    }

    /// A job stays as it is, and goes again if it was only recalled.
    fn let_alone(&mut self, seq: Seq) {
        if self.recalled.remove(&seq) {
            self.depart(seq);
        }
    }

    fn set_paused(&mut self, namespace: &Name, queue: &Name, paused: bool) -> Controlled {
        let index = self.lanes.queue_or_new(namespace, queue);
        let settings = &mut self.lanes.queues[index];
        if settings.paused != paused {
            settings.paused = paused;
            self.became_ready |= !paused;
            self.changes.push(Change::Queue(QueueSettings {
                namespace: namespace.as_str().into(),
                queue: queue.as_str().into(),
                paused,
            }));
        }
        Controlled::Done { state: None }
    }

    /// The number of a job, brought back into memory where it had left it.
    pub(super) fn recall(
        &mut self,
        namespace: &Name,
        id: JobId,
        archive: &mut dyn Archive,
    ) -> Result<Option<Seq>> {
        if let Some(seq) = self.find(namespace, id) {
            return Ok((!self.jobs[&seq].is_deleted()).then_some(seq));
        }
        if !self.may_be_archived(id) {
            return Ok(None);
        }
        match archive.recall(namespace, id)? {
            Some(Archived::Whole(job)) => {
                let seq = self.bring_back(*job);
                self.kept.insert(seq);
                Ok(Some(seq))
            }
            _ => Ok(None),
        }
    }

    /// Takes an archived job into memory again.
    pub(super) fn bring_back(&mut self, job: ArchivedJob) -> Seq {
        let ArchivedJob { fixed, vital, more, worker } = job;
        let seq = fixed.seq;
        let queue_index = self.lanes.get(fixed.lane).queue_index;
        self.lanes.queues[queue_index].counters.subtract(Slot::of(vital.life.state), 1);
        let mut entry = Entry::new(Arc::new(fixed), vital);
        entry.rare_mut().absorb(&more);
        // It may have ended attempts: only the table knows them.
        entry.rare_mut().has_attempts = true;
        let is_heard = std::mem::replace(&mut self.is_heard, false);
        self.enter(seq, entry);
        self.is_heard = is_heard;
        if let (Some(run), Some(worker)) = (vital.run, worker) {
            self.workers.name(run.worker, worker);
        }
        self.recalled.insert(seq);
        seq
    }
}

fn describe(command: &Command) -> String {
    match command {
        Command::Cancel { namespace, id, reason } => format!("cancel {namespace} {id}: {reason}"),
        Command::Redrive { namespace, id, attempts } => {
            format!("redrive {namespace} {id} attempts={attempts}")
        }
        Command::Adjust { namespace, id, priority, run_at } => {
            let priority = priority.map(|priority| format!(" priority={priority}"));
            let run_at = run_at.map(|run_at| format!(" run_at={run_at}"));
            let [priority, run_at] = [priority, run_at].map(Option::unwrap_or_default);
            format!("adjust {namespace} {id}{priority}{run_at}")
        }
        Command::SetPolicy { namespace, subject, policy } => {
            format!("policy {namespace} {subject:?} {policy:?}")
        }
        Command::Delete { namespace, id } => format!("delete {namespace} {id}"),
        Command::Pause { namespace, queue } => format!("pause {namespace} {queue}"),
        Command::Resume { namespace, queue } => format!("resume {namespace} {queue}"),
    }
}
