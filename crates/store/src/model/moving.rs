//! What another store takes over, and what comes from one: export and import.

use std::sync::Arc;

use taskwright_core::limits::{BATCH_MAX, LANES_MAX};
use taskwright_core::{Job, Name};

use super::state::{self, State, event_of};
use crate::moving::{Exported, Imported, PageRoom, QueueSettings, Record, Settings};
use crate::request::Refusal;

impl State {
    pub fn export(&self, after: Option<u64>, limit: usize) -> Exported {
        let behind = self.records.iter().filter(|r| after.is_none_or(|after| r.job.seq > after));
        let mut behind = behind.map(exported).peekable();
        let mut room = PageRoom::default();
        let mut records: Vec<Record> = Vec::new();
        while records.len() < limit.clamp(1, BATCH_MAX)
            && let Some(record) = behind.next_if(|record| room.takes(record))
        {
            records.push(record);
        }
        let next = behind.peek().and(records.last()).map(|record| record.job.seq);
        Exported { records, next, settings: after.is_none().then(|| self.settings()) }
    }

    fn settings(&self) -> Settings {
        let of_jobs = self.records.iter().map(|r| (r.job.namespace.clone(), r.job.queue.clone()));
        let mut names: Vec<(Name, Name)> = of_jobs.chain(self.paused.iter().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        let settings = |(namespace, queue): (Name, Name)| QueueSettings {
            paused: self.is_paused(&namespace, &queue),
            namespace,
            queue,
        };
        Settings {
            queues: names.into_iter().map(settings).collect(),
            policies: self.all_policies(),
        }
    }

    pub fn import(&mut self, record: Record) -> Imported {
        let Job { namespace, id, queue, task, extras, .. } = &record.job;
        if let Some((seq, fingerprint, state)) = self.known(namespace, *id) {
            return if fingerprint == record.fingerprint {
                Imported::Existing { seq, state }
            } else {
                Imported::Refused(Refusal::IdConflict(*id))
            };
        }
        let has_ended = record.job.life.state.is_final();
        let lane = (namespace, queue, task, &extras.requires);
        if !has_ended && self.has_no_room_for_lane(lane) {
            return Imported::Refused(Refusal::LanesFull { max: LANES_MAX });
        }
        let Record { job, fingerprint, allowance } = record.arriving(self.now);
        if let Some(unique) = &job.extras.unique
            && unique.is_held(&job.life, job.created_at, self.now)
            && let Some(holder) = self.holder(&job.namespace, &job.extras)
        {
            let (key, holder) = (Arc::clone(&unique.key), self.records[holder].job.id);
            return Imported::Refused(Refusal::UniqueTaken { key, holder });
        }
        self.last_seq += 1;
        let job = Job { seq: self.last_seq, ..job };
        self.unannounced.push(event_of(&job));
        self.enter(state::Record { job, fingerprint, allowance, claim_seq: 0 });
        Imported::New { seq: self.last_seq }
    }
}

fn exported(record: &state::Record) -> Record {
    let state::Record { job, fingerprint, allowance, .. } = record;
    Record { job: job.clone(), fingerprint: *fingerprint, allowance: *allowance }
}
