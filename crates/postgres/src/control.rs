//! What operators ask for.

use taskwright_core::limits::ID_WINDOW;
use taskwright_core::{JobId, Name, Refused, StateName};
use taskwright_store::{Command, Controlled, Result};
use tokio_postgres::types::Type;

use crate::change::Selection;
use crate::link::micros;
use crate::record::{Record, Shelf};
use crate::row::get;
use crate::store::PostgresStore;

impl PostgresStore {
    pub(crate) async fn control_all(
        &self,
        actor: &str,
        commands: Vec<Command>,
    ) -> Result<Vec<Controlled>> {
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            self.note_command(actor, &command).await?;
            let mut answer = self.carry_out(command.clone()).await?;
            // The job may be at intake still.
            if answer == Controlled::NotFound && self.admit().await? > 0 {
                answer = self.carry_out(command).await?;
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn note_command(&self, actor: &str, command: &Command) -> Result<()> {
        let action = format!("{command:?}").replace('\0', "\u{fffd}");
        self.link
            .query(
                "insert into taskwright.audit (at, actor, action) \
                 values (taskwright.time_of($1), $2, $3)",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&actor.replace('\0', "\u{fffd}"), Type::TEXT),
                    (&action, Type::TEXT),
                ],
            )
            .await?;
        Ok(())
    }

    async fn carry_out(&self, command: Command) -> Result<Controlled> {
        match command {
            Command::Pause { namespace, queue } => self.set_paused(&namespace, &queue, true).await,
            Command::Resume { namespace, queue } => {
                self.set_paused(&namespace, &queue, false).await
            }
            Command::Cancel { namespace, id, reason } => {
                self.on_job(&namespace, id, |record, now| record.cancel(reason.clone(), now)).await
            }
            Command::Redrive { namespace, id, attempts } => {
                self.redrive(&namespace, id, attempts).await
            }
            Command::SetPolicy { namespace, subject, policy } => {
                self.set_policy(&namespace, &subject, policy).await
            }
            Command::Adjust { namespace, id, priority, run_at } => {
                self.on_job(&namespace, id, |record, now| record.adjust(priority, run_at, now))
                    .await
            }
            Command::Delete { namespace, id } => self.delete(&namespace, id).await,
        }
    }

    async fn set_paused(&self, namespace: &Name, queue: &Name, paused: bool) -> Result<Controlled> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        self.link
            .query(
                "insert into taskwright.queue (namespace, queue, paused) values ($1, $2, $3) \
                 on conflict (namespace, queue) do update set paused = excluded.paused",
                &[(&number, Type::INT4), (&queue.as_str(), Type::TEXT), (&paused, Type::BOOL)],
            )
            .await?;
        if !paused {
            self.hints.ready(vec![(namespace, queue)]);
        }
        Ok(Controlled::Done { state: None })
    }

    async fn on_job(
        &self,
        namespace: &Name,
        id: JobId,
        act: impl Fn(&mut Record, taskwright_core::Timestamp) -> std::result::Result<StateName, Refused>
        + Send
        + Sync,
    ) -> Result<Controlled> {
        let namespace = self.lanes.namespace(&self.link, namespace).await?;
        self.change_jobs(Selection::Ids { namespace, ids: &[id] }, |held| {
            let now = held.now;
            let Some(record) = held.jobs.get_mut(&id) else { return Controlled::NotFound };
            match act(record, now) {
                Ok(state) => Controlled::Done { state: Some(state) },
                Err(_) => Controlled::Refused { state: record.job.life.state.name() },
            }
        })
        .await
    }

    async fn delete(&self, namespace: &Name, id: JobId) -> Result<Controlled> {
        let namespace = self.lanes.namespace(&self.link, namespace).await?;
        let looked = self
            .change_jobs(Selection::Ids { namespace, ids: &[id] }, |held| {
                let record = held.jobs.get(&id)?;
                let state = record.job.life.state.name();
                let lines = held.blocked_lines(&record.job);
                Some((record.job.seq, record.shelf, state, held.now, lines))
            })
            .await?;
        let Some((seq, shelf, state, now, lines)) = looked else { return Ok(Controlled::NotFound) };
        if shelf == Shelf::Live {
            return Ok(Controlled::Refused { state });
        }
        let rows = self
            .link
            .query(
                "select taskwright.forget($1, $2, $3, $4, $5) as count",
                &[
                    (&vec![seq.cast_signed()], Type::INT8_ARRAY),
                    (&now.as_micros(), Type::INT8),
                    (&micros(ID_WINDOW), Type::INT8),
                    (&vec![namespace; lines.len()], Type::INT4_ARRAY),
                    (&lines, Type::INT8_ARRAY),
                ],
            )
            .await?;
        let forgotten = rows.first().map(|row| get::<i64>(row, "count")).transpose()?;
        Ok(match forgotten {
            Some(1..) => Controlled::Done { state: None },
            // Somebody redrove it in between.
            _ => Controlled::Refused { state: StateName::Available },
        })
    }
}
