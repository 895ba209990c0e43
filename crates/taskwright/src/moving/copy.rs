//! Copying, page by page.

use taskwright_core::limits::LANES_MAX;
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::{Imported, Refusal};

use super::{Moved, Patient, Step, Watch};

/// Writes all jobs of the source into the destination. A job that is there stays as it is.
pub(super) async fn copy(
    from: &Patient<'_>,
    to: &Patient<'_>,
    of: u64,
    moved: &mut Moved,
    watch: &mut Watch<'_>,
) -> Result<()> {
    let mut after = None;
    let mut jobs = 0;
    loop {
        let page = from.export(after).await?;
        let imported = match page.records.is_empty() {
            true => Vec::new(),
            false => to.import(&page.records).await?,
        };
        for answer in imported {
            match answer {
                Imported::New { .. } => moved.written += 1,
                Imported::Existing { .. } => moved.known += 1,
                // The comparison names it.
                Imported::Refused(Refusal::IdConflict(_)) => {}
                Imported::Refused(refusal) => return Err(no_room(&refusal)),
            }
        }
        jobs += page.records.len() as u64;
        watch(Step::Copied { jobs, of: of.max(jobs) });
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn no_room(refusal: &Refusal) -> Error {
    let what = match refusal {
        Refusal::LanesFull { .. } => {
            format!("together they have more than {LANES_MAX} lanes (queue × task × requirement)")
        }
        other => other.to_string(),
    };
    let message = format!(
        "the destination has no room for the jobs of the source: {what}; make room there, or name \
         an empty place, and run it again"
    );
    Error::new(ErrorCode::StoreFull, message)
}
