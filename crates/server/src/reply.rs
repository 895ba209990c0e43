//! Replies.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use taskwright_engine::{Error, ErrorCode};
use taskwright_protocol::problem;

/// A result, as JSON.
pub(crate) fn json(body: Vec<u8>) -> Response {
    with_type(StatusCode::OK, "application/json", body)
}

/// An error, as problem+json.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: Error,
}

impl Problem {
    /// An error with a status of its own, for what is known to HTTP only.
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Problem { status, error: Error::new(code, message) }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(problem::status(error.code));
        Problem { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, error } = self;
        if status.is_server_error() {
            tracing::warn!(code = error.code.as_str(), %status, "{}", error.message);
        }
        let body = problem::encode(&error, status.as_u16());
        let mut response = with_type(status, problem::MEDIA_TYPE, body);
        if let Some(wait) = error.retry_after {
            let seconds = wait.as_millis().div_ceil(1_000).to_string();
            if let Ok(value) = HeaderValue::from_str(&seconds) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn with_type(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
