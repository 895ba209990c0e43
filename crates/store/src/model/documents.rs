//! Documents.

use taskwright_core::limits::{DOCUMENTS_MAX, DOCUMENTS_PAGE_MAX};

use super::state::State;
use crate::document::{Document, DocumentId, Tick, Ticked, Wanted};

impl State {
    pub fn tick(&mut self, tick: Tick) -> Ticked {
        let Tick { id, expected, revision, body, wake_at, jobs, asked: _ } = tick;
        let found = self.documents.iter().position(|document| document.id == id);
        let current = found.map(|index| self.documents[index].revision);
        if current == Some(revision) {
            return Ticked::Already;
        }
        if current != expected {
            return Ticked::Conflict;
        }
        if current.is_none() && body.is_some() && self.has_no_room_for_document(&id) {
            return Ticked::Full { max: DOCUMENTS_MAX };
        }
        self.documents.retain(|document| document.id != id);
        self.documents.extend(body.map(|body| Document { id, revision, body, wake_at }));
        // Those who made the schedule have gone: nobody would hear that a queue is full.
        Ticked::Done { inserted: jobs.into_iter().map(|job| self.insert_one(job, false)).collect() }
    }

    fn has_no_room_for_document(&self, id: &DocumentId) -> bool {
        let of_kind = |document: &&Document| {
            (&document.id.namespace, document.id.kind) == (&id.namespace, id.kind)
        };
        self.documents.iter().filter(of_kind).count() >= DOCUMENTS_MAX
    }

    pub fn documents(&self, wanted: &Wanted, limit: usize) -> Vec<Document> {
        let is_wanted = |document: &&Document| match wanted {
            Wanted::One(id) => document.id == *id,
            Wanted::Of(namespace, kind, after) => {
                let DocumentId { namespace: its, kind: its_kind, name } = &document.id;
                (its, its_kind) == (namespace, kind)
                    && after.as_ref().is_none_or(|after| name > after)
            }
            Wanted::Due => document.wake_at.is_some_and(|at| at <= self.now),
            Wanted::All(after) => after.as_ref().is_none_or(|after| document.id > *after),
        };
        let mut found: Vec<_> = self.documents.iter().filter(is_wanted).cloned().collect();
        match wanted {
            Wanted::Due => found.sort_by(|a, b| (a.wake_at, &a.id).cmp(&(b.wake_at, &b.id))),
            _ => found.sort_by(|a, b| a.id.cmp(&b.id)),
        }
        found.truncate(limit.min(DOCUMENTS_PAGE_MAX));
        found
    }
}
