//! The paths of schedules and calendars.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::routing::{MethodRouter, get, post};
use taskwright_core::Name;
use taskwright_engine::Result;
use taskwright_protocol::query::Query;
use taskwright_protocol::service::{self, ScheduleAction};

use crate::routes::{ACTOR, Answer, Context, Shared, in_path, only_namespace};

pub(crate) fn routes() -> Router<Arc<Context>> {
    use ScheduleAction::{
        Backfill, Pause, Remove, RemoveCalendar, Resume, Set, SetCalendar, Trigger,
    };
    let acting = |action| {
        post(move |context, path, query, request| act(context, path, query, request, action))
    };
    Router::new()
        .route("/v1/schedules", get(schedules))
        .route("/v1/schedules/{name}", changing(get(schedule), Set, Remove))
        .route("/v1/schedules/{name}/pause", acting(Pause))
        .route("/v1/schedules/{name}/resume", acting(Resume))
        .route("/v1/schedules/{name}/trigger", acting(Trigger))
        .route("/v1/schedules/{name}/backfill", acting(Backfill))
        .route("/v1/calendars", get(calendars))
        .route("/v1/calendars/{name}", changing(MethodRouter::new(), SetCalendar, RemoveCalendar))
}

fn changing(
    methods: MethodRouter<Arc<Context>>,
    set: ScheduleAction,
    remove: ScheduleAction,
) -> MethodRouter<Arc<Context>> {
    methods
        .put(move |context, path, query, request| act(context, path, query, request, set))
        .delete(move |context, path, query, request| act(context, path, query, request, remove))
}

async fn schedules(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    let mut query = Query::new(query.as_deref());
    let (namespace, after, limit) = (query.namespace()?, query.after()?, query.limit()?);
    query.finish()?;
    let listed = service::schedules(&*context.api, namespace, after, limit);
    context.ask(Duration::ZERO, listed).await
}

async fn schedule(
    State(context): Shared,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (namespace, name) = (only_namespace(query.as_deref())?, named(&name)?);
    context.ask(Duration::ZERO, service::schedule(&*context.api, &namespace, &name)).await
}

async fn calendars(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    let namespace = only_namespace(query.as_deref())?;
    context.ask(Duration::ZERO, service::calendars(&*context.api, &namespace)).await
}

async fn act(
    State(context): Shared,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
    action: ScheduleAction,
) -> Answer {
    let of = (only_namespace(query.as_deref())?, named(&name)?);
    let has_body = matches!(
        action,
        ScheduleAction::Set | ScheduleAction::Backfill | ScheduleAction::SetCalendar
    );
    let body = if has_body { context.body(request).await? } else { Vec::new() };
    let acted = service::on_schedule(&*context.api, of, action, &body, ACTOR);
    context.ask(Duration::ZERO, acted).await
}

fn named(text: &str) -> Result<Name> {
    Name::new(text).map_err(|cause| in_path("name", &cause))
}
