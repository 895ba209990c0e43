//! Documents.

use taskwright_core::{Json, Name};
use taskwright_store::{Document, DocumentId, DocumentKind};

use super::vital::{at_base, from_base};
use super::wire::{Reader, Tag, Writer};
use super::{Base, CodecError};
use crate::change::DocumentFact;

const NAMESPACE: Tag = Tag::text(1);
const KIND: Tag = Tag::text(2);
const NAME: Tag = Tag::text(3);
/// Without a body there is no such document any more.
const BODY: Tag = Tag::text(4);
const REVISION: Tag = Tag::fixed_8(5);
const WAKE_AT: Tag = Tag::signed(6);

/// Appends the fields and the end of the record.
pub fn put(writer: &mut Writer<'_>, fact: &DocumentFact, base: Base) {
    let body = fact.document.as_ref().map_or(0, |document| document.body.len());
    writer.reserve(64 + body);
    writer.text(NAMESPACE, fact.id.namespace.as_str());
    writer.text(KIND, fact.id.kind.as_str());
    writer.text(NAME, fact.id.name.as_str());
    if let Some(document) = &fact.document {
        writer.fixed_8(REVISION, document.revision);
        if let Some(wake_at) = document.wake_at {
            writer.signed(WAKE_AT, from_base(wake_at, base));
        }
        writer.text(BODY, document.body.as_str());
    }
    writer.end();
}

/// Takes a whole record.
pub fn take(reader: &mut Reader<'_>, base: Base) -> Result<DocumentFact, CodecError> {
    const RECORD: &str = "a document";
    let missing = |field| CodecError::Missing { record: RECORD, field };
    let (mut namespace, mut kind, mut name) = (None, None, None);
    let (mut body, mut revision, mut wake_at) = (None, None, None);
    while let Some(tag) = reader.tag(RECORD)? {
        match tag {
            NAMESPACE => namespace = Some(take_name(reader)?),
            KIND => {
                let word = reader.text()?;
                kind = Some(DocumentKind::named(&word).ok_or_else(|| reader.impossible())?);
            }
            NAME => name = Some(take_name(reader)?),
            BODY => body = Some(Json::from_trusted(reader.text()?)),
            REVISION => revision = Some(reader.fixed_8()?),
            WAKE_AT => wake_at = Some(at_base(reader.signed()?, base)),
            _ => return Err(reader.unknown()),
        }
    }
    let id = DocumentId {
        namespace: namespace.ok_or(missing("namespace"))?,
        kind: kind.ok_or(missing("kind"))?,
        name: name.ok_or(missing("name"))?,
    };
    let document = match body {
        Some(body) => {
            let revision = revision.ok_or(missing("revision"))?;
            Some(Document { id: id.clone(), revision, body, wake_at })
        }
        None => None,
    };
    Ok(DocumentFact { id, document })
}

fn take_name(reader: &mut Reader<'_>) -> Result<Name, CodecError> {
    let text = reader.text()?;
    Name::new(&text).map_err(|_| reader.impossible())
}
