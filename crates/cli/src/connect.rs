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

/// The directory of the store.
pub fn data(global: &Global) -> PathBuf {
    global.data.clone().unwrap_or_else(|| DATA_DEFAULT.into())
}

/// Connects to the server, to the process that has the store open, or else to the store itself,
/// which must be there.
pub async fn connect(global: &Global) -> Result<Taskwright> {
    let data = data(global);
    if server(global).is_none() && !data.exists() {
        bail!(
            "there is no store at {}; start one with `taskwright serve`, make one with `taskwright enqueue`, or name its directory with --data",
            data.display()
        );
    }
    connect_or_create(global).await
}

/// Like [`connect`], but a store that is not there is made.
pub async fn connect_or_create(global: &Global) -> Result<Taskwright> {
    match server(global) {
        Some(server) => connect_to_server(global, &server).await,
        None => connect_to_data(global, &data(global)).await,
    }
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

fn server(global: &Global) -> Option<String> {
    if global.data.is_some() {
        return None;
    }
    let from_environment = || std::env::var("TASKWRIGHT_SERVER").ok().filter(|url| !url.is_empty());
    global.server.clone().or_else(from_environment)
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
    let from_environment = std::env::var("TASKWRIGHT_TOKEN").ok().filter(|token| !token.is_empty());
    let from_file = || {
        let token = std::fs::read_to_string(data(global).join(TOKEN)).ok()?;
        Some(token.trim_end().to_owned())
    };
    from_environment.or_else(from_file)
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
