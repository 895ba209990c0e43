//! Ordered keys: who comes first.

use std::collections::BTreeSet;

use taskwright_core::{Extras, Job, LineKey, Name, Ordered, Policies, Policy, StateName};
use taskwright_store::Result;
use tokio_postgres::types::Type;

use super::desk::{Desk, Number, Stand};
use super::read::signed;
use super::settle::Settling;
use crate::change::Held;
use crate::codec::extras_from;
use crate::connect::Fault;
use crate::row::get;
use crate::store::PostgresStore;

/// Those dead jobs with keys where something is limited.
const DEAD_WITH_KEYS: &str = "select d.namespace, d.lane, d.extras from taskwright.dead d \
    where d.seq = any($1) and d.keys is not null and taskwright.is_limited(d.namespace)";

/// The lines of keys in whose order dead jobs keep a place that are about to go.
#[derive(Default)]
pub(crate) struct BlockedLines {
    pub lines: Vec<i64>,
    /// Of each line.
    pub namespaces: Vec<i32>,
    pub names: BTreeSet<Name>,
}

impl PostgresStore {
    /// Looks whom these dead jobs keep back.
    pub(crate) async fn lines_blocked_by(&self, dead: &[i64]) -> Result<BlockedLines> {
        let mut blocked = BlockedLines::default();
        let rows = self.link.query(DEAD_WITH_KEYS, &[(&dead, Type::INT8_ARRAY)]).await?;
        for row in &rows {
            let (number, lane): (i32, i32) = (get(row, "namespace")?, get(row, "lane")?);
            let name = self.lanes.namespace_name(&self.link, number).await?;
            let lanes = self.lanes.named(&self.link, &[lane]).await?;
            let Some(lane) = lanes.get(&lane) else { continue };
            let set = self.policy_set(number).await?;
            let extras = extras_from(get(row, "extras")?)?;
            let lines = blocked_lines(&set.policies, &name, &lane.queue, &extras);
            if !lines.is_empty() {
                blocked.namespaces.extend(lines.iter().map(|_| number));
                blocked.lines.extend(lines);
                blocked.names.insert(name);
            }
        }
        Ok(blocked)
    }
}

/// The keys of a dead job in whose order it keeps a place: when it goes, others may come first.
fn blocked_lines(policies: &Policies, namespace: &Name, queue: &Name, extras: &Extras) -> Vec<i64> {
    let keys = LineKey::of(queue, extras);
    let is_blocked = |key: &&LineKey| {
        let ordered = policies.of_key(key).and_then(|policy| policy.ordered);
        ordered.is_some_and(Ordered::is_blocked_by_dead)
    };
    keys.iter().filter(is_blocked).map(|key| key.number(namespace).cast_signed()).collect()
}

impl Held {
    /// The same of a job that is held.
    pub(crate) fn blocked_lines(&self, job: &Job) -> Vec<i64> {
        if job.life.state.name() != StateName::Dead {
            return Vec::new();
        }
        let set = self.policies.get(&job.namespace);
        set.map_or_else(Vec::new, |set| {
            blocked_lines(&set.policies, &job.namespace, &job.queue, &job.extras)
        })
    }
}

impl Desk {
    /// Whether a job may be the next with this key: where it is ordered, the head alone, which is known.
    pub fn may_be_next(&self, key: Number, policy: &Policy, seq: i64) -> bool {
        policy.ordered.is_none() || self.heads.get(&key).copied().flatten() == Some(seq)
    }
}

impl Settling<'_> {
    /// Reads who comes first in the order of keys, of those that are ordered and not known yet.
    pub async fn read_heads(&mut self, keys: &[Number]) -> Result<(), Fault> {
        let unknown = keys.iter().filter(|key| !self.desk.heads.contains_key(*key));
        let ordered = unknown.filter_map(|key| Some((*key, self.policy_of(*key)?.ordered?)));
        let asked: BTreeSet<(Number, bool)> =
            ordered.map(|(key, ordered)| (key, ordered.is_blocked_by_dead())).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let (keys, blocked): (Vec<Number>, Vec<bool>) = asked.into_iter().unzip();
        let rows = self
            .tx
            .query(
                "select * from taskwright.key_heads($1, $2, $3)",
                &[
                    (&self.desk.now.as_micros(), Type::INT8),
                    (&signed(&keys), Type::INT8_ARRAY),
                    (&blocked, Type::BOOL_ARRAY),
                ],
            )
            .await?;
        let mut standing = Vec::new();
        for row in &rows {
            let (key, seq) = (get::<i64>(row, "number")?.cast_unsigned(), get(row, "seq")?);
            self.desk.heads.insert(key, seq);
            // One whose row others hold is still the first, but cannot be moved now.
            if let (Some(seq), Some(lane)) = (seq, get::<Option<i32>>(row, "lane")?)
                && !self.busy.contains(&seq)
            {
                standing.push((key, lane, row));
            }
        }
        self.name_numbers(standing.iter().map(|(_, lane, _)| *lane).collect()).await?;
        for (key, lane, row) in standing {
            self.meet(row, lane, Stand::Line(key))?;
        }
        Ok(())
    }

    /// The head of an ordered key, if it stands in its line and the key has room.
    pub async fn next_in_order(
        &mut self,
        key: Number,
        policy: &Policy,
    ) -> Result<Option<i64>, Fault> {
        if self.desk.room_of_key(key, policy) == 0 {
            return Ok(None);
        }
        self.read_heads(&[key]).await?;
        let head = self.desk.heads.get(&key).copied().flatten();
        let stands =
            |seq: &i64| self.desk.jobs.get(seq).is_some_and(|job| job.stand == Stand::Line(key));
        Ok(head.filter(stands))
    }

    /// Whether a job may be ready that has this ordered key.
    pub async fn has_place_in_order(
        &mut self,
        key: Number,
        policy: &Policy,
        seq: i64,
    ) -> Result<bool, Fault> {
        self.read_usages(&[key]).await?;
        self.read_heads(&[key]).await?;
        Ok(self.desk.room_of_key(key, policy) > 0 && self.desk.may_be_next(key, policy, seq))
    }
}
