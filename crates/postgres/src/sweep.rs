//! What time does to jobs.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use taskwright_core::limits::{ID_WINDOW, SERVED_PER_SWEEP_MAX};
use taskwright_core::rank::AGING_DEFAULT;
use taskwright_core::{JobId, StateName, Timestamp};
use taskwright_store::{Event, Result, Swept};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::change::{Held, Selection};
use crate::limits::serve::DUE_LIMITED;
use crate::link::{Argument, micros, no_answer};
use crate::row::get;
use crate::store::PostgresStore;

/// What nodes leave each other between two sweeps.
const PAUSE: Duration = Duration::from_millis(900);
/// Calls that come sooner after each other are out of turn.
const IN_TURN: Duration = Duration::from_millis(900);
/// How often a node looks whether the others still sweep.
const LOOK_EVERY: Duration = Duration::from_millis(2_900);
/// How many sweeps there are to one that prunes, and to one that says that the node lives.
const PRUNE_EVERY: u64 = 10;
const NOTE_EVERY: u64 = 3;
/// Notes of writers that one sweep adds up.
const FOLD_MAX: i32 = 20_000;

/// The workers whose lease is over, and what they hold.
const LAPSED: &str = "select j.seq from taskwright.worker w, lateral ( \
        select j.seq from taskwright.job j \
        where j.worker = w.id and j.namespace = w.namespace and j.state = 5 \
        order by j.seq limit $2 for update skip locked) j \
    where w.lease_end <= $1 limit $2";
const OVERDUE: &str = "select seq from taskwright.job where state = 5 and deadline <= $1 \
    order by deadline limit $2 for update skip locked";
const EXPIRED: &str = "select seq from taskwright.job where expires_at <= $1 and state < 5 \
    and max_losses is null order by expires_at limit $2 for update skip locked";

/// How this node has swept lately.
pub(crate) struct Pace {
    called: Instant,
    looked: Instant,
    /// Whether another node had swept when this one last looked.
    others_sweep: bool,
    last: Swept,
}

impl Default for Pace {
    fn default() -> Self {
        let now = Instant::now();
        Pace { called: now, looked: now, others_sweep: false, last: Swept::default() }
    }
}

/// Where a sweep stands, and what there is to do.
struct Begun {
    now: i64,
    served: i64,
    is_due: bool,
    lapsed: bool,
    overdue: bool,
    expired: bool,
    intake: bool,
    next_due: Option<i64>,
    tally: bool,
    forgotten: bool,
    wake_at: Option<i64>,
    /// Whether anything was ever limited.
    limited: bool,
}

impl PostgresStore {
    pub(crate) async fn sweep_once(&self, limit: usize) -> Result<Swept> {
        if let Some(swept) = self.rest() {
            return Ok(swept);
        }
        let begun = self.begin_sweep().await?;
        let now = Timestamp::from_micros(begun.now);
        let wake_at = begun.wake_at.map(Timestamp::from_micros);
        let mut swept = Swept { now, wake_at, ..Swept::default() };
        let mut left = limit;
        if begun.lapsed {
            swept.lapsed = self
                .spend(&mut left, &mut swept.more, LAPSED, begun.served, |held| {
                    let now = held.now;
                    held.jobs.values_mut().filter_map(|record| record.lapse(now).ok()).count()
                })
                .await?;
            self.forget_workers(begun.served).await?;
        }
        if begun.overdue {
            swept.timed_out = self
                .spend(&mut left, &mut swept.more, OVERDUE, begun.now, |held| {
                    let Held { now, jobs, budgets, .. } = held;
                    let time_out = |record: &mut crate::record::Record| {
                        let token = record.job.life.token()?;
                        record.time_out(token, budgets, *now).ok()
                    };
                    jobs.values_mut().filter_map(time_out).count()
                })
                .await?;
        }
        // An attempt that has just ended may have left a job whose time is over.
        if begun.expired || swept.lapsed + swept.timed_out > 0 {
            swept.expired = self
                .spend(&mut left, &mut swept.more, EXPIRED, begun.now, |held| {
                    let now = held.now;
                    held.jobs.values_mut().filter_map(|record| record.expire(now).ok()).count()
                })
                .await?;
        }
        let mut next_due = begun.next_due;
        let admitted = if begun.intake { self.admit().await? } else { 0 };
        if admitted > 0 || next_due.is_some_and(|at| at <= begun.now) {
            swept.due = self.make_due(begun.now, &mut left, &mut swept.more).await?;
            if begun.limited {
                swept.due += self
                    .spend(&mut left, &mut swept.more, DUE_LIMITED, begun.now, |held| {
                        let now = held.now;
                        held.jobs
                            .values_mut()
                            .filter_map(|record| record.come_due(now).ok())
                            .count()
                    })
                    .await?;
            }
        }
        if begun.limited {
            self.sweep_lines(begun.now, &mut left, &mut swept).await?;
        }
        // Whatever has moved may have been the next one, or have become it.
        if admitted + swept.due + swept.timed_out + swept.expired > 0 {
            next_due = self.next_due().await?;
        }
        if begun.limited {
            next_due = next_due.into_iter().chain(self.next_room_at(begun.now).await?).min();
        }
        swept.next_due = next_due.map(Timestamp::from_micros);
        if begun.is_due {
            self.tidy_up(&begun, &mut swept, &mut left).await?;
        } else if self.sweeps.fetch_add(1, Ordering::Relaxed).is_multiple_of(NOTE_EVERY) {
            self.note_node().await?;
        }
        self.note_sweep(begun.is_due, swept);
        Ok(swept)
    }

    /// What is done now and then, and not while there is more urgent work left.
    async fn tidy_up(&self, begun: &Begun, swept: &mut Swept, left: &mut usize) -> Result<()> {
        if begun.tally {
            self.fold().await?;
        }
        let number = self.sweeps.fetch_add(1, Ordering::Relaxed);
        let is_test = self.clock.shown().is_some();
        if is_test || number.is_multiple_of(PRUNE_EVERY) || self.has_more.load(Ordering::Relaxed) {
            swept.pruned = self.prune(begun.now, left, &mut swept.more).await?;
        }
        if is_test || number.is_multiple_of(PRUNE_EVERY) {
            self.give_back_lanes().await?;
            self.forget_holds(begun.now).await?;
            if begun.limited {
                self.tidy_lines(begun.now).await?;
            }
        }
        if begun.forgotten {
            self.forget_ids_of_old(begun.now).await?;
        }
        if is_test || number.is_multiple_of(NOTE_EVERY) {
            self.note_node().await?;
        }
        Ok(())
    }

    async fn begin_sweep(&self) -> Result<Begun> {
        let shown = self.clock.shown();
        let waits = shown.is_none() && !self.has_more.load(Ordering::Relaxed);
        let pause = if waits { micros(PAUSE) } else { i64::MIN };
        let rows = self
            .link
            .query(
                "select * from taskwright.begin_sweep($1, $2, $3, $4, $5)",
                &[
                    (&shown, Type::INT8),
                    (&micros(SERVED_PER_SWEEP_MAX), Type::INT8),
                    (&pause, Type::INT8),
                    (&micros(ID_WINDOW), Type::INT8),
                    (&self.tally.from(), Type::INT8),
                ],
            )
            .await?;
        let row = rows.first().ok_or_else(|| no_answer("the beginning of a sweep"))?;
        Ok(Begun {
            now: get(row, "now")?,
            served: get(row, "served")?,
            is_due: get(row, "is_due")?,
            lapsed: get(row, "lapsed")?,
            overdue: get(row, "overdue")?,
            expired: get(row, "expired")?,
            intake: get(row, "intake")?,
            next_due: get(row, "next_due")?,
            tally: get(row, "tally")?,
            forgotten: get(row, "forgotten")?,
            wake_at: get(row, "wake_at")?,
            limited: get(row, "limited")?,
        })
    }

    /// Of many nodes one sweeps, and the others look less often: what the sweep would answer, where
    /// there is nothing for this node to do. A call that comes out of turn is for a job of this node
    /// that has come due.
    fn rest(&self) -> Option<Swept> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let in_turn = pace.called.elapsed() >= IN_TURN;
        pace.called = Instant::now();
        let rests = self.clock.shown().is_none()
            && in_turn
            && pace.others_sweep
            && pace.looked.elapsed() < LOOK_EVERY;
        rests.then(|| Swept { now: pace.last.now.plus(pace.looked.elapsed()), ..Swept::default() })
    }

    fn note_sweep(&self, is_due: bool, swept: Swept) {
        // What is left over is done by the same node, at once.
        self.has_more.store(swept.more, Ordering::Relaxed);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.others_sweep = !is_due;
        pace.looked = Instant::now();
        pace.last = swept;
    }

    /// Changes the jobs that a statement finds, as many as may be; says whether there are more.
    async fn spend(
        &self,
        left: &mut usize,
        more: &mut bool,
        statement: &str,
        bound: i64,
        change: impl Fn(&mut Held) -> usize + Send + Sync,
    ) -> Result<usize> {
        let mut done = 0;
        loop {
            // One more than may be done tells whether there is more.
            let wanted = i64::try_from((*left).min(CHUNK)).unwrap_or(i64::MAX);
            if wanted == 0 {
                *more |= self.exists(statement, bound).await?;
                return Ok(done);
            }
            let arguments: [Argument<'_>; 2] = [(&bound, Type::INT8), (&wanted, Type::INT8)];
            let selection = Selection::Live { statement, arguments: &arguments };
            let changed = self.change_jobs(selection, &change).await?;
            *left = left.saturating_sub(changed);
            done += changed;
            if changed == 0 {
                return Ok(done);
            }
        }
    }

    async fn exists(&self, statement: &str, bound: i64) -> Result<bool> {
        let statement = format!("select true from ({statement}) found");
        let rows =
            self.link.query(&statement, &[(&bound, Type::INT8), (&1_i64, Type::INT8)]).await?;
        Ok(!rows.is_empty())
    }

    async fn forget_workers(&self, served: i64) -> Result<()> {
        let rows = self
            .link
            .query(
                "delete from taskwright.worker w where w.lease_end <= $1 and not exists ( \
                     select from taskwright.job j where j.worker = w.id and j.state = 5 \
                       and j.namespace = w.namespace) \
                 returning w.id, w.namespace",
                &[(&served, Type::INT8)],
            )
            .await?;
        let workers = rows.iter().map(|row| get(row, "id")).collect::<Result<Vec<Uuid>>>()?;
        if workers.is_empty() {
            return Ok(());
        }
        let namespaces =
            rows.iter().map(|row| get(row, "namespace")).collect::<Result<Vec<i32>>>()?;
        self.link
            .query(
                "delete from taskwright.claim_log c using unnest($1::uuid[], $2::int[]) \
                     gone(worker, namespace) \
                 where c.worker = gone.worker and c.namespace = gone.namespace",
                &[(&workers, Type::UUID_ARRAY), (&namespaces, Type::INT4_ARRAY)],
            )
            .await?;
        Ok(())
    }

    async fn make_due(&self, now: i64, left: &mut usize, more: &mut bool) -> Result<usize> {
        let mut done = 0;
        loop {
            let wanted = i32::try_from((*left).min(CHUNK)).unwrap_or(i32::MAX);
            if wanted == 0 {
                *more |= self.exists(DUE, now).await?;
                return Ok(done);
            }
            let rows = self
                .link
                .query(
                    "select id, lane, attempt from taskwright.make_due($1, $2, $3)",
                    &[
                        (&now, Type::INT8),
                        (&micros(AGING_DEFAULT), Type::INT8),
                        (&wanted, Type::INT4),
                    ],
                )
                .await?;
            if rows.is_empty() {
                return Ok(done);
            }
            self.announce_due(&rows).await?;
            *left = left.saturating_sub(rows.len());
            done += rows.len();
        }
    }

    async fn next_due(&self) -> Result<Option<i64>> {
        let rows = self
            .link
            .query("select min(run_at) as run_at from taskwright.job where state = 2", &[])
            .await?;
        let next = rows.first().map(|row| get::<Option<i64>>(row, "run_at")).transpose()?;
        Ok(next.flatten())
    }

    async fn announce_due(&self, rows: &[tokio_postgres::Row]) -> Result<()> {
        let numbers = rows.iter().map(|row| get(row, "lane")).collect::<Result<Vec<i32>>>()?;
        let lanes = self.lanes.named(&self.link, &numbers).await?;
        let mut events = Vec::with_capacity(rows.len());
        for (row, number) in rows.iter().zip(&numbers) {
            let Some(lane) = lanes.get(number) else { continue };
            events.push(Event {
                namespace: self.lanes.namespace_name(&self.link, lane.namespace).await?,
                queue: lane.queue.clone(),
                task: lane.task.clone(),
                id: JobId::from_u128(get::<Uuid>(row, "id")?.as_u128()),
                state: StateName::Available,
                attempt: get::<i32>(row, "attempt")?.unsigned_abs(),
            });
        }
        self.announce(events);
        Ok(())
    }

    async fn fold(&self) -> Result<()> {
        let rows = self
            .link
            .query(
                "select taskwright.fold_tally($1, $2) as last",
                &[(&self.tally.begin(), Type::INT8), (&FOLD_MAX, Type::INT4)],
            )
            .await?;
        let last = rows.first().map(|row| get::<Option<i64>>(row, "last")).transpose()?;
        self.tally.folded(last.flatten());
        Ok(())
    }

    /// Ids of deleted jobs are known for a while.
    async fn forget_ids_of_old(&self, now: i64) -> Result<()> {
        let until = Timestamp::from_micros(now).minus(ID_WINDOW).as_micros();
        self.link
            .query(
                "delete from taskwright.ident k where (k.id, k.namespace) in ( \
                     select id, namespace from taskwright.ident where finished_at <= $1 limit 20000)",
                &[(&until, Type::INT8)],
            )
            .await?;
        Ok(())
    }
}

/// Jobs that one transaction of a sweep changes at most.
const CHUNK: usize = 1_000;
const DUE: &str = "select seq from taskwright.job where state = 2 and run_at <= $1 limit $2";
