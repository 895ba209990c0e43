//! What callers look at: get, list, peek, counts, workers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use taskwright_core::limits::PAGE_MAX;
use taskwright_core::rank::AGING_DEFAULT;
use taskwright_core::{Job, JobId, Name, Resources, Timestamp, WorkerId, turns};
use taskwright_store::{Filter, Page, QueueCounts, Result, WorkerView};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::profile_from;
use crate::heartbeat::info_from;
use crate::link::micros;
use crate::record::Shelf;
use crate::requirements::requirement;
use crate::row::{BIG_COLUMNS, COLUMNS, JOINS, get, name, numbers_of, record};
use crate::store::PostgresStore;

impl PostgresStore {
    pub(crate) async fn get_jobs(
        &self,
        namespace: &Name,
        ids: &[JobId],
    ) -> Result<Vec<Option<Job>>> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let uuids: Vec<Uuid> = ids.iter().map(|id| Uuid::from_u128(id.as_u128())).collect();
        let from = |table: &str| {
            format!(
                "select {COLUMNS}, {BIG_COLUMNS} from taskwright.ident k \
                 join taskwright.{table} j on j.seq = k.seq {JOINS} \
                 where k.namespace = $1 and k.id = any($2) and k.finished_at is null"
            )
        };
        // One statement, so that a job which moves from one table to another is not missed.
        let statement =
            format!("{} union all {} union all {}", from("job"), from("dead"), from("ended"));
        let arguments = [(&number as _, Type::INT4), (&uuids as _, Type::UUID_ARRAY)];
        let rows = self.link.query(&statement, &arguments).await?;
        let mut found = HashMap::new();
        for row in &rows {
            let job = record(row, Shelf::Live)?.job;
            found.insert(job.id, job);
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    pub(crate) async fn list_jobs(&self, filter: Filter) -> Result<Page> {
        let limit = filter.limit.min(PAGE_MAX);
        let mut page = Page::default();
        let mut before = filter.before;
        loop {
            let jobs = self.list_from(&filter, before, limit + 1).await?;
            let is_last = jobs.len() <= limit;
            before = jobs.last().map(|job| job.seq);
            for job in jobs {
                let is_wanted = filter.tag.as_ref().is_none_or(|tag| job.extras.tags.contains(tag));
                if is_wanted && page.jobs.len() == limit {
                    page.next = page.jobs.last().map(|last| last.seq);
                    return Ok(page);
                }
                if is_wanted {
                    page.jobs.push(job);
                }
            }
            if is_last {
                return Ok(page);
            }
        }
    }

    /// Jobs that match, but perhaps not the tag: the text of it occurs in their extras.
    async fn list_from(
        &self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let namespace = self.lanes.namespace(&self.link, &filter.namespace).await?;
        let from = |table: &str| {
            format!(
                "(select {COLUMNS} from taskwright.{table} j {JOINS} where j.namespace = $1 \
                  and ($2::text is null or l.queue = $2) and ($3::text is null or l.task = $3) \
                  and ($4::smallint[] is null or j.state = any($4)) \
                  and ($5::text is null or strpos(j.extras, $5) > 0) \
                  and ($6::bigint is null or j.seq < $6) order by j.seq desc limit $7)"
            )
        };
        let tables: &[&str] = match filter.state {
            Some(taskwright_core::StateName::Dead) => &["dead"],
            Some(state) if state.is_final() => &["ended"],
            Some(_) => &["job"],
            None => &["job", "dead", "ended"],
        };
        let parts: Vec<String> = tables.iter().map(|table| from(table)).collect();
        let statement = format!(
            "select * from ({}) found order by seq desc limit $7",
            parts.join(" union all ")
        );
        let queue = filter.queue.as_ref().map(Name::as_str);
        let task = filter.task.as_ref().map(Name::as_str);
        let states = filter.state.map(|state| numbers_of(state).to_vec());
        let tag = filter.tag.as_ref().and_then(|tag| serde_json::to_string(&**tag).ok());
        let before = before.map(|seq| i64::try_from(seq).unwrap_or(i64::MAX));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .link
            .query(
                &statement,
                &[
                    (&namespace, Type::INT4),
                    (&queue, Type::TEXT),
                    (&task, Type::TEXT),
                    (&states, Type::INT2_ARRAY),
                    (&tag, Type::TEXT),
                    (&before, Type::INT8),
                    (&limit, Type::INT8),
                ],
            )
            .await?;
        rows.iter().map(outline).collect()
    }

    pub(crate) async fn peek_jobs(
        &self,
        namespace: &Name,
        queue: &Name,
        max: usize,
    ) -> Result<Vec<Job>> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let statement = format!(
            "select {COLUMNS} from taskwright.lane l, lateral ( \
                 select * from taskwright.job j where j.lane = l.number and j.state = 1 \
                   and (j.expires_at is null or j.expires_at > taskwright.time_of($3) \
                        or j.max_losses is not null) \
                 order by j.rank, j.seq limit $4) j \
             join taskwright.namespace n on n.number = j.namespace \
             where l.namespace = $1 and l.queue = $2 \
             order by case when exists (select from taskwright.policy p \
                     where p.namespace = $1 and p.kind = 0 and p.name = $2 \
                       and p.is_strict and not p.fair) \
                 then -l.priority else 0 end, j.rank, j.seq limit $4"
        );
        let rows = self
            .link
            .query(
                &statement,
                &[
                    (&number, Type::INT4),
                    (&queue.as_str(), Type::TEXT),
                    (&self.clock.shown(), Type::INT8),
                    (&i64::try_from(max).unwrap_or(i64::MAX), Type::INT8),
                ],
            )
            .await?;
        rows.iter().map(outline).collect()
    }

    pub(crate) async fn count_jobs(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let rows = self
            .link
            .query(
                "select l.queue, c.state, sum(c.amount)::bigint as amount, null::bigint as oldest \
                 from (select lane, state, amount from taskwright.counter \
                       union all select lane, state, delta from taskwright.tally \
                           where number >= $3) c \
                 join taskwright.lane l on l.number = c.lane \
                 where l.namespace = $1 and c.state < 100 group by l.queue, c.state \
                 union all \
                 select l.queue, -1::smallint, 0, min(least(first.due, turn.due)) \
                 from taskwright.lane l left join lateral ( \
                     select j.rank + l.priority * $2 as due from taskwright.job j \
                     where j.lane = l.number and j.state = 1 and j.rank >= $4 \
                     order by j.rank, j.seq limit 1) first on true \
                 left join lateral ( \
                     select j.run_at as due from taskwright.job j \
                     where j.lane = l.number and j.state = 1 and j.rank < -2305843009213693952 \
                     order by j.run_at limit 1) turn on true \
                 where l.namespace = $1 and (first.due is not null or turn.due is not null) \
                 group by l.queue \
                 union all \
                 select q.queue, -2::smallint, 0, null from taskwright.queue q \
                 where q.namespace = $1 and q.paused",
                &[
                    (&number, Type::INT4),
                    (&micros(AGING_DEFAULT), Type::INT8),
                    (&self.tally.from(), Type::INT8),
                    (&turns::END, Type::INT8),
                ],
            )
            .await?;
        let mut queues: BTreeMap<Name, QueueCounts> = BTreeMap::new();
        for row in &rows {
            let queue = name(get(row, "queue")?)?;
            let amount = u64::try_from(get::<i64>(row, "amount")?).unwrap_or(0);
            let counts = queues.entry(queue.clone()).or_insert(QueueCounts::empty(queue));
            match get::<i16>(row, "state")? {
                -2 => counts.paused = true,
                -1 => counts.oldest_ready_at = get::<Option<i64>>(row, "oldest")?.map(full_second),
                0 => counts.blocked += amount,
                1 => counts.ready += amount,
                2 => counts.scheduled += amount,
                3 | 4 => counts.in_line += amount,
                5 => counts.running += amount,
                6 => counts.completed += amount,
                7 => counts.dead += amount,
                8 => counts.cancelled += amount,
                _ => counts.expired += amount,
            }
        }
        Ok(queues.into_values().collect())
    }

    pub(crate) async fn list_workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let rows = self
            .link
            .query(
                "select w.id, w.info, w.profile, w.first_seen_at, w.last_seen_at, \
                        (select count(*) from taskwright.job j where j.worker = w.id \
                           and j.state = 5 and j.namespace = w.namespace) as running, \
                        taskwright.slots_taken(w.namespace, w.id) as slots_taken \
                 from taskwright.worker w where w.namespace = $1 order by w.id",
                &[(&number, Type::INT4)],
            )
            .await?;
        let mut views: Vec<WorkerView> = rows
            .iter()
            .map(|row| {
                Ok(WorkerView {
                    id: WorkerId::from_u128(get::<Uuid>(row, "id")?.as_u128()),
                    info: info_from(get(row, "info")?),
                    profile: profile_from(get(row, "profile")?)?.map(Arc::new),
                    first_seen_at: Timestamp::from_micros(get(row, "first_seen_at")?),
                    last_seen_at: Timestamp::from_micros(get(row, "last_seen_at")?),
                    running: usize::try_from(get::<i64>(row, "running")?).unwrap_or(0),
                    slots_taken: u64::try_from(get::<i64>(row, "slots_taken")?).unwrap_or(0),
                    resources_taken: Resources::NONE,
                })
            })
            .collect::<Result<_>>()?;
        self.read_resources_taken(number, &mut views).await?;
        Ok(views)
    }

    /// Reads how much the jobs take that workers run, where any of them has a resource; sorted by id.
    async fn read_resources_taken(&self, namespace: i32, views: &mut [WorkerView]) -> Result<()> {
        let has_any = |view: &WorkerView| {
            view.profile.as_ref().is_some_and(|profile| profile.labels.has_resources())
        };
        if !views.iter().any(has_any) {
            return Ok(());
        }
        let rows = self
            .link
            .query(
                "select j.worker, r.text from taskwright.job j \
                 join taskwright.worker w on w.id = j.worker and w.namespace = j.namespace \
                 join taskwright.lane l on l.number = j.lane \
                 join taskwright.requirement r on r.number = l.requirement \
                 where w.namespace = $1 and j.state = 5 and r.text ~ '(^|,)[0-9]+ of '",
                &[(&namespace, Type::INT4)],
            )
            .await?;
        for row in &rows {
            let worker = WorkerId::from_u128(get::<Uuid>(row, "worker")?.as_u128());
            let taken = requirement(get(row, "text")?)?.taken();
            if let Ok(place) = views.binary_search_by_key(&worker, |view| view.id) {
                views[place].resources_taken.add(&taken);
            }
        }
        Ok(())
    }
}

fn full_second(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros.div_euclid(1_000_000) * 1_000_000)
}

/// A job as lists show it.
fn outline(row: &tokio_postgres::Row) -> Result<Job> {
    let job = record(row, Shelf::Live)?.job;
    Ok(Job { attempts: Vec::new(), ..job })
}
