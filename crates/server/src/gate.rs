//! What a request must show before anything else is looked at.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, StatusCode, header};
use taskwright_engine::ErrorCode;

use crate::body;
use crate::credential::Credential;
use crate::options::Limits;
use crate::reply::Problem;

/// Lets requests in, or says why not.
#[derive(Debug)]
pub(crate) struct Gate {
    pub credential: Credential,
    pub listen: IpAddr,
    pub host_names: Vec<String>,
}

impl Gate {
    /// Checks a request that needs no token: for whom it is and from where.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = text(headers, header::HOST).unwrap_or_default();
        if !self.answers_to(host) {
            let message = format!(
                "this server does not answer to the host {host:?}; call it by its address or as localhost"
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message));
        }
        match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
            None => Ok(()),
            Some(origin) if is_same_origin(origin, host) => Ok(()),
            Some(origin) => {
                let message = format!("pages of {origin:?} may not call this server");
                Err(Problem::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message))
            }
        }
    }

    /// Checks everything that the head of a request shows.
    pub(crate) fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        limits: &Limits,
    ) -> Result<(), Problem> {
        self.check_origin(headers)?;
        body::check_length(headers, limits)?;
        self.check_token(headers)?;
        let has_body = *method == Method::POST || *method == Method::PUT;
        if has_body { check_content_type(headers) } else { Ok(()) }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let denied = |message: String| {
            Err(Problem::new(StatusCode::UNAUTHORIZED, ErrorCode::Denied, message))
        };
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            let place = self.token_place();
            return denied(format!("send the token as `Authorization: Bearer TOKEN`; {place}"));
        };
        match bearer(value.as_bytes()) {
            Some(token) if self.credential.admits(token) => Ok(()),
            _ => denied(format!("the token is not the one of this server; {}", self.token_place())),
        }
    }

    fn token_place(&self) -> String {
        match self.credential.source().and_then(|path| path.file_name()) {
            Some(name) => format!("it is in the file `{}` of the data directory", name.display()),
            None => "ask whoever runs the server".to_owned(),
        }
    }

    /// Guards against DNS rebinding: a page can make a browser send a name of its own, never one of these.
    fn answers_to(&self, host: &str) -> bool {
        let name = without_port(host);
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => {
                address.is_loopback() || self.listen.is_unspecified() || address == self.listen
            }
            Err(_) => self.host_names.iter().any(|known| known.eq_ignore_ascii_case(name)),
        }
    }
}

fn is_same_origin(origin: &str, host: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token).filter(|token| !token.is_empty())
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("the content type is {given:?}; send `Content-Type: application/json`");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::Invalid, message))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
#[path = "tests/gate.rs"]
mod tests;
