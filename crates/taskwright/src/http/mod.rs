//! The API of a server, over HTTP/1.1.

mod address;
mod connection;

use std::time::Duration;

use async_trait::async_trait;
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_protocol::{Operation, RemoteApi, Transport, problem};
use tokio::time::timeout;

use crate::http::address::Address;
use crate::http::connection::{Broken, Connection, Reply};
use crate::pool::Pool;

/// The variable that holds the token where the options give none.
const TOKEN_VARIABLE: &str = "TASKWRIGHT_TOKEN";
/// The longest to reach the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that an answer may take, beyond the wait that was asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The API of a server.
pub(crate) type HttpApi = RemoteApi<HttpTransport>;

/// The API of the server at `url`, `http://HOST:PORT`, with `token` or that of the environment
/// (`TASKWRIGHT_TOKEN`). Nothing is sent yet.
pub(crate) fn open(url: &str, token: Option<&str>) -> Result<HttpApi> {
    let from_environment = || std::env::var(TOKEN_VARIABLE).ok();
    let token = token.map(str::to_owned).or_else(from_environment);
    let address = Address::new(url, token.as_deref())?;
    Ok(RemoteApi::new(HttpTransport { address, idle: Pool::default() }))
}

/// Carries requests to one server.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    address: Address,
    idle: Pool<Connection>,
}

#[async_trait]
impl Transport for HttpTransport {
    async fn call(&self, operation: Operation, body: Vec<u8>, wait: Duration) -> Result<Vec<u8>> {
        let within = ANSWER_TIMEOUT + wait;
        match timeout(within, self.exchange(operation, body)).await {
            Ok(reply) => self.interpret(reply?),
            Err(_) => {
                let within = taskwright_core::format_duration(within);
                Err(self.unavailable(format_args!("no answer within {within}")))
            }
        }
    }
}

impl HttpTransport {
    /// A kept connection may have been closed by the server meanwhile: then another is used.
    async fn exchange(&self, operation: Operation, body: Vec<u8>) -> Result<Reply> {
        let body = hyper::body::Bytes::from(body);
        while let Some(mut connection) = self.idle.take(Connection::is_open) {
            match connection.send(self.address.request(operation, body.clone())).await {
                Ok(reply) => return Ok(self.keep(connection, reply)),
                Err(Broken { was_sent: true, cause }) if !operation.is_repeatable() => {
                    return Err(self.unavailable(cause));
                }
                Err(Broken { .. }) => {}
            }
        }
        let mut connection = self.connect().await?;
        match connection.send(self.address.request(operation, body)).await {
            Ok(reply) => Ok(self.keep(connection, reply)),
            Err(Broken { cause, .. }) => Err(self.unavailable(cause)),
        }
    }

    async fn connect(&self) -> Result<Connection> {
        match timeout(CONNECT_TIMEOUT, Connection::open(&self.address)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(cause)) => {
                let message = format!(
                    "cannot reach the server at {} ({cause}); is it running? start one with `taskwright serve`",
                    self.address
                );
                Err(Error::new(ErrorCode::Unavailable, message))
            }
            Err(_) => {
                let within = taskwright_core::format_duration(CONNECT_TIMEOUT);
                let message =
                    format!("cannot reach the server at {} within {within}", self.address);
                Err(Error::new(ErrorCode::Unavailable, message))
            }
        }
    }

    fn keep(&self, connection: Connection, reply: Reply) -> Reply {
        self.idle.put(connection);
        reply
    }

    fn interpret(&self, reply: Reply) -> Result<Vec<u8>> {
        if reply.status == 200 {
            return Ok(reply.body);
        }
        Err(problem::decode(&reply.body).unwrap_or_else(|| {
            let message = format!(
                "{} answered with status {} and not as Taskwright does; is something else listening there?",
                self.address, reply.status
            );
            Error::new(ErrorCode::Unavailable, message)
        }))
    }

    fn unavailable(&self, cause: impl std::fmt::Display) -> Error {
        let message = format!(
            "the server at {} did not answer ({cause}): what was asked may have been done; ask again",
            self.address
        );
        Error::new(ErrorCode::Unavailable, message)
    }
}

#[cfg(test)]
#[path = "../tests/http.rs"]
mod tests;
