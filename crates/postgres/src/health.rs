//! What an operator should know: rows that vacuum could not take away, and who is to blame.

use std::sync::Arc;

use taskwright_store::Result;

use crate::row::get;
use crate::store::PostgresStore;

/// Dead rows of the hot table, and whatever keeps vacuum from taking them away longest: a
/// transaction, a prepared transaction or a replication slot.
const LOOK: &str = "
    select coalesce(s.n_dead_tup, 0) as dead, coalesce(s.n_live_tup, 0) as live,
           pg_size_pretty(pg_total_relation_size('taskwright.job'::regclass)) as size, h.who
    from (select 1) one
    left join pg_stat_all_tables s on s.relid = 'taskwright.job'::regclass
    left join lateral (
        select who from (
            select format('pid %s of %s (%s), open for %s: %s', pid, usename,
                          coalesce(nullif(application_name, ''), 'no name'),
                          date_trunc('second', clock_timestamp() - xact_start), left(query, 80)) as who,
                   age(backend_xmin) as held
            from pg_stat_activity
            where backend_xmin is not null and xact_start < clock_timestamp() - interval '10 seconds'
              and backend_type = 'client backend' and datname = current_database()
            union all
            select format('prepared transaction %s, open since %s', gid, prepared), age(transaction)
            from pg_prepared_xacts where database = current_database()
            union all
            select format('replication slot %s', slot_name), age(coalesce(catalog_xmin, xmin))
            from pg_replication_slots where xmin is not null
        ) holders order by held desc nulls last limit 1) h on true";

impl PostgresStore {
    pub(crate) async fn health_facts(&self) -> Result<Vec<(Arc<str>, String)>> {
        let rows = self.link.query(LOOK, &[]).await?;
        let Some(row) = rows.first() else { return Ok(Vec::new()) };
        let (dead, live): (i64, i64) = (get(row, "dead")?, get(row, "live")?);
        let mut facts: Vec<(Arc<str>, String)> = vec![(
            "hot table".into(),
            format!("{}, about {live} live and {dead} dead rows", get::<String>(row, "size")?),
        )];
        if let Some(holder) = get::<Option<String>>(row, "who")? {
            facts.push((
                "holds back vacuum".into(),
                format!("{holder}; end it, or dead rows pile up"),
            ));
        }
        Ok(facts)
    }
}
