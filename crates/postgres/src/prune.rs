//! Deleting ended jobs beyond the retention, the oldest ends first.
//!
//! Ended jobs are kept in buckets. Where there are many, whole buckets are dropped, so that a job
//! may stay for about an eighth of its time longer; small numbers are deleted one by one, exactly.

use std::time::Duration;

use taskwright_core::Timestamp;
use taskwright_core::limits::ID_WINDOW;
use taskwright_store::Result;
use tokio_postgres::types::Type;

use crate::limits::BlockedLines;
use crate::link::micros;
use crate::row::get;
use crate::store::PostgresStore;

/// Buckets up to this number of jobs are pruned one by one.
const SMALL: i64 = 10_000;
/// A bucket is closed when it holds this part of what is kept.
const PARTS: i64 = 8;
const CHUNK: usize = 1_000;

/// A bucket of ended jobs.
struct Bucket {
    number: i32,
    opened_at: i64,
    closed_at: Option<i64>,
    jobs: i64,
    bytes: i64,
}

/// How many jobs of a kind are kept, and how many bytes they take.
#[derive(Copy, Clone, Default)]
struct Kept {
    jobs: i64,
    bytes: i64,
}

impl PostgresStore {
    pub(crate) async fn prune(&self, now: i64, left: &mut usize, more: &mut bool) -> Result<usize> {
        let (ended, dead) = self.kept().await?;
        let mut pruned = 0;
        if ended.jobs > 0 {
            pruned += self.prune_ended(now, ended, left, more).await?;
        }
        if dead.jobs > 0 {
            pruned += self.prune_dead(now, dead, left, more).await?;
        }
        Ok(pruned)
    }

    /// What is kept of ended and of dead jobs.
    async fn kept(&self) -> Result<(Kept, Kept)> {
        let rows = self
            .link
            .query(
                "select state, sum(amount)::bigint as amount from ( \
                     select state, amount from taskwright.counter where state > 5 \
                     union all select state, delta from taskwright.tally \
                         where state > 5 and number >= $1) c \
                 group by state",
                &[(&self.tally.from(), Type::INT8)],
            )
            .await?;
        let (mut ended, mut dead) = (Kept::default(), Kept::default());
        for row in &rows {
            let amount: i64 = get(row, "amount")?;
            match get::<i16>(row, "state")? {
                7 => dead.jobs += amount,
                100 => ended.bytes += amount,
                101 => dead.bytes += amount,
                _ => ended.jobs += amount,
            }
        }
        Ok((ended, dead))
    }

    async fn prune_ended(
        &self,
        now: i64,
        mut kept: Kept,
        left: &mut usize,
        more: &mut bool,
    ) -> Result<usize> {
        let mut buckets = self.buckets().await?;
        let closed: Kept = buckets.iter().fold(Kept::default(), |sum, bucket| Kept {
            jobs: sum.jobs + bucket.jobs,
            bytes: sum.bytes + bucket.bytes,
        });
        if let Some(current) = buckets.last_mut() {
            current.jobs = kept.jobs - closed.jobs;
            current.bytes = kept.bytes - closed.bytes;
            if self.is_full(current, now) {
                self.open_bucket(now).await?;
            }
        }
        let age = micros(self.retention.age);
        let mut pruned = 0;
        for bucket in &buckets {
            let excess = self.excess(kept);
            let is_over = bucket.closed_at.is_some_and(|closed_at| closed_at + age <= now);
            let is_surplus = excess.jobs >= bucket.jobs || excess.bytes >= bucket.bytes.max(1);
            let gone = if bucket.closed_at.is_some() && (is_over || is_surplus) {
                self.drop_bucket(bucket, now).await?
            } else if bucket.jobs <= SMALL {
                self.prune_rows(&ENDED, now, age, excess, left, more).await?
            } else {
                Kept::default()
            };
            kept = Kept { jobs: kept.jobs - gone.jobs, bytes: kept.bytes - gone.bytes };
            pruned += usize::try_from(gone.jobs).unwrap_or(0);
            if gone.jobs < bucket.jobs {
                break;
            }
        }
        Ok(pruned)
    }

    async fn prune_dead(
        &self,
        now: i64,
        kept: Kept,
        left: &mut usize,
        more: &mut bool,
    ) -> Result<usize> {
        let age = micros(self.retention.dead_age);
        let gone = self.prune_rows(&DEAD, now, age, self.excess(kept), left, more).await?;
        Ok(usize::try_from(gone.jobs).unwrap_or(0))
    }

    /// What is kept beyond the bounds.
    fn excess(&self, kept: Kept) -> Kept {
        let bound = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        Kept {
            jobs: (kept.jobs - bound(self.retention.count)).max(0),
            bytes: (kept.bytes - bound(self.retention.bytes)).max(0),
        }
    }

    fn is_full(&self, bucket: &Bucket, now: i64) -> bool {
        let part = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX) / PARTS;
        let age = self.retention.age / u32::try_from(PARTS).unwrap_or(1);
        let age = age.max(Duration::from_secs(60));
        bucket.jobs > SMALL
            && (bucket.jobs >= part(self.retention.count)
                || bucket.bytes >= part(self.retention.bytes)
                || bucket.opened_at + micros(age) <= now)
    }

    async fn buckets(&self) -> Result<Vec<Bucket>> {
        let rows = self
            .link
            .query(
                "select number, opened_at, closed_at, jobs, bytes from taskwright.bucket \
                 order by number",
                &[],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Bucket {
                    number: get(row, "number")?,
                    opened_at: get(row, "opened_at")?,
                    closed_at: get(row, "closed_at")?,
                    jobs: get(row, "jobs")?,
                    bytes: get(row, "bytes")?,
                })
            })
            .collect()
    }

    async fn open_bucket(&self, now: i64) -> Result<()> {
        self.link
            .query("select taskwright.open_bucket($1) as number", &[(&now, Type::INT8)])
            .await?;
        Ok(())
    }

    /// Drops a bucket whole. Somebody may be reading it: then it goes with a later sweep.
    async fn drop_bucket(&self, bucket: &Bucket, now: i64) -> Result<Kept> {
        let dropped = self
            .link
            .query(
                "select taskwright.drop_bucket($1, $2, $3) as jobs",
                &[
                    (&bucket.number, Type::INT4),
                    (&now, Type::INT8),
                    (&micros(ID_WINDOW), Type::INT8),
                ],
            )
            .await;
        match dropped {
            Ok(rows) => {
                let jobs = rows.first().map(|row| get(row, "jobs")).transpose()?;
                Ok(Kept { jobs: jobs.unwrap_or(0), bytes: bucket.bytes })
            }
            Err(error) if error.kind == taskwright_store::ErrorKind::Busy => Ok(Kept::default()),
            Err(error) => Err(error),
        }
    }

    /// Deletes rows that are too old or too many.
    async fn prune_rows(
        &self,
        kind: &Kind,
        now: i64,
        age: i64,
        mut excess: Kept,
        left: &mut usize,
        more: &mut bool,
    ) -> Result<Kept> {
        let ended_by = Timestamp::from_micros(now).minus(Duration::from_micros(age.unsigned_abs()));
        let mut gone = Kept::default();
        loop {
            let wanted = i64::try_from((*left).min(CHUNK) + 1).unwrap_or(i64::MAX);
            let rows = self
                .link
                .query(
                    kind.oldest,
                    &[
                        (&ended_by.as_micros(), Type::INT8),
                        (&excess.jobs, Type::INT8),
                        (&excess.bytes, Type::INT8),
                        (&wanted, Type::INT8),
                    ],
                )
                .await?;
            let allowed = (*left).min(CHUNK);
            *more |= *left == 0 && !rows.is_empty();
            let chosen = &rows[..rows.len().min(allowed)];
            if chosen.is_empty() {
                return Ok(gone);
            }
            let seqs = chosen.iter().map(|row| get(row, "seq")).collect::<Result<Vec<i64>>>()?;
            let weights =
                chosen.iter().map(|row| get(row, "weight")).collect::<Result<Vec<i64>>>()?;
            let keyed =
                chosen.iter().map(|row| get(row, "keyed")).collect::<Result<Vec<bool>>>()?;
            let blocked = match keyed.contains(&true) {
                true => self.lines_blocked_by(&seqs).await?,
                false => BlockedLines::default(),
            };
            self.link
                .query(
                    "select taskwright.forget($1, $2, $3, $4, $5) as count",
                    &[
                        (&seqs, Type::INT8_ARRAY),
                        (&now, Type::INT8),
                        (&micros(ID_WINDOW), Type::INT8),
                        (&blocked.namespaces, Type::INT4_ARRAY),
                        (&blocked.lines, Type::INT8_ARRAY),
                    ],
                )
                .await?;
            self.serve_after(blocked.names).await;
            let jobs = i64::try_from(seqs.len()).unwrap_or(0);
            let bytes: i64 = weights.iter().sum();
            gone = Kept { jobs: gone.jobs + jobs, bytes: gone.bytes + bytes };
            excess =
                Kept { jobs: (excess.jobs - jobs).max(0), bytes: (excess.bytes - bytes).max(0) };
            *left = left.saturating_sub(seqs.len());
        }
    }
}

/// How to find the oldest jobs of a kind that are beyond the bounds.
struct Kind {
    oldest: &'static str,
}

const ENDED: Kind = Kind {
    oldest: "select seq, weight, false as keyed from ( \
        select seq, weight, finished_at, row_number() over oldest as place, \
               sum(weight) over oldest - weight as before \
        from (select seq, weight, finished_at from taskwright.ended \
              where bucket = (select min(number) from taskwright.bucket)) e \
        window oldest as (order by finished_at, seq)) j \
        where finished_at <= $1 or place <= $2 or before < $3 order by finished_at, seq limit $4",
};
const DEAD: Kind = Kind {
    oldest: "select seq, weight, keyed from ( \
        select seq, weight, finished_at, keyed, row_number() over oldest as place, \
               sum(weight) over oldest - weight as before \
        from (select seq, weight, finished_at, keys is not null as keyed from taskwright.dead \
              order by finished_at, seq limit $4) e \
        window oldest as (order by finished_at, seq)) j \
        where finished_at <= $1 or place <= $2 or before < $3 order by finished_at, seq limit $4",
};
