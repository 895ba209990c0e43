//! One connection: what a call sees of it, and what the pool keeps of it.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{Fault, why};
use super::pool::Shared;

/// How long a request to cancel may take, and how long a connection has to say good-bye.
const FAREWELL: Duration = Duration::from_secs(2);

/// A parameter of a statement, with its type: so a statement takes one round trip, and none has to
/// be prepared.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection for the time of one call.
///
/// All statements are unnamed and typed. They are sent when their future is polled for the first
/// time: futures that are polled together (`tokio::try_join!`) go out together and are answered in
/// order, in one round trip. Answers may have columns of built-in types only; for others the
/// library would prepare statements, which no transaction pooler likes: cast them to text.
#[derive(Clone)]
pub struct Connection {
    client: Arc<Client>,
}

impl Connection {
    /// The rows that the statement returns.
    pub async fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Fault> {
        Ok(self.client.query_typed(sql, parameters).await?)
    }

    /// The one row that the statement returns; another number of rows is a fault.
    pub async fn query_one(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row, Fault> {
        Ok(self.client.query_typed_one(sql, parameters).await?)
    }

    /// The row that the statement returns, if it returns one; several are a fault.
    pub async fn query_opt(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Row>, Fault> {
        Ok(self.client.query_typed_opt(sql, parameters).await?)
    }

    /// How many rows the statement touched.
    pub async fn execute(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<u64, Fault> {
        Ok(self.client.execute_typed(sql, parameters).await?)
    }

    /// Runs statements without parameters, separated by semicolons, all in one transaction unless
    /// they say otherwise themselves.
    pub async fn batch(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

/// A connection as the pool keeps it.
pub(super) struct Link {
    client: Arc<Client>,
    /// `None` once it was closed.
    driver: Option<JoinHandle<()>>,
    home: Handle,
    pub(super) opened: Opened,
}

/// Where and when a connection was opened.
#[derive(Copy, Clone)]
pub(super) struct Opened {
    /// Which of the target's hosts it leads to.
    pub(super) host: usize,
    /// How often the pool had lost its connections before.
    pub(super) generation: u64,
    /// When it was last of use.
    pub(super) used: Instant,
}

impl Link {
    /// Lets the connection run, at home; `heard` gets the payloads of notifications, `life` ends with it.
    pub(super) fn start(
        home: &Handle,
        client: Client,
        connection: tokio_postgres::Connection<Socket, TlsStream>,
        opened: Opened,
        heard: Option<mpsc::Sender<String>>,
        life: Option<Life>,
    ) -> Self {
        let driver = home.spawn(drive(connection, heard, life));
        Link { client: Arc::new(client), driver: Some(driver), home: home.clone(), opened }
    }

    /// What a call sees of it.
    pub(super) fn connection(&self) -> Connection {
        Connection { client: Arc::clone(&self.client) }
    }

    /// Whether the connection has ended, as far as this side knows.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// How many have their hands on it.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.client)
    }

    /// Whether the server answers within `limit`.
    pub(super) async fn answers(&self, limit: Duration) -> bool {
        matches!(timeout(limit, self.client.check_connection()).await, Ok(Ok(())))
    }

    /// Ends the connection in the background; with `cancel`, the server is asked first to stop what
    /// it does for it, which it would otherwise notice only when it is done.
    pub(super) fn close(mut self, cancel: Option<MakeRustlsConnect>) {
        let Some(driver) = self.driver.take() else { return };
        let home = self.home.clone();
        home.spawn(async move {
            if let Some(tls) = cancel {
                // Nothing more can be done if it fails: the connection goes all the same.
                let _ = timeout(FAREWELL, self.client.cancel_token().cancel_query(tls)).await;
            }
            drop(self);
            let abort = driver.abort_handle();
            if timeout(FAREWELL, driver).await.is_err() {
                abort.abort();
            }
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // What was not closed in good order must not wait for answers that nobody wants.
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// The stream under TLS of our connector.
type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// That a connection of a pool lives; the pool hears of its end, however it comes.
pub(super) struct Life {
    pool: Weak<Shared>,
    place: String,
    broken: Option<String>,
}

impl Life {
    pub(super) fn new(pool: &Weak<Shared>, place: String) -> Self {
        if let Some(pool) = pool.upgrade() {
            pool.opened();
        }
        Life { pool: Weak::clone(pool), place, broken: None }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let broken = self.broken.take().map(|why| {
            format!(
                "the connection to PostgreSQL at {} was lost ({why}); it is tried again",
                self.place
            )
        });
        pool.ended(broken.as_deref());
    }
}

/// Runs the connection until it ends.
async fn drive(
    mut connection: tokio_postgres::Connection<Socket, TlsStream>,
    heard: Option<mpsc::Sender<String>>,
    mut life: Option<Life>,
) {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(note))) => {
                if let Some(heard) = &heard
                    && heard.try_send(note.payload().to_string()).is_err()
                {
                    // The listener cannot follow: it begins anew, and tells its reader so.
                    return;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                if let Some(life) = &mut life {
                    life.broken = Some(why(&error));
                }
                return;
            }
            None => return,
        }
    }
}
