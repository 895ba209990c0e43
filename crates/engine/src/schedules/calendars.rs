//! Calendars: named days on which schedules make no job.

use taskwright_core::limits::{self, check};
use taskwright_core::schedule::Calendar;
use taskwright_core::{Json, Name};
use taskwright_store::{DocumentId, DocumentKind, Store, Wanted};

use super::saved::{read_calendar, write_calendar};
use super::spec::ScheduleSpec;
use crate::error::{Error, ErrorCode, Result};

/// Which document a calendar is.
pub(super) fn calendar_id(namespace: &Name, name: &Name) -> DocumentId {
    DocumentId { namespace: namespace.clone(), kind: DocumentKind::Calendar, name: name.clone() }
}

/// The body of a calendar, whose text is checked.
pub(super) fn body(name: &Name, text: &str) -> Result<Json> {
    let fault = |cause: &dyn std::fmt::Display| {
        Error::new(ErrorCode::Invalid, format!("cannot load the calendar {name}: {cause}"))
    };
    Calendar::parse(name.clone(), text).map_err(|cause| fault(&cause))?;
    let body = write_calendar(text)?;
    check("its text", body.len(), limits::DOCUMENT_BYTES_MAX, "bytes")
        .map_err(|cause| Error { code: ErrorCode::OverLimit, ..fault(&cause) })?;
    Ok(body)
}

/// The calendars that a schedule names, as far as there are any.
pub(super) async fn of_schedule(store: &dyn Store, spec: &ScheduleSpec) -> Result<Vec<Calendar>> {
    let mut calendars = Vec::with_capacity(spec.exclude.len());
    for name in &spec.exclude {
        let wanted = Wanted::One(calendar_id(&spec.job.namespace, name));
        if let Some(document) = store.documents(wanted, 1).await?.pop() {
            let text = read_calendar(&document.body)?;
            let calendar = Calendar::parse(name.clone(), &text);
            calendars.push(calendar.map_err(|cause| {
                Error::new(ErrorCode::Corrupt, format!("the calendar {name} is broken: {cause}"))
            })?);
        }
    }
    Ok(calendars)
}
