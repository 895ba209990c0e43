//! Listening, and answering until somebody says stop.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use taskwright_engine::Api;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::gate::Gate;
use crate::options::{Limits, ServerOptions};
use crate::patience::Patience;
use crate::routes::{Context, router};

/// How long to wait when the system has no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum ServeError {
    /// The address is reachable from other machines, and nothing would be encrypted.
    #[error(
        "will not listen on {address}: other machines could reach it, and without TLS tokens, args and results can be read on the way; listen on 127.0.0.1 behind a TLS proxy, or allow plain text explicitly"
    )]
    Exposed { address: SocketAddr },
    /// Another program listens there.
    #[error(
        "cannot listen on {address}: another program does; stop it, or choose another port (0 takes a free one)"
    )]
    InUse { address: SocketAddr },
    /// The system refused.
    #[error("cannot listen on {address}: {cause}")]
    Refused { address: SocketAddr, cause: io::Error },
}

/// A server that is bound to its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    limits: Limits,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Takes the address. Clients can connect from now on, and are answered once the server runs.
    ///
    /// An address that other machines can reach is refused unless `allow_plaintext` is set.
    pub async fn bind(api: Arc<dyn Api>, options: ServerOptions) -> Result<Server, ServeError> {
        let ServerOptions { listen, credential, allow_plaintext, host_names, limits } = options;
        if !listen.ip().is_loopback() && !allow_plaintext {
            return Err(ServeError::Exposed { address: listen });
        }
        let bound = TcpListener::bind(listen).await;
        let listener = bound.map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address: listen },
            _ => ServeError::Refused { address: listen, cause },
        })?;
        let address = listener
            .local_addr()
            .map_err(|cause| ServeError::Refused { address: listen, cause })?;
        let (stop, stopping) = watch::channel(false);
        let gate = Gate { credential, listen: listen.ip(), host_names };
        let context = Context { api, gate, limits: limits.clone(), stopping };
        Ok(Server { listener, address, router: router(Arc::new(context)), limits, stop })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done. Then nothing new is accepted, claims and gets that wait are
    /// told to come back, and requests that are being answered have the drain timeout to end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let room = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.listener, &room) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let connection =
                        converse(stream, self.router.clone(), self.limits.clone(), &self.stop);
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(cause) => {
                    tracing::warn!(%cause, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        self.stop.send_replace(true);
        drain(connections, self.limits.drain_timeout).await;
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// Answers the requests of one connection, one after the other.
fn converse(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    stop: &watch::Sender<bool>,
) -> impl Future<Output = ()> + use<> {
    let mut stopping = stop.subscribe();
    async move {
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "the connection was gone at once");
            return;
        }
        let stream = Patience::new(stream, limits.write_timeout);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.header_bytes_max)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(cause) = ended {
            tracing::debug!(%cause, "a connection ended early");
        }
    }
}

/// Until the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A server that is gone has stopped as well.
    let _ = stopping.wait_for(|stops| *stops).await;
}

async fn drain(mut connections: JoinSet<()>, drain_timeout: Duration) {
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_timeout, all_ended).await.is_err() {
        tracing::warn!("{} connections were still busy and are closed", connections.len());
        connections.shutdown().await;
    }
}
