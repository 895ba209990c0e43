//! Schedules and calendars on their way.

use taskwright_core::limits::DOCUMENTS_PAGE_MAX;
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::{Asked, Document, Tick, Ticked, Wanted};

use super::Plan;
use super::patient::Patient;

/// Copies all of them; how many there are. What the destination has of the same name already stays
/// as it is: it is its own, or has gone on since a move that was interrupted.
pub(super) async fn copy(from: &Patient<'_>, to: &Patient<'_>, plan: &Plan) -> Result<u64> {
    let actor = format!("{} (moving)", plan.actor);
    let mut copied = 0;
    let mut pages = Pages::default();
    while let Some(page) = pages.next(from).await? {
        copied += page.len() as u64;
        let ticks = page.into_iter().map(|document| Tick { expected: None, ..again(document) });
        let ticks = ticks.map(|tick| asked(tick, &actor, "copy")).collect();
        for ticked in to.tick(ticks).await? {
            if let Ticked::Full { max } = ticked {
                let message = format!(
                    "the destination has no room for all schedules and calendars ({max} of a kind in a namespace); remove some there"
                );
                return Err(Error::new(ErrorCode::OverLimit, message));
            }
        }
    }
    Ok(copied)
}

/// No node ticks the schedules of the source any more. They stay to be looked at.
pub(super) async fn stop(from: &Patient<'_>, plan: &Plan) -> Result<()> {
    let actor = format!("{} (moving to {})", plan.actor, plan.place);
    let mut pages = Pages::default();
    while let Some(page) = pages.next(from).await? {
        let awake = page.into_iter().filter(|document| document.wake_at.is_some());
        let stopped = awake.map(|document| Tick {
            revision: document.revision.wrapping_add(1),
            wake_at: None,
            ..again(document)
        });
        let ticks: Vec<_> = stopped.map(|tick| asked(tick, &actor, "stop")).collect();
        if !ticks.is_empty() {
            from.tick(ticks).await?;
        }
    }
    Ok(())
}

/// All documents of a store, page by page.
#[derive(Default)]
struct Pages {
    after: Option<taskwright_store::DocumentId>,
}

impl Pages {
    async fn next(&mut self, store: &Patient<'_>) -> Result<Option<Vec<Document>>> {
        let page = store.documents(Wanted::All(self.after.clone()), DOCUMENTS_PAGE_MAX).await?;
        self.after = page.last().map(|document| document.id.clone());
        Ok((!page.is_empty()).then_some(page))
    }
}

/// The tick that leaves a document as it is.
fn again(document: Document) -> Tick {
    let Document { id, revision, body, wake_at } = document;
    Tick {
        id,
        expected: Some(revision),
        revision,
        body: Some(body),
        wake_at,
        jobs: Vec::new(),
        asked: None,
    }
}

fn asked(tick: Tick, actor: &str, action: &str) -> Tick {
    let action = format!("{action} {} {}", tick.id.kind.as_str(), tick.id.name);
    Tick { asked: Some(Asked { actor: actor.into(), action: action.into() }), ..tick }
}
