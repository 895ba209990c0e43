//! Documents.

use rusqlite::{Connection, Row};
use taskwright_core::{Json, Name, Timestamp};
use taskwright_store::{Document, DocumentId, DocumentKind, Result};

use super::failure::{corrupt, failed};
use super::fold::Fold;
use crate::change::DocumentFact;

const LOAD: &str = "load the documents";

pub(super) const TABLES: &str = "
CREATE TABLE documents (
    namespace     TEXT NOT NULL,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    revision      INTEGER NOT NULL,
    wake_at       INTEGER,
    body          TEXT NOT NULL,
    PRIMARY KEY (namespace, kind, name)
) WITHOUT ROWID;
";

pub(super) fn write(connection: &Connection, fold: &Fold) -> rusqlite::Result<()> {
    for (id, document) in &fold.documents {
        let key = (id.namespace.as_str(), id.kind.as_str(), id.name.as_str());
        match document {
            None => connection
                .prepare_cached(
                    "DELETE FROM documents WHERE (namespace, kind, name) = (?1, ?2, ?3)",
                )?
                .execute(key)?,
            Some(document) => connection
                .prepare_cached("INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute((
                    key.0,
                    key.1,
                    key.2,
                    document.revision.cast_signed(),
                    document.wake_at.map(Timestamp::as_micros),
                    document.body.as_str(),
                ))?,
        };
    }
    Ok(())
}

pub(super) fn documents(connection: &Connection) -> Result<Vec<DocumentFact>> {
    let sql = "SELECT namespace, kind, name, revision, wake_at, body FROM documents";
    let mut statement = connection.prepare(sql).map_err(failed(LOAD))?;
    let mut rows = statement.query([]).map_err(failed(LOAD))?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next().map_err(failed(LOAD))? {
        let id = id(row)?;
        let document = document(&id, row).map_err(failed(LOAD))?;
        documents.push(DocumentFact { id, document: Some(document) });
    }
    Ok(documents)
}

fn id(row: &Row<'_>) -> Result<DocumentId> {
    let text = |column| row.get::<_, String>(column).map_err(failed(LOAD));
    let (namespace, kind, called) = (text(0)?, text(1)?, text(2)?);
    let kind = DocumentKind::named(&kind)
        .ok_or_else(|| corrupt(format_args!("{kind:?} is no kind of document")))?;
    Ok(DocumentId { namespace: name(&namespace)?, kind, name: name(&called)? })
}

fn name(text: &str) -> Result<Name> {
    Name::new(text).map_err(|error| corrupt(format_args!("a document is named wrongly: {error}")))
}

fn document(id: &DocumentId, row: &Row<'_>) -> rusqlite::Result<Document> {
    let (revision, wake_at): (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
    Ok(Document {
        id: id.clone(),
        revision: revision.cast_unsigned(),
        wake_at: wake_at.map(Timestamp::from_micros),
        body: Json::from_trusted(row.get::<_, String>(5)?),
    })
}
