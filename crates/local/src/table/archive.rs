//! The table behind the ledger and the writer.

use taskwright_core::{JobId, Name, Timestamp};
use taskwright_store::Result;

use super::{Kept, LiveJob, Loaded, Look, Reader, Table, TableHandle, limits};
use crate::change::{Change, Position, Seq};
use crate::core::Feed;
use crate::ledger::{self, Archive, Archived, ArchivedJob, DeadJob, LoadedJob};

/// With more segments in use the table is asked to write back. Jobs that are held back keep some.
const SEGMENTS_WANTED: usize = 6;

/// The table as archive of a ledger, for the writer's thread. Jobs that it hands over to be changed
/// are safe from pruning until they are released.
pub struct TableArchive {
    handle: TableHandle,
    /// None where the table is in memory: then its thread is asked.
    reader: Option<Reader>,
}

impl TableArchive {
    /// An archive over a running table.
    pub fn new(handle: TableHandle) -> Result<Self> {
        let reader = handle.path().map(Reader::open).transpose()?;
        Ok(TableArchive { handle, reader })
    }

    fn find(&mut self, wanted: Wanted) -> Result<Option<Archived>> {
        match &mut self.reader {
            Some(reader) => wanted.find(&mut reader.look()),
            None => self.handle.look_now(move |look| wanted.find(look)),
        }
    }
}

/// By what a job is looked for.
enum Wanted {
    Id(Name, JobId),
    Seq(Seq),
}

impl Wanted {
    fn find(&self, look: &mut Look<'_>) -> Result<Option<Archived>> {
        let seq = match self {
            Wanted::Seq(seq) => *seq,
            Wanted::Id(namespace, id) => match look.known(namespace, *id)? {
                Some(known) if known.is_kept => known.seq,
                Some(known) => {
                    return Ok(known.finished_at.map(|finished_at| Archived::Gone {
                        seq: known.seq,
                        fingerprint: known.fingerprint,
                        state: known.state,
                        finished_at,
                    }));
                }
                None => return Ok(None),
            },
        };
        let kept = look.kept(seq)?;
        Ok(kept.map(|job| {
            let Kept { fixed, vital, more, worker } = job;
            Archived::Whole(Box::new(ArchivedJob { fixed, vital, more, worker }))
        }))
    }
}

impl Archive for TableArchive {
    fn by_id(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>> {
        self.find(Wanted::Id(namespace.clone(), id))
    }

    fn by_seq(&mut self, seq: Seq) -> Result<Option<Archived>> {
        self.find(Wanted::Seq(seq))
    }

    fn recall(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>> {
        let found = self.by_id(namespace, id)?;
        let Some(Archived::Whole(job)) = &found else { return Ok(found) };
        let seq = job.fixed.seq;
        self.handle.spare(seq);
        // It may have been pruned just before it was spared.
        let found = self.by_id(namespace, id)?;
        if !matches!(&found, Some(Archived::Whole(job)) if job.fixed.seq == seq) {
            self.handle.release(seq);
        }
        Ok(found)
    }

    fn dead_with_keys(&mut self) -> Result<Vec<DeadJob>> {
        match &mut self.reader {
            Some(reader) => limits::dead_with_keys(reader.look().connection),
            None => self.handle.look_now(|look| limits::dead_with_keys(look.connection)),
        }
    }

    fn release(&mut self, seq: Seq) {
        self.handle.release(seq);
    }
}

/// For recovery, before the table has a thread.
impl Archive for Table {
    fn by_id(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>> {
        Wanted::Id(namespace.clone(), id).find(&mut self.look())
    }

    fn by_seq(&mut self, seq: Seq) -> Result<Option<Archived>> {
        Wanted::Seq(seq).find(&mut self.look())
    }

    fn recall(&mut self, namespace: &Name, id: JobId) -> Result<Option<Archived>> {
        self.by_id(namespace, id)
    }

    fn dead_with_keys(&mut self) -> Result<Vec<DeadJob>> {
        Table::dead_with_keys(self)
    }

    /// Nobody prunes before the table has a thread.
    fn release(&mut self, _seq: Seq) {}
}

impl Feed for TableHandle {
    fn push(&mut self, position: Position, now: Timestamp, changes: Vec<Change>) {
        self.send(position, now, changes);
    }

    fn blank(&mut self) -> Vec<Change> {
        TableHandle::blank(self)
    }

    fn applied(&self) -> Position {
        TableHandle::applied(self)
    }

    fn whole(&self) -> Position {
        TableHandle::whole(self)
    }

    fn durable(&self) -> Position {
        TableHandle::durable(self)
    }

    fn segments(&self, count: usize) {
        // Only where that can free one.
        if count > SEGMENTS_WANTED && self.durable() < self.whole() {
            self.want_checkpoint();
        }
    }
}

impl From<Loaded> for ledger::Loaded {
    fn from(loaded: Loaded) -> Self {
        let Loaded { lanes, queues, policies, documents, arrivals, turns, .. } = loaded;
        let Loaded { workers, next_worker, ended, holds, .. } = loaded;
        ledger::Loaded {
            lanes,
            queues,
            policies,
            documents,
            arrivals,
            turns,
            workers,
            next_worker,
            ended,
            holds,
        }
    }
}

impl From<LiveJob> for LoadedJob {
    fn from(job: LiveJob) -> Self {
        let LiveJob { fixed, args_len, vital, more, has_attempts } = job;
        LoadedJob { fixed, args_len, vital, more, has_attempts }
    }
}
