//! When lines are served: at the end of calls, and by sweeps.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use taskwright_core::limits::PROMOTIONS_MAX;
use taskwright_core::{Name, NewJob, Timestamp};
use taskwright_store::{Command, Result, Swept};
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::enter::is_keyed;
use super::policies::is_of_lane;
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
pub(crate) fn of_jobs<'j>(jobs: impl IntoIterator<Item = &'j NewJob>) -> BTreeSet<Name> {
    let concerns = jobs.into_iter().filter(|job| {
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
struct Served {
    promoted: usize,
    /// Whether jobs with room are left in lines, as no more may leave them.
    more: bool,
    /// Whether it took as many notes as it may: there may be others.
    has_other_notes: bool,
    /// The queues of the jobs that are ready now.
    readied: BTreeSet<Name>,
}

impl PostgresStore {
    /// Serves the lines that a call has noted in these namespaces. The call itself is done: where
    /// this fails, the notes stay, and the next call or sweep goes on.
    pub(crate) async fn serve_after(&self, namespaces: BTreeSet<Name>) {
        for namespace in namespaces {
            let _ = self.serve_now(&namespace).await;
        }
    }

    /// The same after a call that may have ended attempts or changed policies: then what is ready in a
    /// queue or task that is limited may have room, too.
    pub(crate) async fn serve_after_ends(&self, namespaces: BTreeSet<Name>) {
        for namespace in &namespaces {
            if matches!(self.holds_back_lanes(namespace).await, Ok(true)) {
                self.hints.ready_all(namespace);
            }
        }
        self.serve_after(namespaces).await;
    }

    async fn holds_back_lanes(&self, namespace: &Name) -> Result<bool> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let set = self.policy_set(number).await?;
        Ok(set.policies.iter().next().is_some_and(|(subject, _)| is_of_lane(subject)))
    }

    async fn serve_now(&self, namespace: &Name) -> Result<()> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        // Without any version nothing was ever limited.
        if self.policy_set(number).await?.version == 0 {
            return Ok(());
        }
        let deadline = tokio::time::Instant::from_std(self.link.deadline());
        let turn = self.limits.turn(number);
        let Ok(_turn) = tokio::time::timeout_at(deadline, turn.lock()).await else {
            return Ok(());
        };
        let noted = "select from taskwright.line_note where namespace = $1 limit 1";
        let mut left = PROMOTIONS_MAX;
        while !self.link.query(noted, &[(&number, Type::INT4)]).await?.is_empty() {
            let served = self.serve(number, namespace, left).await?;
            left = left.saturating_sub(served.promoted);
            if !served.has_other_notes || served.more {
                break;
            }
        }
        Ok(())
    }

    /// Serves the lines of a namespace that were noted, and lets at most `limit` jobs leave them.
    async fn serve(&self, number: i32, namespace: &Name, limit: usize) -> Result<Served> {
        let lacking = Lacking::default();
        let (mut reason, mut crowd) = (no_answer("the lines of keys"), 0);
        for _ in 0..ATTEMPTS_MAX {
            let lacks = &lacking;
            let work = |connection| {
                Box::pin(async move {
                    let tx = Transaction { connection, link: &self.link };
                    self.serve_noted(&tx, number, limit, lacks).await
                })
            };
            let done = Box::pin(self.link.pool.transact(self.link.deadline(), work)).await;
            let lanes = lacking.take();
            let is_crowded = lacking.busy().len() > crowd;
            crowd = lacking.busy().len();
            match done {
                Ok(served) => {
                    let queues = served.readied.iter().map(|queue| (namespace, queue));
                    self.hints.ready(queues.collect());
                    return Ok(served);
                }
                Err(_) if !lanes.is_empty() => {
                    self.lanes.numbers(&self.link, &lanes, self.tally.from()).await?;
                }
                Err(error) if is_crowded => reason = error,
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
        let desk = self.desk(tx, namespace, row).await?;
        let has_other_notes = get(row, "is_full")?;
        let mut settling = Settling { store: self, tx, lacking, busy: lacking.busy(), desk };
        let promoted = settling.settle(limit).await?;
        if let Some(found) = settling.hold().await? {
            return Err(lacking.note_busy(found));
        }
        settling.write().await?;
        self.look_for_room(&mut settling.desk);
        let more = !settling.desk.touched.is_empty();
        Ok(Served { promoted, more, has_other_notes, readied: settling.desk.readied() })
    }

    /// The part of a sweep that is about limits, after due times: lines that have room by now.
    pub(crate) async fn sweep_lines(
        &self,
        now: i64,
        left: &mut usize,
        swept: &mut Swept,
    ) -> Result<()> {
        self.wake_lanes(now).await?;
        self.serve_called(Some(now), left, swept).await
    }

    /// Serves the lines that were noted, and those that have more room by this time; by the store's
    /// own where none is given.
    pub(super) async fn serve_called(
        &self,
        now: Option<i64>,
        left: &mut usize,
        swept: &mut Swept,
    ) -> Result<()> {
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
            swept.more |= served.more || served.has_other_notes;
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
        let name = self.lanes.namespace_name(&self.link, namespace).await?;
        let lacking = Lacking::default();
        let (name, lacks) = (&name, &lacking);
        let work = |connection| {
            Box::pin(async move {
                let tx = Transaction { connection, link: &self.link };
                // Nothing is decided here, so there is no need of the lock.
                let version = "select version from taskwright.limits where namespace = $1";
                let rows = tx.query(version, &[(&namespace, Type::INT4)]).await?;
                let Some(row) = rows.first() else { return Ok(None) };
                let set = self.policies_at(&tx, namespace, get(row, "version")?).await?;
                let is_rated = set
                    .policies
                    .iter()
                    .take_while(|(subject, _)| is_of_lane(subject))
                    .any(|(_, policy)| policy.rate.is_some());
                if !is_rated {
                    return Ok(None);
                }
                let desk = Desk::new(Timestamp::from_micros(now), namespace, name.clone(), set);
                let busy = Vec::new();
                let mut settling = Settling { store: self, tx: &tx, lacking: lacks, busy, desk };
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
        let statement = "select namespace from taskwright.limits where starts > 0";
        for row in &self.link.query(statement, &[]).await? {
            let namespace = self.lanes.namespace_name(&self.link, get(row, "namespace")?).await?;
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
