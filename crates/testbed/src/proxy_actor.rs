//! What a proxy does: one task that accepts and obeys, one for each connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What one direction of a connection holds back at most.
const BUFFER_BYTES: usize = 64 * 1024;

const CONNECTIONS_MAX: usize = 1000;
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How often a port is asked for that was ours, and the pause between.
const BIND_TRIES_MAX: usize = 100;
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// What a proxy is told.
pub enum Order {
    Cut,
    Disconnect,
    Freeze,
    FreezeReplies,
    Heal,
    Redirect(SocketAddr),
    Delay(Duration),
}

/// Open as long as nobody has it for writing.
type Gate = Arc<RwLock<()>>;

/// The task that accepts and obeys.
pub struct Actor {
    address: SocketAddr,
    listener: Option<TcpListener>,
    target: SocketAddr,
    requests: Gate,
    replies: Gate,
    closed: Vec<OwnedRwLockWriteGuard<()>>,
    frozen: bool,
    delay: watch::Sender<Duration>,
    connections: JoinSet<()>,
}

impl Actor {
    /// Accepts on `listener`, whose address is `address`.
    pub fn new(address: SocketAddr, listener: TcpListener, target: SocketAddr) -> Actor {
        Actor {
            address,
            listener: Some(listener),
            target,
            requests: Gate::default(),
            replies: Gate::default(),
            closed: Vec::new(),
            frozen: false,
            delay: watch::Sender::new(Duration::ZERO),
            connections: JoinSet::new(),
        }
    }

    /// Until nobody can give orders any more.
    pub async fn run(mut self, mut orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>) {
        loop {
            let has_room = !self.frozen && self.connections.len() < CONNECTIONS_MAX;
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some((order, done)) = order else { return };
                    self.obey(order).await;
                    // Whoever does not wait does not want to know.
                    let _ = done.send(());
                }
                Some(_) = self.connections.join_next() => {}
                client = accept(self.listener.as_ref()), if has_room => {
                    if let Some(client) = client {
                        self.connect(client);
                    }
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Cut => {
                self.listener = None;
                self.disconnect().await;
            }
            Order::Disconnect => self.disconnect().await,
            Order::Freeze => {
                self.thaw();
                self.frozen = true;
                self.closed.push(Arc::clone(&self.requests).write_owned().await);
                self.closed.push(Arc::clone(&self.replies).write_owned().await);
            }
            Order::FreezeReplies => {
                self.thaw();
                self.closed.push(Arc::clone(&self.replies).write_owned().await);
            }
            Order::Heal => {
                self.thaw();
                self.listen().await;
            }
            Order::Redirect(target) => {
                self.target = target;
                self.disconnect().await;
            }
            Order::Delay(delay) => {
                self.delay.send_replace(delay);
            }
        }
    }

    async fn disconnect(&mut self) {
        self.connections.shutdown().await;
    }

    fn thaw(&mut self) {
        self.frozen = false;
        self.closed.clear();
    }

    /// Takes its port again if it had given it up.
    async fn listen(&mut self) {
        for _ in 0..BIND_TRIES_MAX {
            if self.listener.is_some() {
                return;
            }
            match TcpListener::bind(self.address).await {
                Ok(listener) => self.listener = Some(listener),
                Err(_) => sleep(BIND_PAUSE).await,
            }
        }
        eprintln!("the proxy on {} cannot have its port again", self.address);
    }

    fn connect(&mut self, client: TcpStream) {
        let target = self.target;
        let ways = [Arc::clone(&self.requests), Arc::clone(&self.replies)];
        let delay = self.delay.subscribe();
        self.connections.spawn(async move {
            let mut client = Side::new(client);
            let Ok(Ok(server)) = timeout(CONNECT_MAX, TcpStream::connect(target)).await else {
                return;
            };
            let mut server = Side::new(server);
            let [requests, replies] = ways;
            let (from_client, to_client) = client.stream.split();
            let (from_server, to_server) = server.stream.split();
            // An end is passed on one way; an error ends both.
            let ended = tokio::try_join!(
                forward(from_client, to_server, requests, delay.clone()),
                forward(from_server, to_client, replies, delay)
            );
            client.is_orderly = ended.is_ok();
            server.is_orderly = ended.is_ok();
        });
    }
}

/// One end of a connection. Unless both have said that they have ended, it ends with a reset.
struct Side {
    stream: TcpStream,
    is_orderly: bool,
}

impl Side {
    fn new(stream: TcpStream) -> Side {
        // Without this small pieces are only forwarded a little later.
        let _ = stream.set_nodelay(true);
        Side { stream, is_orderly: false }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if !self.is_orderly {
            // Where that fails there is no connection to reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

/// Forwards one direction until its end, which is passed on as well.
async fn forward(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    gate: Gate,
    delay: watch::Receiver<Duration>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        let pause = *delay.borrow();
        if !pause.is_zero() {
            sleep(pause).await;
        }
        if length == 0 {
            let _open = gate.read().await;
            return to.shutdown().await;
        }
        pass(&buffer[..length], &to, &gate).await?;
    }
}

/// Writes all of it, and nothing while the gate is closed. Who waits for room does not hold the gate
/// open.
async fn pass(mut data: &[u8], to: &WriteHalf<'_>, gate: &Gate) -> std::io::Result<()> {
    while !data.is_empty() {
        to.writable().await?;
        let _open = gate.read().await;
        match to.try_write(data) {
            Ok(written) => data = &data[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
