//! How to connect.

use taskwright_core::Name;
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::Retention;

use crate::app::Taskwright;
use crate::backend;

/// How to connect to a store or a server. What does not concern the place connected to is refused.
///
/// ```
/// # use taskwright::Options;
/// # tokio_test(async {
/// let app = Options::new().namespace("acme").connect("memory:").await?;
/// # app.close().await });
/// # fn tokio_test(f: impl Future<Output = taskwright::Result<()>>) {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f).unwrap() }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until they are used to connect"]
pub struct Options {
    pub(crate) namespace: Option<String>,
    pub(crate) syncing: Option<Syncing>,
    pub(crate) retention: Option<Retention>,
    pub(crate) token: Option<String>,
    pub(crate) actor: Option<String>,
}

/// When a file store makes what it acknowledged safe against a crash of the machine. A crash of the
/// process alone loses nothing in any mode.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Syncing {
    /// Before each acknowledgement (durability D2). The default.
    #[default]
    Always,
    /// A few times a second: a crash may lose about a second (D1).
    Interval,
    /// When the operating system does (D1).
    Os,
}

impl Options {
    /// Everything by default.
    pub fn new() -> Self {
        Options::default()
    }

    /// The tenant whose jobs are meant; `default` by default.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// When a file store syncs.
    pub fn syncing(mut self, syncing: Syncing) -> Self {
        self.syncing = Some(syncing);
        self
    }

    /// How long ended jobs are kept, in a store that this process opens.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = Some(retention);
        self
    }

    /// The credential for a server.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Who asks, for the audit record of cancels, redrives, pauses …; `application` by default.
    pub fn actor(mut self, actor: &str) -> Self {
        self.actor = Some(actor.to_owned());
        self
    }

    /// Connects; see [`Taskwright::connect`].
    pub async fn connect(self, url: &str) -> Result<Taskwright> {
        let namespace = self.checked_namespace()?;
        let actor = self.actor.as_deref().unwrap_or("application").into();
        let connection = backend::connect(url, &self).await?;
        Ok(Taskwright::of(connection, namespace, actor))
    }

    /// Connects, for programs without async code; see [`crate::blocking`].
    pub fn connect_blocking(self, url: &str) -> Result<crate::blocking::Taskwright> {
        crate::blocking::Taskwright::connect_with(self, url)
    }

    fn checked_namespace(&self) -> Result<Name> {
        let Some(namespace) = &self.namespace else { return Ok(Name::default_name()) };
        Name::new(namespace).map_err(|error| {
            Error::new(ErrorCode::Invalid, format!("cannot use this namespace: {error}"))
        })
    }
}
