//! Documents, and when somebody should look at them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use taskwright_core::Timestamp;
use taskwright_core::limits::{DOCUMENTS_MAX, DOCUMENTS_PAGE_MAX};
use taskwright_store::{Document, DocumentId, Result, Tick, Ticked, Wanted};

use super::{Archive, Ledger};
use crate::change::{Audit, Change, DocumentFact};

/// The documents of a store.
#[derive(Debug, Default)]
pub(super) struct Documents {
    by_id: BTreeMap<DocumentId, Document>,
    by_time: BTreeSet<(Timestamp, DocumentId)>,
}

impl Documents {
    /// A document is now so.
    pub fn set(&mut self, fact: DocumentFact) {
        let before = match fact.document {
            Some(document) => {
                let wake = document.wake_at.map(|at| (at, fact.id.clone()));
                self.by_time.extend(wake.clone());
                let before = self.by_id.insert(fact.id, document);
                before.filter(|before| before.wake_at != wake.map(|(at, _)| at))
            }
            None => self.by_id.remove(&fact.id),
        };
        if let Some((before, at)) = before.and_then(|before| Some((before.id, before.wake_at?))) {
            self.by_time.remove(&(at, before));
        }
    }

    /// The earliest instant at which somebody should look.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn has_no_room_for(&self, id: &DocumentId) -> bool {
        let of_kind = self
            .by_id
            .keys()
            .filter(|other| (&other.namespace, other.kind) == (&id.namespace, id.kind));
        self.by_id.len() >= DOCUMENTS_MAX && of_kind.count() >= DOCUMENTS_MAX
    }

    fn wanted(&self, wanted: &Wanted, now: Timestamp, limit: usize) -> Vec<Document> {
        let after = |id: Option<DocumentId>| id.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = |id| self.by_id.range((after(id), Bound::Unbounded)).map(|(_, found)| found);
        match wanted {
            Wanted::One(id) => self.by_id.get(id).into_iter().cloned().collect(),
            Wanted::Of(namespace, kind, name) => {
                let id = name.clone().map(|name| DocumentId {
                    namespace: namespace.clone(),
                    kind: *kind,
                    name,
                });
                let is_of = |id: &DocumentId| (&id.namespace, id.kind) == (namespace, *kind);
                let found = behind(id).skip_while(|found| !is_of(&found.id));
                found.take_while(|found| is_of(&found.id)).take(limit).cloned().collect()
            }
            Wanted::Due => {
                let due = self.by_time.iter().take_while(|(at, _)| *at <= now);
                due.take(limit).filter_map(|(_, id)| self.by_id.get(id)).cloned().collect()
            }
            Wanted::All(id) => behind(id.clone()).take(limit).cloned().collect(),
        }
    }
}

impl Ledger {
    /// See `Store::tick`.
    pub fn tick(&mut self, ticks: Vec<Tick>, archive: &mut dyn Archive) -> Result<Vec<Ticked>> {
        ticks.into_iter().map(|tick| self.tick_one(tick, archive)).collect()
    }

    fn tick_one(&mut self, tick: Tick, archive: &mut dyn Archive) -> Result<Ticked> {
        let Tick { id, expected, revision, body, wake_at, jobs, asked } = tick;
        let current = self.documents.by_id.get(&id).map(|document| document.revision);
        if current == Some(revision) {
            return Ok(Ticked::Already);
        }
        if current != expected {
            return Ok(Ticked::Conflict);
        }
        if current.is_none() && body.is_some() && self.documents.has_no_room_for(&id) {
            return Ok(Ticked::Full { max: DOCUMENTS_MAX });
        }
        if let Some(asked) = asked {
            let audit = Audit { at: self.now, actor: asked.actor, action: asked.action };
            self.changes.push(Change::Audit(audit));
        }
        let document = body.map(|body| Document { id: id.clone(), revision, body, wake_at });
        let fact = DocumentFact { id, document };
        self.changes.push(Change::Document(Box::new(fact.clone())));
        self.documents.set(fact);
        // Those who made the schedule have gone: nobody would hear that a queue is full.
        Ok(Ticked::Done { inserted: self.insert_freely(jobs, archive)? })
    }

    /// See `Store::documents`.
    pub fn documents(&self, wanted: &Wanted, limit: usize) -> Vec<Document> {
        self.documents.wanted(wanted, self.now, limit.min(DOCUMENTS_PAGE_MAX))
    }
}
