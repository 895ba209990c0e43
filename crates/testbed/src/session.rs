//! One connection for what tests do behind the store's back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::{Error, background};

/// How the server calls these connections, to tell them from those of whom is tested.
pub const NAME: &str = "taskwright-testbed";

/// How long a connection and a statement may take.
const LIMIT: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection that is made when it is needed and made again when it was lost.
#[derive(Clone)]
pub struct Session {
    config: Arc<Config>,
    client: Arc<Mutex<Option<Client>>>,
}

impl Session {
    /// Connects only when it is first used.
    pub fn new(mut config: Config) -> Session {
        config.connect_timeout(CONNECT_MAX).application_name(NAME);
        Session { config: Arc::new(config), client: Arc::default() }
    }

    /// The same for a URL of a server that nobody crashes: what is written there need not be on
    /// disk at once.
    pub fn at(url: &str) -> Result<Session, Error> {
        let config: Result<Config, _> = url.parse();
        let mut config = config.map_err(Error::failed(format!("reading the URL {url:?}")))?;
        config.options("-c synchronous_commit=off");
        Ok(Session::new(config))
    }

    /// Runs `sql`, which may be many statements, and returns the rows of all of them as text; NULL
    /// is empty.
    pub fn run(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        let tried = format!("running {sql:?}");
        let (session, sql) = (self.clone(), sql.to_string());
        background::run(&tried, LIMIT, async move { session.query(&sql).await })
    }

    /// The first column of the first row.
    pub fn value(&self, sql: &str) -> Result<String, Error> {
        let rows = self.run(sql)?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).unwrap_or_default())
    }

    /// Whether somebody answers.
    pub fn ping(&self) -> Result<(), Error> {
        self.value("select 1").map(drop)
    }

    /// Ends the connection, if there is one.
    pub fn close(&self) {
        let session = self.clone();
        let _ = background::run("closing a connection", LIMIT, async move {
            *session.client.lock().await = None;
            Ok(())
        });
    }

    async fn query(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        let mut client = self.client.lock().await;
        let connected = match client.take().filter(|client| !client.is_closed()) {
            Some(connected) => connected,
            None => self.connect().await?,
        };
        let messages = connected.simple_query(sql).await;
        *client = Some(connected);
        let messages = messages.map_err(|error| told(&format!("running {sql:?}"), &error))?;
        Ok(messages.iter().filter_map(row).collect())
    }

    async fn connect(&self) -> Result<Client, Error> {
        let tried = || format!("connecting to {:?}", self.config.get_hosts());
        let (client, connection) =
            self.config.connect(NoTls).await.map_err(|error| told(&tried(), &error))?;
        tokio::spawn(connection);
        Ok(client)
    }
}

fn row(message: &SimpleQueryMessage) -> Option<Vec<String>> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_string()).collect())
}

/// The server's own words, which the error itself keeps back.
fn told(tried: &str, error: &tokio_postgres::Error) -> Error {
    let words = match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    };
    Error::Failed(format!("{tried}: {words}"))
}
