//! Where a server is, and what it wants to see in each request.

use std::fmt;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Uri};
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_protocol::Operation;

const HTTP_PORT: u16 = 80;

/// The server at `http://HOST:PORT`, and the token for it.
pub(crate) struct Address {
    host: String,
    port: u16,
    authority: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Address {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Address> {
        let invalid = |why: &str| {
            let message = format!("{url:?} names no server: {why}; write http://HOST:PORT");
            Error::new(ErrorCode::Invalid, message)
        };
        let uri: Uri = url.parse().map_err(|_| invalid("it is not a URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(invalid("TLS is not in this version")),
            _ => return Err(invalid("its kind is not http")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(invalid("it has a path"));
        }
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("a token does not belong into a URL"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Address {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(HTTP_PORT),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| invalid("its host has strange characters"))?,
            authorization: token.map(authorization).transpose()?,
        })
    }

    /// What a socket connects to.
    pub(crate) fn endpoint(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The request for an operation with this body.
    pub(crate) fn request(&self, operation: Operation, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path(operation));
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.authority.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }
}

fn authorization(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| {
        let message = "the token has characters that no token has; copy it again, or read it from the file `token` in the server's data directory";
        Error::new(ErrorCode::Invalid, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

const fn path(operation: Operation) -> &'static str {
    match operation {
        Operation::Enqueue => "/v1/enqueue",
        Operation::Claim => "/v1/claim",
        Operation::Report => "/v1/report",
        Operation::Heartbeat => "/v1/heartbeat",
        Operation::Listen => "/v1/listen",
        Operation::Work => "/v1/work",
        Operation::Control => "/v1/control",
        Operation::Get => "/v1/get",
        Operation::Wait => "/v1/wait",
        Operation::List => "/v1/list",
        Operation::Peek => "/v1/peek",
        Operation::Queues => "/v1/queues",
        Operation::Workers => "/v1/workers",
        Operation::Costs => "/v1/costs",
        Operation::Place => "/v1/place",
        Operation::Nodes => "/v1/nodes",
        Operation::Policies => "/v1/policies",
        Operation::Schedules => "/v1/schedules",
        Operation::Schedule => "/v1/schedule",
        Operation::Describe => "/v1/describe",
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority.to_str().unwrap_or(&self.host))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
