//! A network that can be cut, frozen, slowed and led elsewhere.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::location::Location;
use crate::proxy_actor::{Actor, Order};
use crate::{Error, background, ports};

/// How long an order may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How many ports are tried when others are faster.
const PORTS_MAX: usize = 5;

/// A TCP proxy on 127.0.0.1. Each call returns when what it says holds. Its connections are closed
/// when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
}

impl Proxy {
    /// Forwards to `target`.
    pub fn to(target: impl ToSocketAddrs) -> Result<Proxy, Error> {
        let target = resolve(target)?;
        background::run("starting a proxy", LIMIT, async move {
            let listener = listen().await?;
            let address =
                listener.local_addr().map_err(Error::failed("asking for a proxy's address"))?;
            let (orders, received) = mpsc::channel(16);
            tokio::spawn(Actor::new(address, listener, target).run(received));
            Ok(Proxy { address, orders })
        })
    }

    /// Forwards to the server that a PostgreSQL URL names.
    pub fn before(url: &str) -> Result<Proxy, Error> {
        Proxy::to(Location::parse(url)?.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same PostgreSQL URL, through this proxy.
    pub fn url(&self, url: &str) -> Result<String, Error> {
        Ok(Location::parse_whole(url)?.at(&self.address.to_string()))
    }

    /// Closes all connections with a reset and refuses new ones.
    pub fn cut(&self) -> Result<(), Error> {
        self.order(Order::Cut)
    }

    /// Forwards nothing more, in neither direction, not even that a side has closed; accepts nothing,
    /// so that new connections are made and hear nothing. No connection is closed.
    pub fn freeze(&self) -> Result<(), Error> {
        self.order(Order::Freeze)
    }

    /// Forwards nothing more from the target: what it is told it does, and nobody hears of it.
    pub fn freeze_replies(&self) -> Result<(), Error> {
        self.order(Order::FreezeReplies)
    }

    /// Ends what [`Proxy::cut`], [`Proxy::freeze`] and [`Proxy::freeze_replies`] began. What was
    /// frozen is forwarded now.
    pub fn heal(&self) -> Result<(), Error> {
        self.order(Order::Heal)
    }

    /// Closes all connections and forwards new ones to `target`, as after a failover.
    pub fn redirect(&self, target: impl ToSocketAddrs) -> Result<(), Error> {
        self.order(Order::Redirect(resolve(target)?))
    }

    /// Closes all connections and goes on accepting new ones.
    pub fn disconnect(&self) -> Result<(), Error> {
        self.order(Order::Disconnect)
    }

    /// From now on each piece of data waits for `delay` before it is forwarded.
    pub fn delay(&self, delay: Duration) -> Result<(), Error> {
        self.order(Order::Delay(delay))
    }

    fn order(&self, order: Order) -> Result<(), Error> {
        let orders = self.orders.clone();
        background::run("giving a proxy an order", LIMIT, async move {
            let gone = || Error::Failed("the proxy has ended".to_string());
            let (done, wait) = oneshot::channel();
            orders.send((order, done)).await.map_err(|_| gone())?;
            wait.await.map_err(|_| gone())
        })
    }
}

fn resolve(target: impl ToSocketAddrs) -> Result<SocketAddr, Error> {
    let mut addresses =
        target.to_socket_addrs().map_err(Error::failed("resolving a proxy's target"))?;
    addresses.next().ok_or_else(|| Error::Failed("a proxy's target has no address".to_string()))
}

async fn listen() -> Result<TcpListener, Error> {
    let mut problem = Error::Failed("no port was tried".to_string());
    for _ in 0..PORTS_MAX {
        match TcpListener::bind(("127.0.0.1", ports::free()?)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => problem = Error::failed("listening as a proxy")(error),
        }
    }
    Err(problem)
}
