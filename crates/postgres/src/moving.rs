//! Jobs on their way from and to another store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use taskwright_core::lifecycle::State;
use taskwright_core::limits::{BATCH_MAX, LANES_MAX};
use taskwright_core::{Job, Timestamp};
use taskwright_store::moving::{PageRoom, check_batch};
use taskwright_store::{
    Exported, Imported, QueueSettings, Record as Moving, Refusal, Result, Settings,
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::change::{ATTEMPTS_MAX, Lacking, SAVE};
use crate::codec::extras_text;
use crate::connect::Fault;
use crate::insert::lanes_taken;
use crate::keys::{KEYS_TRIED_MAX, Keys, key_text, keys_taken, until_number};
use crate::lanes::{FRESH, GIVEN_BACK, Lane, RETURNED, SUSPECT};
use crate::limits::{key_numbers, keys_text, notes_of};
use crate::link::{Transaction, no_answer, raised};
use crate::record::{Record, Shelf};
use crate::row::{BIG_COLUMNS, COLUMNS, Changes, JOINS, get, name, record};
use crate::store::PostgresStore;

/// A job that comes, and where it goes.
struct Arriving {
    record: Moving,
    namespace: i32,
    lane: i32,
    kind: i16,
}

impl Arriving {
    fn wanted_lane(&self) -> Lane {
        let job = &self.record.job;
        Lane {
            namespace: self.namespace,
            queue: job.queue.clone(),
            task: job.task.clone(),
            requires: job.extras.requires.clone(),
            priority: i16::from(job.priority),
            kind: self.kind,
        }
    }
}

impl PostgresStore {
    pub(crate) async fn export_page(&self, after: Option<u64>, limit: usize) -> Result<Exported> {
        let limit = limit.min(BATCH_MAX);
        let from = |table: &str| {
            format!(
                "(select {COLUMNS}, {BIG_COLUMNS}, k.fingerprint from taskwright.{table} j {JOINS} \
                  join taskwright.ident k on k.id = j.id and k.namespace = j.namespace \
                  where j.seq > $1 order by j.seq limit $2)"
            )
        };
        let statement = format!(
            "select * from ({} union all {} union all {}) found order by seq limit $2",
            from("job"),
            from("dead"),
            from("ended")
        );
        let after_seq = after.map_or(0, |seq| i64::try_from(seq).unwrap_or(i64::MAX));
        let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let rows =
            self.link.query(&statement, &[(&after_seq, Type::INT8), (&wanted, Type::INT8)]).await?;
        let mut exported = Exported::default();
        let mut room = PageRoom::default();
        for row in &rows {
            let Record { job, allowance, .. } = record(row, Shelf::Live)?;
            let fingerprint = get::<i64>(row, "fingerprint")?.cast_unsigned();
            let found = Moving { job, fingerprint, allowance };
            if exported.records.len() == limit || !room.takes(&found) {
                exported.next = exported.records.last().map(|last| last.job.seq);
                break;
            }
            exported.records.push(found);
        }
        if after.is_none() {
            exported.settings = Some(self.settings().await?);
        }
        Ok(exported)
    }

    async fn settings(&self) -> Result<Settings> {
        let rows = self
            .link
            .query(
                "select n.name as namespace, q.queue, bool_or(q.paused) as paused from ( \
                     select l.namespace, l.queue, false as paused from taskwright.lane l join ( \
                         select lane, amount from taskwright.counter where state < 100 \
                         union all select lane, delta from taskwright.tally where state < 100) c \
                     on c.lane = l.number group by l.namespace, l.queue having sum(c.amount) > 0 \
                     union all select namespace, queue, paused from taskwright.queue where paused) q \
                 join taskwright.namespace n on n.number = q.namespace group by n.name, q.queue",
                &[],
            )
            .await?;
        let mut queues = Vec::with_capacity(rows.len());
        for row in &rows {
            queues.push(QueueSettings {
                namespace: name(get(row, "namespace")?)?,
                queue: name(get(row, "queue")?)?,
                paused: get(row, "paused")?,
            });
        }
        queues.sort_unstable();
        Ok(Settings { queues, policies: self.all_policies().await? })
    }

    pub(crate) async fn import_all(&self, records: Vec<Moving>) -> Result<Vec<Imported>> {
        check_batch(&records)?;
        let now = self.now().await?;
        let mut coming = Vec::with_capacity(records.len());
        for record in records {
            let record = record.arriving(now);
            let namespace = self.lanes.namespace(&self.link, &record.job.namespace).await?;
            coming.push((namespace, record));
        }
        let ids = coming.iter().map(|(namespace, record)| (*namespace, record.job.id));
        let uuids: Vec<Uuid> = ids.map(|(_, id)| Uuid::from_u128(id.as_u128())).collect();
        self.forget_ids(&uuids).await?;
        for _ in 0..KEYS_TRIED_MAX {
            if let Some(answers) = self.import_some(now, &coming).await? {
                return Ok(answers);
            }
        }
        Err(keys_taken())
    }

    /// `None`: somebody has taken a unique key meanwhile, and nothing was written.
    async fn import_some(
        &self,
        now: Timestamp,
        coming: &[(i32, Moving)],
    ) -> Result<Option<Vec<Imported>>> {
        let mut answers = self.keys_taken_by_others(now, coming).await?;
        let mut arriving = Vec::with_capacity(coming.len());
        let mut firsts = HashSet::new();
        for (place, (namespace, record)) in coming.iter().enumerate() {
            if answers[place].is_none() && firsts.insert((*namespace, record.job.id)) {
                arriving.push((place, self.arriving(record.clone(), *namespace).await?));
            }
        }
        let (places, mut arriving): (Vec<_>, Vec<_>) =
            arriving.into_iter().filter_map(|(place, job)| Some((place, job?))).unzip();
        let Some(new) = self.write_imported(now, &mut arriving).await? else { return Ok(None) };
        for (at, seq) in new {
            answers[places[at]] = Some(Imported::New { seq });
        }
        if answers.iter().any(Option::is_none) {
            let ids = coming.iter();
            let ids: Vec<_> =
                ids.map(|(namespace, it)| (*namespace, it.job.id, it.fingerprint)).collect();
            let known = self.known_ids(ids.clone()).await?;
            for ((answer, known), (_, id, _)) in answers.iter_mut().zip(known).zip(ids) {
                let otherwise = match known {
                    Some(known) if known.is_conflict => Imported::Refused(Refusal::IdConflict(id)),
                    Some(known) => Imported::Existing { seq: known.seq, state: known.state },
                    None => Imported::Refused(Refusal::LanesFull { max: LANES_MAX }),
                };
                answer.get_or_insert(otherwise);
            }
        }
        self.announce_imported(&arriving);
        Ok(Some(answers.into_iter().flatten().collect()))
    }

    /// The refusals of those who would hold the unique key of another job, or of one before them.
    async fn keys_taken_by_others(
        &self,
        now: Timestamp,
        coming: &[(i32, Moving)],
    ) -> Result<Vec<Option<Imported>>> {
        let mut answers = vec![None; coming.len()];
        let key_of = |job: &Job| {
            let unique = job.extras.unique.as_ref();
            let unique = unique.filter(|it| it.is_held(&job.life, job.created_at, now))?;
            Some(Arc::clone(&unique.key))
        };
        let keys: Vec<_> = coming.iter().map(|(_, record)| key_of(&record.job)).collect();
        if keys.iter().all(Option::is_none) {
            return Ok(answers);
        }
        let asked = coming.iter().zip(&keys).map(|((namespace, record), key)| {
            (*namespace, record.job.id, record.fingerprint, key.as_deref())
        });
        let (_, looked) = self.look_up(&asked.collect::<Vec<_>>()).await?;
        let (mut firsts, mut held) = (HashSet::new(), HashMap::new());
        for (place, (namespace, record)) in coming.iter().enumerate() {
            let id = record.job.id;
            if looked[place].known.is_some() || firsts.contains(&(*namespace, id)) {
                continue;
            }
            if let Some(key) = &keys[place] {
                let before = held.get(&(*namespace, key)).copied();
                let holder = before.or(looked[place].holder.map(|holder| holder.id));
                if let Some(holder) = holder {
                    let refusal = Refusal::UniqueTaken { key: Arc::clone(key), holder };
                    answers[place] = Some(Imported::Refused(refusal));
                    continue;
                }
                held.insert((*namespace, key), id);
            }
            firsts.insert((*namespace, id));
        }
        Ok(answers)
    }

    /// Where the job goes; `None`: there is no room for its lane.
    async fn arriving(&self, record: Moving, namespace: i32) -> Result<Option<Arriving>> {
        let life = &record.job.life;
        let kind = match life.state {
            State::Available(_) if life.is_suspect() => SUSPECT,
            State::Available(_) => RETURNED,
            _ => FRESH,
        };
        let mut arriving = Arriving { record, namespace, lane: 0, kind };
        let wanted = [arriving.wanted_lane()];
        let numbers = self.lanes.numbers(&self.link, &wanted, self.tally.from()).await?;
        Ok(numbers.into_iter().flatten().next().map(|lane| {
            arriving.lane = lane;
            arriving
        }))
    }

    /// Writes jobs; answers the places and numbers of the new ones. `None`: somebody has taken a
    /// unique key meanwhile.
    async fn write_imported(
        &self,
        now: Timestamp,
        jobs: &mut [Arriving],
    ) -> Result<Option<Vec<(usize, u64)>>> {
        if jobs.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let lacking = Lacking::default();
        for _ in 0..ATTEMPTS_MAX {
            let written = self.try_to_write(now, jobs, &lacking).await;
            if lacking.take_code().is_some() {
                return Ok(None);
            }
            let lanes = lacking.take();
            if lanes.is_empty() {
                return written.map(Some);
            }
            self.lanes.forget(&lanes);
            let numbers = self.lanes.numbers(&self.link, &lanes, self.tally.from()).await?;
            for (job, number) in jobs.iter_mut().zip(numbers) {
                job.lane = number.ok_or_else(lanes_taken)?;
            }
        }
        Err(lanes_taken())
    }

    async fn try_to_write(
        &self,
        now: Timestamp,
        jobs: &[Arriving],
        lacking: &Lacking,
    ) -> Result<Vec<(usize, u64)>> {
        self.link
            .pool
            .transact(self.link.deadline(), |connection| async move {
                let transaction = Transaction { connection, link: &self.link };
                let new = match adopt(&transaction, jobs).await {
                    Err(fault) if raised(&fault).is_some_and(|code| code == GIVEN_BACK) => {
                        return Err(lacking.note(jobs.iter().map(Arriving::wanted_lane).collect()));
                    }
                    new => new?,
                };
                let mut changes = Changes::default();
                let mut keys = Keys::default();
                let came = || new.iter().map(|(place, _)| &jobs[*place].record.job);
                let policies = self.policies_for(&transaction, came(), false).await?;
                self.note_lines(&transaction, notes_of(came())).await?;
                for (place, seq) in &new {
                    let Arriving { record, lane, kind, namespace } = &jobs[*place];
                    keys.add(*seq, *namespace, &record.job, now);
                    let mut job = record.job.clone();
                    job.seq = *seq;
                    let allowance = record.allowance;
                    let (shelf, touched) = (Shelf::Live, true);
                    let (lane, kind) = (*lane, *kind);
                    let mut record = Record { job, shelf, lane, kind, allowance, touched };
                    if let Some(set) = policies.get(&record.job.namespace) {
                        record.line_up(&set.policies);
                    }
                    changes.add(&record, lane);
                }
                transaction.query(SAVE, &changes.arguments()).await?;
                let taken = keys.take(&transaction, now).await;
                taken.map_err(|fault| lacking.note_raised(fault))?;
                Ok(new)
            })
            .await
    }

    fn announce_imported(&self, jobs: &[Arriving]) {
        let waits = jobs.iter().filter(|job| job.kind != FRESH);
        let mut queues: Vec<_> =
            waits.map(|job| (&job.record.job.namespace, &job.record.job.queue)).collect();
        queues.sort_unstable();
        queues.dedup();
        self.hints.ready(queues);
    }

    /// The store's own time.
    pub(crate) async fn now(&self) -> Result<Timestamp> {
        let rows = self
            .link
            .query("select taskwright.time_of($1) as now", &[(&self.clock.shown(), Type::INT8)])
            .await?;
        let row = rows.first().ok_or_else(|| no_answer("the time"))?;
        Ok(Timestamp::from_micros(get(row, "now")?))
    }
}

async fn adopt(tx: &Transaction<'_>, jobs: &[Arriving]) -> Result<Vec<(usize, u64)>, Fault> {
    let job = || jobs.iter().map(|arriving| &arriving.record.job);
    let number = |number: u32| number.cast_signed();
    let micros = |instant: Option<Timestamp>| instant.map(Timestamp::as_micros);
    let namespaces: Vec<i32> = jobs.iter().map(|arriving| arriving.namespace).collect();
    let ids: Vec<Uuid> = job().map(|job| Uuid::from_u128(job.id.as_u128())).collect();
    let lanes: Vec<i32> = jobs.iter().map(|arriving| arriving.lane).collect();
    let fingerprints: Vec<i64> =
        jobs.iter().map(|arriving| arriving.record.fingerprint.cast_signed()).collect();
    let priorities: Vec<i16> = job().map(|job| i16::from(job.priority)).collect();
    let attempts: Vec<i32> = job().map(|job| number(job.life.attempt)).collect();
    let max_attempts: Vec<i32> = job().map(|job| number(job.life.max_attempts)).collect();
    let run_at: Vec<i64> = job().map(|job| job.run_at.as_micros()).collect();
    let created_at: Vec<i64> = job().map(|job| job.created_at.as_micros()).collect();
    let timeouts: Vec<Option<i64>> =
        job().map(|job| job.timeout_ms.map(u64::cast_signed)).collect();
    let expires_at: Vec<Option<i64>> = job().map(|job| micros(job.extras.expires_at)).collect();
    let workers: Vec<Option<Uuid>> =
        job().map(|job| job.worker.map(|worker| Uuid::from_u128(worker.as_u128()))).collect();
    let started_at: Vec<Option<i64>> = job().map(|job| micros(job.started_at)).collect();
    let extras: Vec<Option<String>> = job().map(|job| extras_text(&job.extras)).collect();
    let args: Vec<&str> =
        job().map(|job| job.args.as_ref().map_or("null", |args| args.as_str())).collect();
    let unique = || job().map(|job| job.extras.unique.as_ref());
    let keys: Vec<_> = unique().map(|it| it.map(|it| key_text(&it.key))).collect();
    let until: Vec<Option<i16>> = unique().map(|it| it.map(|it| until_number(it.until))).collect();
    let limited_by = job().map(|job| key_numbers(&job.namespace, &job.queue, &job.extras));
    let limited_by: Vec<_> = limited_by.map(|numbers| keys_text(&numbers)).collect();
    let rows = tx
        .query(
            "select ord, seq from taskwright.adopt_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
             $11, $12, $13, $14, $15, $16, $17, $18)",
            &[
                (&namespaces, Type::INT4_ARRAY),
                (&ids, Type::UUID_ARRAY),
                (&lanes, Type::INT4_ARRAY),
                (&fingerprints, Type::INT8_ARRAY),
                (&priorities, Type::INT2_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&max_attempts, Type::INT4_ARRAY),
                (&run_at, Type::INT8_ARRAY),
                (&created_at, Type::INT8_ARRAY),
                (&timeouts, Type::INT8_ARRAY),
                (&expires_at, Type::INT8_ARRAY),
                (&workers, Type::UUID_ARRAY),
                (&started_at, Type::INT8_ARRAY),
                (&extras, Type::TEXT_ARRAY),
                (&args, Type::TEXT_ARRAY),
                (&keys, Type::TEXT_ARRAY),
                (&until, Type::INT2_ARRAY),
                (&limited_by, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    let mut new = Vec::with_capacity(rows.len());
    for row in &rows {
        let place = usize::try_from(get::<i64>(row, "ord")? - 1).unwrap_or(usize::MAX);
        if place < jobs.len() {
            new.push((place, get::<i64>(row, "seq")?.unsigned_abs()));
        }
    }
    Ok(new)
}
