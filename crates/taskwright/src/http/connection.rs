//! One connection to a server.

use std::io;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use taskwright_protocol::REPLY_BYTES_MAX;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::http::address::Address;

/// Room made before anything has come.
const FIRST_ROOM_MAX: u64 = 1_024 * 1_024;

/// What a server answered.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A request that got no whole reply.
pub(crate) struct Broken {
    /// Whether the server may have seen it.
    pub(crate) was_sent: bool,
    pub(crate) cause: String,
}

/// A connection for one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> io::Result<Connection> {
        let stream = TcpStream::connect(address.endpoint()).await?;
        stream.set_nodelay(true)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        // Its end is seen by whoever uses the sender.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Connection { sender, driver })
    }

    /// Whether the server has not closed it, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, Broken> {
        let unsent = |cause: hyper::Error| Broken { was_sent: false, cause: cause.to_string() };
        self.sender.ready().await.map_err(unsent)?;
        let response = self
            .sender
            .send_request(request)
            .await
            .map_err(|cause| Broken { was_sent: !cause.is_canceled(), cause: cause.to_string() })?;
        let status = response.status().as_u16();
        let body = read(response.into_body()).await;
        body.map(|body| Reply { status, body })
            .map_err(|cause| Broken { was_sent: true, cause: cause.to_string() })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let room = body.size_hint().lower().min(FIRST_ROOM_MAX);
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > REPLY_BYTES_MAX {
                return Err(format!("the reply is longer than {REPLY_BYTES_MAX} bytes").into());
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}
