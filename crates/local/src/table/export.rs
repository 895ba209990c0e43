//! Pages of whole jobs, for another store to take over.

use taskwright_store::moving::PageRoom;
use taskwright_store::{Exported, Record, Result};

use super::failure::{corrupt, failed};
use super::look::Look;
use crate::change::Seq;

const EXPORT: &str = "export jobs of the table";

impl Look<'_> {
    /// One page of all jobs behind `after`, whole, by growing seq; without the settings.
    pub fn export(&mut self, after: Option<Seq>, limit: usize) -> Result<Exported> {
        // One snapshot for the whole page.
        let _snapshot = self.connection.unchecked_transaction().map_err(failed(EXPORT))?;
        let sql = "SELECT seq, fingerprint, max_attempts FROM jobs WHERE seq > ?1 \
                   ORDER BY seq LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed(EXPORT))?;
        let bounds = [after.unwrap_or(0).cast_signed(), limit as i64 + 1];
        let mut rows = statement.query(bounds).map_err(failed(EXPORT))?;
        let mut page = Exported::default();
        let mut room = PageRoom::default();
        while let Some(row) = rows.next().map_err(failed(EXPORT))? {
            let hidden = (|| {
                let seq = row.get::<_, i64>(0)?.cast_unsigned();
                Ok((seq, row.get::<_, i64>(1)?.cast_unsigned(), row.get(2)?))
            })();
            let (seq, fingerprint, allowance) = hidden.map_err(failed(EXPORT))?;
            let missing = || corrupt(format_args!("job number {seq} is gone"));
            let job = self.whole(seq)?.ok_or_else(missing)?;
            let record = Record { job, fingerprint, allowance };
            if page.records.len() == limit || !room.takes(&record) {
                page.next = page.records.last().map(|record| record.job.seq);
                break;
            }
            page.records.push(record);
        }
        Ok(page)
    }
}
