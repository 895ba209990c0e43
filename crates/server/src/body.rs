//! Reading the body of a request, within its limits.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use taskwright_engine::ErrorCode;

use crate::options::Limits;
use crate::reply::Problem;

/// Room made before anything has come: what a head claims costs its sender nothing.
const FIRST_ROOM: usize = 64 * 1_024;

/// Refuses a body that says that it is too long, before any of it is read.
pub(crate) fn check_length(headers: &HeaderMap, limits: &Limits) -> Result<(), Problem> {
    match claimed_length(headers) {
        Some(length) if length > limits.body_bytes_max as u64 => Err(too_long(limits)),
        _ => Ok(()),
    }
}

/// Reads the body, which must come whole within the body timeout.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Vec<u8>, Problem> {
    let claimed = claimed_length(headers).and_then(|length| usize::try_from(length).ok());
    let room = claimed.map_or(0, |length| length.min(FIRST_ROOM));
    match tokio::time::timeout(limits.body_timeout, collect(body, room, limits)).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!(
                "the body did not arrive within {:?}; send it faster or in smaller batches",
                limits.body_timeout
            );
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::Invalid, message))
        }
    }
}

async fn collect(mut body: Body, room: usize, limits: &Limits) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::with_capacity(room);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| {
            let message = format!("the body ended early ({cause}); send it again");
            Problem::new(StatusCode::BAD_REQUEST, ErrorCode::Invalid, message)
        })?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limits.body_bytes_max {
                return Err(too_long(limits));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

fn claimed_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_long(limits: &Limits) -> Problem {
    let message = format!(
        "the body is longer than {} bytes, the most allowed; send smaller batches",
        limits.body_bytes_max
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::OverLimit, message)
}
