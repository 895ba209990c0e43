//! Which store or server a command is about.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use taskwright::{Options, Taskwright};

use crate::arguments::Global;

/// The directory of the store where none is named.
const DATA_DEFAULT: &str = "./taskwright-data";
/// The socket in the directory of a store that is open.
const SOCKET: &str = "control.sock";
/// The file with the token in the directory of a store that is served.
pub const TOKEN: &str = "token";
/// The environment variables that name a store and a server.
const STORE: &str = "TASKWRIGHT_STORE";
const SERVER: &str = "TASKWRIGHT_SERVER";

/// The directory of the store.
pub fn data(global: &Global) -> PathBuf {
    global.data.clone().unwrap_or_else(|| DATA_DEFAULT.into())
}

/// What a command is about.
#[derive(Debug)]
pub enum Place {
    /// The server at this URL.
    Server(String),
    /// The store that this URL names.
    Store(String),
    /// The store in this directory, or the process that has it open.
    Data(PathBuf),
}

/// What a command is about: what its command line says, else what the environment says.
pub fn place(global: &Global) -> Result<Place> {
    if let Some(data) = &global.data {
        return Ok(Place::Data(data.clone()));
    }
    if let Some(server) = &global.server {
        return Ok(Place::Server(server.clone()));
    }
    if let Some(store) = &global.store {
        return Ok(Place::Store(store.clone()));
    }
    match (variable(STORE), variable(SERVER)) {
        (Some(_), Some(_)) => bail!(
            "the environment names a store ({STORE}) and a server ({SERVER}); unset one, or use --store or --server"
        ),
        (Some(store), None) => Ok(Place::Store(store)),
        (None, Some(server)) => Ok(Place::Server(server)),
        (None, None) => Ok(Place::Data(data(global))),
    }
}

/// The store that the command line or the environment names by a URL.
pub fn store(global: &Global) -> Option<String> {
    global.store.clone().or_else(|| variable(STORE).filter(|_| global.data.is_none()))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Connects to the server, to the process that has the store open, or else to the store itself,
/// which must be there.
pub async fn connect(global: &Global) -> Result<Taskwright> {
    if let Place::Data(data) = place(global)?
        && !data.exists()
    {
        bail!(
            "there is no store at {}; start one with `taskwright serve`, make one with `taskwright enqueue`, or name its directory with --data",
            data.display()
        );
    }
    connect_or_create(global).await
}

/// Like [`connect`], but a store that is not there is made.
pub async fn connect_or_create(global: &Global) -> Result<Taskwright> {
    match place(global)? {
        Place::Server(server) => connect_to_server(global, &server).await,
        Place::Store(store) => open_url(options(global), &store).await,
        Place::Data(data) => connect_to_data(global, &data).await,
    }
}

/// Opens the store that a URL names, in this process.
pub async fn open_url(options: Options, url: &str) -> Result<Taskwright> {
    if url.starts_with("http:") || url.starts_with("https:") || url.starts_with("unix:") {
        bail!("--store names a store and no server; use --server {}", taskwright::shown(url));
    }
    Ok(options.connect(url).await?)
}

/// What every connection is told.
pub fn options(global: &Global) -> Options {
    Options::new().namespace(global.namespace.as_str()).actor(&actor())
}

/// Who asks, for the audit record.
pub fn actor() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown user".to_owned());
    format!("cli:{user}")
}

async fn connect_to_server(global: &Global, server: &str) -> Result<Taskwright> {
    let mut options = options(global);
    if let Some(token) = token(global) {
        options = options.token(&token);
    }
    let app = options.connect(server).await?;
    // Calls are tried again for a minute; a server that is not there should be told of at once.
    app.api().describe().await?;
    Ok(app)
}

/// The token of the environment, else that of the store in the usual place.
fn token(global: &Global) -> Option<String> {
    let from_file = || {
        let token = std::fs::read_to_string(data(global).join(TOKEN)).ok()?;
        Some(token.trim_end().to_owned())
    };
    variable("TASKWRIGHT_TOKEN").or_else(from_file)
}

async fn connect_to_data(global: &Global, data: &Path) -> Result<Taskwright> {
    let socket = data.join(SOCKET);
    if tokio::net::UnixStream::connect(&socket).await.is_ok() {
        let url = format!("unix:{}", text(&socket)?);
        return Ok(options(global).connect(&url).await?);
    }
    open(options(global), data).await
}

/// Opens the store in a directory, in this process.
pub async fn open(options: Options, data: &Path) -> Result<Taskwright> {
    Ok(options.connect(&format!("file:{}", text(data)?)).await?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("cannot use {}: its name is not UTF-8; rename it", path.display()))
}
