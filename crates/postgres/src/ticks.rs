//! Documents: changed if they have the expected revision, with their jobs in the same transaction.

use taskwright_core::limits::{DOCUMENTS_MAX, DOCUMENTS_PAGE_MAX};
use taskwright_core::{Json, Name, Timestamp};
use taskwright_store::{
    Document, DocumentId, DocumentKind, Error, ErrorKind, Result, Tick, Ticked, Wanted,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::change::Lacking;
use crate::connect::Fault;
use crate::link::{Transaction, no_answer};
use crate::row::get;
use crate::store::PostgresStore;

const TICK: &str = "select taskwright.tick_document($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
    as verdict";
const COLUMNS: &str = "select n.name as namespace, d.kind, d.name, d.revision, d.wake_at, d.body \
    from taskwright.document d join taskwright.namespace n on n.number = d.namespace";

/// A tick, and the number of its namespace.
pub(crate) struct Change<'t> {
    pub tick: &'t Tick,
    pub namespace: i32,
}

impl PostgresStore {
    pub(crate) async fn tick_all(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>> {
        let mut ticked = Vec::with_capacity(ticks.len());
        for tick in ticks {
            ticked.push(self.tick_one(tick).await?);
        }
        Ok(ticked)
    }

    async fn tick_one(&self, tick: Tick) -> Result<Ticked> {
        let namespace = self.lanes.namespace(&self.link, &tick.id.namespace).await?;
        let change = Change { tick: &tick, namespace };
        Box::pin(self.insert_planned(&tick.jobs, true, Some(&change))).await
    }

    /// Changes the document. Where it does not count, the transaction has to end without it.
    pub(crate) async fn change_document(
        &self,
        tx: &Transaction<'_>,
        change: &Change<'_>,
        lacking: &Lacking,
    ) -> Result<(), Fault> {
        let Tick { id, expected, revision, body, wake_at, asked, .. } = change.tick;
        let room = i64::try_from(DOCUMENTS_MAX).unwrap_or(i64::MAX);
        let words = |text: &str| text.replace('\0', "\u{fffd}");
        let rows = tx
            .query(
                TICK,
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&change.namespace, Type::INT4),
                    (&id.kind.as_str(), Type::TEXT),
                    (&id.name.as_str(), Type::TEXT),
                    (&expected.map(u64::cast_signed), Type::INT8),
                    (&revision.cast_signed(), Type::INT8),
                    (&body.as_ref().map(Json::as_str), Type::TEXT),
                    (&wake_at.map(Timestamp::as_micros), Type::INT8),
                    (&room, Type::INT8),
                    (&asked.as_ref().map(|asked| words(&asked.actor)), Type::TEXT),
                    (&asked.as_ref().map(|asked| words(&asked.action)), Type::TEXT),
                ],
            )
            .await?;
        let verdict = rows.first().map(|row| get::<i16>(row, "verdict")).transpose();
        match verdict.map_err(Fault::Store)? {
            Some(0) => Ok(()),
            Some(1) => Err(lacking.note_code(ALREADY)),
            Some(2) => Err(lacking.note_code(OTHER_REVISION)),
            Some(3) => Err(lacking.note_code(NO_ROOM)),
            _ => Err(Fault::Store(no_answer("what became of a document"))),
        }
    }

    pub(crate) async fn find_documents(
        &self,
        wanted: Wanted,
        limit: usize,
    ) -> Result<Vec<Document>> {
        let limit = i64::try_from(limit.min(DOCUMENTS_PAGE_MAX)).unwrap_or(i64::MAX);
        let rows = match wanted {
            Wanted::One(DocumentId { namespace, kind, name }) => {
                let sql = format!("{COLUMNS} where (n.name, d.kind, d.name) = ($1, $2, $3)");
                let key = [namespace.as_str(), kind.as_str(), name.as_str()];
                self.documents_by(&sql, key, limit).await?
            }
            Wanted::Of(namespace, kind, after) => {
                let sql = format!(
                    "{COLUMNS} where (n.name, d.kind) = ($1, $2) and d.name > $3 \
                     order by d.name limit $4"
                );
                let after = after.as_ref().map_or("", Name::as_str);
                self.documents_by(&sql, [namespace.as_str(), kind.as_str(), after], limit).await?
            }
            Wanted::All(after) => {
                let sql = format!(
                    "{COLUMNS} where (n.name collate \"C\", d.kind = 'calendar', d.name) \
                       > ($1, $2 = 'calendar', $3) \
                     order by n.name collate \"C\", d.kind = 'calendar', d.name limit $4"
                );
                let after = after.as_ref();
                let key = [
                    after.map_or("", |id| id.namespace.as_str()),
                    after.map_or("", |id| id.kind.as_str()),
                    after.map_or("", |id| id.name.as_str()),
                ];
                self.documents_by(&sql, key, limit).await?
            }
            Wanted::Due => {
                let sql = format!(
                    "{COLUMNS} where d.wake_at <= taskwright.time_of($1) order by d.wake_at, \
                     n.name collate \"C\", d.kind = 'calendar', d.name limit $2"
                );
                let shown = self.clock.shown();
                self.link.query(&sql, &[(&shown, Type::INT8), (&limit, Type::INT8)]).await?
            }
        };
        rows.iter().map(document).collect()
    }

    async fn documents_by(&self, sql: &str, key: [&str; 3], limit: i64) -> Result<Vec<Row>> {
        let sql = match sql.contains("$4") {
            true => sql.to_owned(),
            false => format!("{sql} limit $4"),
        };
        let [first, second, third] = key;
        self.link
            .query(
                &sql,
                &[
                    (&first, Type::TEXT),
                    (&second, Type::TEXT),
                    (&third, Type::TEXT),
                    (&limit, Type::INT8),
                ],
            )
            .await
    }
}

/// Why a tick did not count, as codes beside those that the database raises.
const ALREADY: &str = "tick: already";
const OTHER_REVISION: &str = "tick: other revision";
const NO_ROOM: &str = "tick: no room";

/// What became of a tick that did not count, where that is what the code says.
pub(crate) fn uncounted(code: &str) -> Option<Ticked> {
    match code {
        ALREADY => Some(Ticked::Already),
        OTHER_REVISION => Some(Ticked::Conflict),
        NO_ROOM => Some(Ticked::Full { max: DOCUMENTS_MAX }),
        _ => None,
    }
}

fn document(row: &Row) -> Result<Document> {
    let text = |column| get::<String>(row, column);
    let kind = text("kind")?;
    let kind = DocumentKind::named(&kind)
        .ok_or_else(|| corrupt(&format!("{kind:?} is no kind of document")))?;
    let named = |column| Name::new(&text(column)?).map_err(|error| corrupt(&error.to_string()));
    Ok(Document {
        id: DocumentId { namespace: named("namespace")?, kind, name: named("name")? },
        revision: get::<i64>(row, "revision")?.cast_unsigned(),
        body: Json::from_trusted(text("body")?),
        wake_at: get::<Option<i64>>(row, "wake_at")?.map(Timestamp::from_micros),
    })
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a document of the database makes no sense: {what}"))
}
