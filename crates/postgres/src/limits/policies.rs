//! Policies as rows, and what a node remembers of them.

use std::sync::Arc;

use taskwright_core::limits::POLICIES_MAX;
use taskwright_core::{LineKey, Name, Ordered, Policy, Rate, Subject};
use taskwright_store::{Controlled, Result};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PolicySet;
use crate::codec::unknown;
use crate::connect::Fault;
use crate::keys::{key_from, key_text};
use crate::link::{Argument, Transaction, no_answer};
use crate::row::{get, name};
use crate::store::PostgresStore;

/// The kinds of subjects, in the database.
const QUEUE: i16 = 0;
const TASK: i16 = 1;
const GROUP: i16 = 2;
const KEY: i16 = 3;
/// What dead jobs do in an order.
const BLOCK: i16 = 0;
const SKIP: i16 = 1;

/// The policies of a namespace with their version; one row without kind where there is none.
const READ: &str = "select m.version, p.kind, p.queue, p.name, p.concurrency, p.rate_count, \
    p.rate_period_ms, p.rate_burst, p.fair, p.weight, p.retry_count, p.retry_period_ms, \
    p.retry_burst, p.waiting, p.ordered, p.is_strict \
    from taskwright.limits m left join taskwright.policy p on p.namespace = m.namespace \
    where m.namespace = $1";
const READ_ALL: &str = "select n.name as namespace, p.kind, p.queue, p.name, p.concurrency, \
    p.rate_count, p.rate_period_ms, p.rate_burst, p.fair, p.weight, p.retry_count, \
    p.retry_period_ms, p.retry_burst, p.waiting, p.ordered, p.is_strict \
    from taskwright.policy p join taskwright.namespace n on n.number = p.namespace";

/// The kind of a subject, the queue of a group, and the name.
fn columns(subject: &Subject) -> (i16, String, String) {
    let plain = |name: &Name| name.as_str().to_owned();
    match subject {
        Subject::Queue(queue) => (QUEUE, String::new(), plain(queue)),
        Subject::Task(task) => (TASK, String::new(), plain(task)),
        Subject::Group { queue, group } => (GROUP, plain(queue), key_text(group).into_owned()),
        Subject::Key(key) => (KEY, String::new(), key_text(key).into_owned()),
    }
}

fn subject(row: &Row) -> Result<Subject> {
    let text: &str = get(row, "name")?;
    Ok(match get::<i16>(row, "kind")? {
        QUEUE => Subject::Queue(name(text)?),
        TASK => Subject::Task(name(text)?),
        GROUP => Subject::Group { queue: name(get(row, "queue")?)?, group: key_from(text).into() },
        KEY => Subject::Key(key_from(text).into()),
        other => return Err(unknown("kind of policy", other)),
    })
}

fn policy(row: &Row) -> Result<Policy> {
    let number = |column| Ok(get::<Option<i64>>(row, column)?.map(narrow));
    let rate = |count, period_ms, burst| {
        let period_ms = get::<Option<i64>>(row, period_ms)?.map(i64::unsigned_abs);
        Ok(match (number(count)?, period_ms, number(burst)?) {
            (Some(count), Some(period_ms), Some(burst)) => Some(Rate { count, period_ms, burst }),
            _ => None,
        })
    };
    let ordered = match get::<Option<i16>>(row, "ordered")? {
        None => None,
        Some(BLOCK) => Some(Ordered::Block),
        Some(SKIP) => Some(Ordered::Skip),
        Some(other) => return Err(unknown("way of dead jobs", other)),
    };
    Ok(Policy {
        concurrency: number("concurrency")?,
        rate: rate("rate_count", "rate_period_ms", "rate_burst")?,
        fair: get(row, "fair")?,
        weight: number("weight")?,
        retries: rate("retry_count", "retry_period_ms", "retry_burst")?,
        waiting: number("waiting")?,
        ordered,
        strict: get(row, "is_strict")?,
    })
}

fn narrow(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn set_from(rows: &[Row]) -> Result<PolicySet> {
    let mut set = PolicySet::default();
    for row in rows {
        set.version = get(row, "version")?;
        if get::<Option<i16>>(row, "kind")?.is_some() {
            let (subject, policy) = (subject(row)?, policy(row)?);
            set.limits_starts |= policy.limits_starts();
            set.has_bounds |= policy.waiting.is_some();
            set.has_strict |= policy.strict;
            set.policies.set(subject, Some(policy));
        }
    }
    Ok(set)
}

/// Whether a subject is a queue or a task. Those come before groups and keys.
pub(super) fn is_of_lane(subject: &Subject) -> bool {
    matches!(subject, Subject::Queue(_) | Subject::Task(_))
}

/// The number under which the next start of a queue or task is kept.
pub(super) fn lane_number(namespace: &Name, subject: &Subject) -> Option<u64> {
    let (kind, name) = match subject {
        Subject::Queue(name) => ("queue", name),
        Subject::Task(name) => ("task", name),
        Subject::Group { .. } | Subject::Key(_) => return None,
    };
    // No group has such a name.
    let line = LineKey::Group { queue: name.clone(), group: format!("\0{kind}").into() };
    Some(line.number(namespace))
}

impl PostgresStore {
    /// The policies of a namespace, as this node knows them; asked for where it does not.
    pub(crate) async fn policy_set(&self, namespace: i32) -> Result<Arc<PolicySet>> {
        match self.limits.known(namespace) {
            Some(set) => Ok(set),
            None => self.read_policies(namespace).await,
        }
    }

    /// The policies of a namespace as they are now.
    pub(crate) async fn read_policies(&self, namespace: i32) -> Result<Arc<PolicySet>> {
        let rows = self.link.query(READ, &[(&namespace, Type::INT4)]).await?;
        Ok(self.limits.keep(namespace, set_from(&rows)?))
    }

    /// The policies of a namespace, of this version or a newer one.
    pub(super) async fn policies_at(
        &self,
        tx: &Transaction<'_>,
        namespace: i32,
        version: i64,
    ) -> Result<Arc<PolicySet>, Fault> {
        if let Some(set) = self.limits.known(namespace).filter(|set| set.version == version) {
            return Ok(set);
        }
        let rows = tx.query(READ, &[(&namespace, Type::INT4)]).await?;
        Ok(self.limits.keep(namespace, set_from(&rows)?))
    }

    /// See `Store::policies`.
    pub(crate) async fn list_policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let set = self.read_policies(number).await?;
        Ok(set.policies.iter().map(|(subject, policy)| (subject.clone(), *policy)).collect())
    }

    /// Every policy there is, by namespace and subject.
    pub(crate) async fn all_policies(&self) -> Result<Vec<(Name, Subject, Policy)>> {
        let rows = self.link.query(READ_ALL, &[]).await?;
        let read = |row| Ok((name(get(row, "namespace")?)?, subject(row)?, policy(row)?));
        let mut all = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        Ok(all)
    }

    /// Carries out `Command::SetPolicy`.
    pub(crate) async fn set_policy(
        &self,
        namespace: &Name,
        subject: &Subject,
        policy: Option<Policy>,
    ) -> Result<Controlled> {
        let number = self.lanes.namespace(&self.link, namespace).await?;
        let (kind, queue, name) = columns(subject);
        let Policy { concurrency, rate, fair, strict, weight, retries, waiting, ordered } =
            policy.unwrap_or_default();
        let count = |rate: Option<Rate>| rate.map(|rate| i64::from(rate.count));
        let period_ms = |rate: Option<Rate>| rate.map(|rate| rate.period_ms.cast_signed());
        let burst = |rate: Option<Rate>| rate.map(|rate| i64::from(rate.burst));
        let ordered = ordered.map(|ordered| match ordered {
            Ordered::Block => BLOCK,
            Ordered::Skip => SKIP,
        });
        let max = i32::try_from(POLICIES_MAX).unwrap_or(i32::MAX);
        let arguments: [Argument<'_>; 17] = [
            (&number, Type::INT4),
            (&kind, Type::INT2),
            (&queue, Type::TEXT),
            (&name, Type::TEXT),
            (&concurrency.map(i64::from), Type::INT8),
            (&count(rate), Type::INT8),
            (&period_ms(rate), Type::INT8),
            (&burst(rate), Type::INT8),
            (&fair, Type::BOOL),
            (&weight.map(i64::from), Type::INT8),
            (&count(retries), Type::INT8),
            (&period_ms(retries), Type::INT8),
            (&burst(retries), Type::INT8),
            (&waiting.map(i64::from), Type::INT8),
            (&ordered, Type::INT2),
            (&strict, Type::BOOL),
            (&max, Type::INT4),
        ];
        let statement = "select taskwright.set_policy($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
            $12, $13, $14, $15, $16, $17) as done";
        let rows = self.link.query(statement, &arguments).await?;
        let row = rows.first().ok_or_else(|| no_answer("whether a policy was set"))?;
        if !get::<bool>(row, "done")? {
            return Ok(Controlled::PoliciesFull { max: POLICIES_MAX });
        }
        self.limits.forget(number);
        // What is ready may have room that had none.
        self.hints.ready_all(namespace);
        Ok(Controlled::Done { state: None })
    }
}
