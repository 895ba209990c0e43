//! When lines are served: at the end of calls, and by sweeps.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use taskwright_core::limits::PROMOTIONS_MAX;
use taskwright_core::{Name, Policy, Subject, Timestamp};
use taskwright_store::{Command, Insert, Result, Swept};
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::enter::is_keyed;
use super::policies::lane_number;
use super::settle::{NOTES, Settling};
use crate::change::{ATTEMPTS_MAX, Lacking};
use crate::connect::Fault;
use crate::link::{Transaction, no_answer};
use crate::row::get;
use crate::store::PostgresStore;

/// Jobs with keys that come due where something is limited.
pub(crate) const DUE_LIMITED: &str = "select j.seq from taskwright.job j where j.state = 2 \
    and j.run_at <= $1 and j.keys is not null and taskwright.is_limited(j.namespace) \
    order by j.run_at limit $2 for update skip locked";

/// The lanes of a namespace in which jobs are ready.
const LANES_WITH_JOBS: &str = "select l.number as lane from taskwright.lane l \
    where l.namespace = $1 and l.is_open \
      and exists (select from taskwright.job j where j.lane = l.number and j.state = 1)";

/// Timers that one sweep ends at most.
const TIMERS_MAX: i32 = 10_000;
/// Lines that one sweep serves for no reason.
const LOOKED_AT: i32 = 200;

/// The namespaces of new jobs that may concern lines.
pub(crate) fn of_insert(insert: &Insert) -> BTreeSet<Name> {
    let concerns = insert.jobs.iter().filter(|job| {
        // Who has a unique key may change a job that waits.
        is_keyed(&job.extras) || job.extras.unique.is_some()
    });
    concerns.map(|job| job.namespace.clone()).collect()
}

/// The namespaces of commands.
pub(crate) fn of_commands(commands: &[Command]) -> BTreeSet<Name> {
    let namespace = |command: &Command| match command {
        Command::Cancel { namespace, .. }
        | Command::Redrive { namespace, .. }
        | Command::Adjust { namespace, .. }
        | Command::Delete { namespace, .. }
        | Command::SetPolicy { namespace, .. }
        | Command::Pause { namespace, .. }
        | Command::Resume { namespace, .. } => namespace.clone(),
    };
    commands.iter().map(namespace).collect()
}

/// What serving the lines of a namespace has done.
#[derive(Default)]
struct Served {
    promoted: usize,
    more: bool,
    /// The queues of the jobs that are ready now.
    readied: BTreeSet<Name>,
}

impl PostgresStore {
    /// Serves the lines that a call has noted in these namespaces. The call itself is done: where
    /// this fails, the notes stay, and the next call or sweep goes on.
    pub(crate) async fn serve_after(&self, namespaces: BTreeSet<Name>) {
        for namespace in namespaces {
            let _ = self.serve_one(&namespace).await;
        }
    }

    async fn serve_one(&self, namespace: &Name) -> Result<()> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let set = self.policy_set(number).await?;
        // Without any version nothing was ever limited.
        if set.version == 0 {
            return Ok(());
        }
        let is_of_lane = |subject: &Subject| lane_number(namespace, subject).is_some();
        if set.policies.iter().any(|(subject, _)| is_of_lane(subject)) {
            // What is ready there may have room now.
            self.hints.ready_all(namespace);
        }
        let noted = "select from taskwright.line_note where namespace = $1 limit 1";
        if !self.link.query(noted, &[(&number, Type::INT4)]).await?.is_empty() {
            self.serve(number, namespace, PROMOTIONS_MAX).await?;
        }
        Ok(())
    }

    /// Serves the lines of a namespace that were noted, and lets at most `limit` jobs leave them.
    async fn serve(&self, number: i32, namespace: &Name, limit: usize) -> Result<Served> {
        let lacking = Lacking::default();
        let busy = Mutex::new(Vec::new());
        let mut reason = no_answer("the lines of keys");
        for _ in 0..ATTEMPTS_MAX {
            let (lacks, busy_jobs) = (&lacking, &busy);
            let work = |connection| {
                Box::pin(async move {
                    let tx = Transaction { connection, link: &self.link };
                    self.serve_noted(&tx, number, limit, lacks, busy_jobs).await
                })
            };
            let done = Box::pin(self.link.pool.transact(self.link.deadline(), work)).await;
            let lanes = lacking.take();
            let was_busy = lacking.take_code().is_some();
            match done {
                Ok(served) => {
                    let queues = served.readied.iter().map(|queue| (namespace, queue));
                    self.hints.ready(queues.collect());
                    return Ok(served);
                }
                Err(_) if !lanes.is_empty() => {
                    self.lanes.numbers(&self.link, &lanes, self.tally.from()).await?;
                }
                Err(error) if was_busy => reason = error,
                Err(error) => return Err(error),
            }
        }
        Err(reason)
    }

    async fn serve_noted(
        &self,
        tx: &Transaction<'_>,
        namespace: i32,
        limit: usize,
        lacking: &Lacking,
        busy: &Mutex<Vec<i64>>,
    ) -> Result<Served, Fault> {
        let rows = tx
            .query(
                "select * from taskwright.open_desk($1, $2, $3)",
                &[
                    (&namespace, Type::INT4),
                    (&self.clock.shown(), Type::INT8),
                    (&NOTES, Type::INT4),
                ],
            )
            .await?;
        let row = rows.first().ok_or_else(|| no_answer("what is limited"))?;
        let known_busy = busy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let desk = self.desk(tx, namespace, row).await?;
        let mut settling = Settling { store: self, tx, lacking, busy: &known_busy, desk };
        let promoted = settling.settle(limit).await?;
        if let Some(found) = settling.hold().await? {
            busy.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            return Err(lacking.note_code(super::BUSY));
        }
        settling.write().await?;
        let more = !settling.desk.touched.is_empty();
        Ok(Served { promoted, more, readied: settling.desk.readied() })
    }

    /// The part of a sweep that is about limits, after due times: lines that have room by now.
    pub(crate) async fn sweep_lines(
        &self,
        now: i64,
        left: &mut usize,
        swept: &mut Swept,
    ) -> Result<()> {
        self.wake_lanes(now).await?;
        let rows = self
            .link
            .query(
                "select namespace from taskwright.call_lines($1, $2)",
                &[(&now, Type::INT8), (&TIMERS_MAX, Type::INT4)],
            )
            .await?;
        for row in &rows {
            let number: i32 = get(row, "namespace")?;
            let namespace = self.lanes.namespace_name(&self.link, number).await?;
            let served = self.serve(number, &namespace, *left).await?;
            *left = left.saturating_sub(served.promoted);
            swept.promoted += served.promoted;
            swept.more |= served.more;
        }
        Ok(())
    }

    /// When the next line, or the next queue or task that holds back ready jobs, has more room by
    /// time alone.
    pub(crate) async fn next_room_at(&self, now: i64) -> Result<Option<i64>> {
        let rows = self
            .link
            .query(
                "select (select min(at) from taskwright.line_timer) as at, \
                 array(select distinct a.namespace from taskwright.arrival a where a.at > $1) \
                 as used",
                &[(&now, Type::INT8)],
            )
            .await?;
        let row = rows.first().ok_or_else(|| no_answer("when lines have room"))?;
        let of_lines: Option<i64> = get(row, "at")?;
        let mut of_lanes: Option<i64> = None;
        for number in get::<Vec<i32>>(row, "used")? {
            let at = self.next_lane_room(number, now).await?;
            of_lanes = of_lanes.into_iter().chain(at).min();
        }
        self.limits.set_grows_at(of_lanes.map(Timestamp::from_micros));
        Ok(of_lines.into_iter().chain(of_lanes).min())
    }

    /// The same for the queues and tasks of one namespace.
    async fn next_lane_room(&self, namespace: i32, now: i64) -> Result<Option<i64>> {
        let set = self.read_policies(namespace).await?;
        let name = self.lanes.namespace_name(&self.link, namespace).await?;
        let is_rated = |(subject, policy): (&Subject, &Policy)| {
            policy.rate.is_some() && lane_number(&name, subject).is_some()
        };
        if !set.policies.iter().any(is_rated) {
            return Ok(None);
        }
        let lacking = Lacking::default();
        let (set, name, lacks) = (&set, &name, &lacking);
        let work = |connection| {
            Box::pin(async move {
                let tx = Transaction { connection, link: &self.link };
                // Nothing is decided here, so there is no need of the lock.
                let now = Timestamp::from_micros(now);
                let desk = Desk::new(now, namespace, name.clone(), Arc::clone(set));
                let mut settling =
                    Settling { store: self, tx: &tx, lacking: lacks, busy: &[], desk };
                settling.read_subjects().await?;
                let rows = tx.query(LANES_WITH_JOBS, &[(&namespace, Type::INT4)]).await?;
                settling.name_lanes(&rows).await?;
                let mut next = None;
                for row in &rows {
                    let at = settling.desk.lane_grows_at(get(row, "lane")?);
                    next = next.into_iter().chain(at).min();
                }
                Ok(next.map(Timestamp::as_micros))
            })
        };
        Box::pin(self.link.pool.transact(self.link.deadline(), work)).await
    }

    /// Wakes those who wait for jobs of queues and tasks that had no room until now.
    async fn wake_lanes(&self, now: i64) -> Result<()> {
        if !self.limits.take_growth(Timestamp::from_micros(now)) {
            return Ok(());
        }
        let statement = "select namespace from taskwright.limits where policies > 0";
        for row in &self.link.query(statement, &[]).await? {
            let namespace =
                self.lanes.namespace_name(&self.link, get(row, "namespace")?).await?;
            self.hints.ready_all(&namespace);
        }
        Ok(())
    }

    /// Now and then: forgets what rates have used, and looks whether some line was forgotten.
    pub(crate) async fn tidy_lines(&self, now: i64) -> Result<()> {
        let after = self.limits.looked_at.load(Ordering::Relaxed);
        let looks = if self.clock.shown().is_some() { 0 } else { LOOKED_AT };
        let rows = self
            .link
            .query(
                "select taskwright.tidy_lines($1, $2, $3) as last",
                &[(&now, Type::INT8), (&after, Type::INT8), (&looks, Type::INT4)],
            )
            .await?;
        let last = rows.first().map(|row| get::<Option<i64>>(row, "last")).transpose()?.flatten();
        self.limits.looked_at.store(last.unwrap_or(i64::MIN), Ordering::Relaxed);
        Ok(())
    }
}
