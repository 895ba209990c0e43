//! Small records that the engine keeps beside the jobs.

use std::sync::Arc;

use taskwright_core::{Json, Name, NewJob, Timestamp};

use crate::request::Inserted;

/// What a document describes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// A schedule: when jobs are made, and where it stands.
    Schedule,
    /// A calendar: days on which schedules make none.
    Calendar,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [DocumentKind; 2] = [DocumentKind::Schedule, DocumentKind::Calendar];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            DocumentKind::Schedule => "schedule",
            DocumentKind::Calendar => "calendar",
        }
    }

    /// The kind of this word.
    pub fn named(word: &str) -> Option<DocumentKind> {
        DocumentKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    /// The tenant.
    pub namespace: Name,
    /// What it describes.
    pub kind: DocumentKind,
    /// Its name.
    pub name: Name,
}

/// A document as a store keeps it. Only the engine knows what is in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which one.
    pub id: DocumentId,
    /// A number that each change makes another one.
    pub revision: u64,
    /// What it says; at most `limits::DOCUMENT_BYTES_MAX`.
    pub body: Json,
    /// When a node should look at it; `None`: no node needs to.
    pub wake_at: Option<Timestamp>,
}

/// A change of one document, with the jobs that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Which document.
    pub id: DocumentId,
    /// The revision that is changed; `None`: there is none of this name.
    pub expected: Option<u64>,
    /// The revision after it, drawn by chance, so that no two changes have the same.
    pub revision: u64,
    /// What it says then; `None`: it is removed.
    pub body: Option<Json>,
    /// When a node should look at it next.
    pub wake_at: Option<Timestamp>,
    /// Jobs to write with it, each for itself, as a partial insert does.
    pub jobs: Vec<NewJob>,
    /// Who asked for it, and for what, for the audit record; `None`: it was due.
    pub asked: Option<Asked>,
}

/// What somebody asked for, in words for the audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub actor: Arc<str>,
    /// For what.
    pub action: Arc<str>,
}

/// What became of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum Ticked {
    /// It was carried out, with these answers for its jobs.
    Done { inserted: Vec<Inserted> },
    /// The document has this very revision: the tick was carried out before.
    Already,
    /// The document has another revision than expected, or none: nothing was changed.
    Conflict,
    /// There are as many documents of the kind in the namespace as there can be.
    Full { max: usize },
}

/// Which documents are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    One(DocumentId),
    /// Those of a kind in a namespace, by name, after this name.
    Of(Name, DocumentKind, Option<Name>),
    /// Those of all namespaces whose `wake_at` has come, earliest first, then by id.
    Due,
    /// Those of all namespaces, by id, after this one.
    All(Option<DocumentId>),
}
