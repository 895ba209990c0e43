//! Which path means what. Handlers hold no rules: they read, ask the API and write.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use taskwright_core::limits::WAIT_MAX;
use taskwright_core::{JobId, Name};
use taskwright_engine::{Api, Error, ErrorCode, Result};
use taskwright_protocol::query::Query;
use taskwright_protocol::{OPENAPI, Operation, service};
use taskwright_store::Command;
use tokio::sync::watch;

use crate::body;
use crate::gate::Gate;
use crate::options::Limits;
use crate::reply::{Problem, json};
use crate::schedules;

/// Who asks, in the audit record.
pub(crate) const ACTOR: &str = "http";
/// How long the store may take to show that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What handlers need.
pub(crate) struct Context {
    pub api: Arc<dyn Api>,
    pub gate: Gate,
    pub limits: Limits,
    /// True once the server stops: then nobody waits any longer.
    pub stopping: watch::Receiver<bool>,
}

pub(crate) type Shared = State<Arc<Context>>;
pub(crate) type Answer = Result<Response, Problem>;

pub(crate) fn router(context: Arc<Context>) -> Router {
    let mut guarded = Router::new()
        .route("/v1/jobs", post(enqueue).get(list))
        .route("/v1/jobs/{id}", get(job).delete(delete_job))
        .route("/v1/jobs/{id}/why", get(why))
        .route("/v1/jobs/{id}/cancel", post(cancel))
        .route("/v1/jobs/{id}/redrive", post(redrive))
        .route("/v1/jobs/{id}/adjust", post(adjust))
        .route("/v1/queues", get(queues))
        .route("/v1/queues/{queue}", get(queue))
        .route("/v1/queues/{queue}/peek", get(peek))
        .route("/v1/queues/{queue}/size", get(size))
        .route("/v1/queues/{queue}/pause", post(pause))
        .route("/v1/queues/{queue}/resume", post(resume))
        .route("/v1/workers", get(workers))
        .route("/v1/costs", get(costs))
        .route("/v1/nodes", get(nodes))
        .route("/v1/policies", get(policies).put(set_policy))
        .route("/v1/describe", get(describe))
        .route("/v1/ready", get(ready))
        .route("/v1/openapi.json", get(openapi))
        .merge(schedules::routes());
    for operation in Operation::ALL {
        let answer = move |context: Shared, request: Request| answer(context, operation, request);
        guarded = guarded.route(&format!("/v1/{operation}"), post(answer));
    }
    let guarded = guarded
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(context.clone(), check));
    let open = Router::new()
        .route("/v1/health", get(health))
        .layer(middleware::from_fn_with_state(context.clone(), check_origin));
    guarded.merge(open).with_state(context)
}

async fn check(State(context): Shared, request: Request, next: Next) -> Result<Response, Problem> {
    context.gate.check(request.method(), request.headers(), &context.limits)?;
    Ok(next.run(request).await)
}

async fn check_origin(
    State(context): Shared,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    context.gate.check_origin(request.headers())?;
    Ok(next.run(request).await)
}

impl Context {
    /// The answer of the API, at most `wait` later than an answer may take. A stop ends the wait.
    pub(crate) async fn ask(
        &self,
        wait: Duration,
        question: impl Future<Output = Result<Vec<u8>>>,
    ) -> Answer {
        let deadline = self.limits.answer_timeout + wait.min(WAIT_MAX);
        let mut stopping = self.stopping.clone();
        let answer = tokio::time::timeout(deadline, question);
        tokio::select! {
            biased;
            answered = answer => match answered {
                Ok(answer) => Ok(json(answer?)),
                Err(_) => Err(unavailable(format!(
                    "the store did not answer within {deadline:?}; what was asked may have been done, so ask again"
                ))),
            },
            _ = stopping.wait_for(|stops| *stops), if !wait.is_zero() => {
                Err(unavailable("the server is stopping; ask again in a moment"))
            }
        }
    }

    pub(crate) async fn body(&self, request: Request) -> Result<Vec<u8>, Problem> {
        let (head, body) = request.into_parts();
        body::read(&head.headers, body, &self.limits).await
    }
}

fn unavailable(message: impl Into<String>) -> Problem {
    let retry_after = Some(Duration::from_secs(1));
    Error { retry_after, ..Error::new(ErrorCode::Unavailable, message) }.into()
}

async fn answer(State(context): Shared, operation: Operation, request: Request) -> Answer {
    let body = context.body(request).await?;
    let wait = if may_wait(operation) { WAIT_MAX } else { Duration::ZERO };
    context.ask(wait, service::answer(&*context.api, operation, &body, ACTOR)).await
}

fn may_wait(operation: Operation) -> bool {
    use Operation::{Claim, Listen, Wait, Work};
    matches!(operation, Claim | Listen | Work | Wait)
}

async fn enqueue(State(context): Shared, RawQuery(query): RawQuery, request: Request) -> Answer {
    let mut query = Query::new(query.as_deref());
    let reply = query.reply()?;
    query.finish()?;
    let body = context.body(request).await?;
    context.ask(Duration::ZERO, service::enqueue(&*context.api, &body, reply)).await
}

async fn list(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    let mut query = Query::new(query.as_deref());
    let filter = query.filter()?;
    query.finish()?;
    context.ask(Duration::ZERO, service::list(&*context.api, filter)).await
}

async fn job(State(context): Shared, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let id = job_id(&id)?;
    let mut query = Query::new(query.as_deref());
    let (namespace, wait) = (query.namespace()?, query.wait()?);
    query.finish()?;
    context.ask(wait, service::job(&*context.api, &namespace, id, wait)).await
}

async fn why(State(context): Shared, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let (id, namespace) = (job_id(&id)?, only_namespace(query.as_deref())?);
    context.ask(Duration::ZERO, service::why(&*context.api, &namespace, id)).await
}

async fn delete_job(
    State(context): Shared,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let id = job_id(&id)?;
    let command = Command::Delete { namespace: only_namespace(query.as_deref())?, id };
    context.ask(Duration::ZERO, service::command(&*context.api, command, ACTOR)).await
}

async fn cancel(
    State(context): Shared,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Answer {
    let id = job_id(&id)?;
    let namespace = only_namespace(query.as_deref())?;
    let body = context.body(request).await?;
    let cancelled = service::cancel(&*context.api, namespace, id, &body, ACTOR);
    context.ask(Duration::ZERO, cancelled).await
}

async fn redrive(
    State(context): Shared,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Answer {
    let id = job_id(&id)?;
    let namespace = only_namespace(query.as_deref())?;
    let body = context.body(request).await?;
    let redriven = service::redrive(&*context.api, namespace, id, &body, ACTOR);
    context.ask(Duration::ZERO, redriven).await
}

async fn adjust(
    State(context): Shared,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Answer {
    let id = job_id(&id)?;
    let namespace = only_namespace(query.as_deref())?;
    let body = context.body(request).await?;
    let adjusted = service::adjust(&*context.api, namespace, id, &body, ACTOR);
    context.ask(Duration::ZERO, adjusted).await
}

async fn queues(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    let namespace = only_namespace(query.as_deref())?;
    context.ask(Duration::ZERO, service::queues(&*context.api, &namespace)).await
}

async fn queue(
    State(context): Shared,
    Path(queue): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (namespace, queue) = (only_namespace(query.as_deref())?, queue_name(&queue)?);
    context.ask(Duration::ZERO, service::queue(&*context.api, &namespace, &queue)).await
}

async fn size(
    State(context): Shared,
    Path(queue): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (namespace, queue) = (only_namespace(query.as_deref())?, queue_name(&queue)?);
    context.ask(Duration::ZERO, service::size(&*context.api, &namespace, &queue)).await
}

async fn peek(
    State(context): Shared,
    Path(queue): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let queue = queue_name(&queue)?;
    let mut query = Query::new(query.as_deref());
    let (namespace, count) = (query.namespace()?, query.count()?);
    query.finish()?;
    context.ask(Duration::ZERO, service::peek(&*context.api, &namespace, &queue, count)).await
}

async fn pause(
    State(context): Shared,
    Path(queue): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (namespace, queue) = (only_namespace(query.as_deref())?, queue_name(&queue)?);
    let command = Command::Pause { namespace, queue };
    context.ask(Duration::ZERO, service::command(&*context.api, command, ACTOR)).await
}

async fn resume(
    State(context): Shared,
    Path(queue): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (namespace, queue) = (only_namespace(query.as_deref())?, queue_name(&queue)?);
    let command = Command::Resume { namespace, queue };
    context.ask(Duration::ZERO, service::command(&*context.api, command, ACTOR)).await
}

async fn workers(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    let namespace = only_namespace(query.as_deref())?;
    context.ask(Duration::ZERO, service::workers(&*context.api, &namespace)).await
}

async fn costs(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    let namespace = only_namespace(query.as_deref())?;
    context.ask(Duration::ZERO, service::costs(&*context.api, &namespace)).await
}

async fn policies(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    let namespace = only_namespace(query.as_deref())?;
    context.ask(Duration::ZERO, service::policies(&*context.api, &namespace)).await
}

async fn set_policy(State(context): Shared, RawQuery(query): RawQuery, request: Request) -> Answer {
    let namespace = only_namespace(query.as_deref())?;
    let body = context.body(request).await?;
    let set = service::set_policy(&*context.api, namespace, &body, ACTOR);
    context.ask(Duration::ZERO, set).await
}

async fn nodes(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    Query::new(query.as_deref()).finish()?;
    context.ask(Duration::ZERO, service::nodes(&*context.api)).await
}

async fn describe(State(context): Shared, RawQuery(query): RawQuery) -> Answer {
    Query::new(query.as_deref()).finish()?;
    context.ask(Duration::ZERO, service::describe(&*context.api)).await
}

async fn openapi() -> Response {
    json(OPENAPI.as_bytes().to_vec())
}

/// The process lives.
async fn health() -> Response {
    json(br#"{"live":true}"#.to_vec())
}

/// The store answers, so work can be done. What it knows of an outage is said at once.
async fn ready(State(context): Shared) -> Answer {
    if *context.stopping.borrow() {
        return Err(unavailable("the server is stopping"));
    }
    if let Some(outage) = context.api.outage() {
        return Err(unavailable(outage));
    }
    match tokio::time::timeout(READY_TIMEOUT, context.api.describe()).await {
        Ok(Ok(_)) => Ok(json(br#"{"ready":true}"#.to_vec())),
        Ok(Err(error)) => Err(unavailable(error.message)),
        Err(_) => Err(unavailable(
            context
                .api
                .outage()
                .unwrap_or_else(|| format!("the store did not answer within {READY_TIMEOUT:?}")),
        )),
    }
}

async fn unknown_path(request: Request) -> Problem {
    let message = format!(
        "there is nothing at {:?}; the API is under /v1, see /v1/openapi.json",
        request.uri().path()
    );
    Problem::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
}

async fn unknown_method(request: Request) -> Problem {
    let message = format!("{} does not go with {:?}", request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Invalid, message)
}

pub(crate) fn only_namespace(query: Option<&str>) -> Result<Name> {
    let mut query = Query::new(query);
    let namespace = query.namespace()?;
    query.finish()?;
    Ok(namespace)
}

fn job_id(text: &str) -> Result<JobId> {
    text.parse().map_err(|cause| in_path("id", &cause))
}

fn queue_name(text: &str) -> Result<Name> {
    Name::new(text).map_err(|cause| in_path("queue", &cause))
}

pub(crate) fn in_path(part: &str, cause: &dyn std::error::Error) -> Error {
    Error::new(ErrorCode::Invalid, format!("{part} in the path: {cause}"))
}
