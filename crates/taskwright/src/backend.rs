//! Which place a URL names. Nothing else in this crate knows a backend.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use taskwright_engine::{Api, Engine, Error, ErrorCode, Result};
use taskwright_local::{Durability, FileOptions, LocalStore, MemoryOptions, Soundness};
use taskwright_store::{Clock, Retention, Store, SystemClock};

use crate::control::{self, ControlGuard};
use crate::options::{Options, Syncing};

/// A way to all operations.
pub(crate) struct Connection {
    pub(crate) api: Arc<dyn Api>,
    /// Whether the store lives and dies with this process.
    pub(crate) in_process: bool,
    /// The place, for messages; never with a credential.
    pub(crate) place: String,
    /// The socket through which other programs reach a store that this process has open.
    pub(crate) control: Option<ControlGuard>,
}

/// How often a file store syncs that does not do so before each answer.
const SYNC_EVERY: Duration = Duration::from_millis(250);

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Memory,
    File(&'a str),
    Http(&'a str),
    Unix(&'a str),
}

const PLACES: &str = "\"memory:\", \"file:PATH\", \"http://HOST:PORT\" or \"unix:PATH\"";

fn place(url: &str) -> Result<Place<'_>> {
    let invalid = |why: &str| {
        let message = format!("cannot connect to {url:?}: {why}; use {PLACES}");
        Err(Error::new(ErrorCode::Invalid, message))
    };
    let Some((scheme, rest)) = url.split_once(':') else {
        return invalid("it does not begin with the kind of the place");
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        "memory" if path.is_empty() => Ok(Place::Memory),
        "memory" => invalid("a memory store has no name or path"),
        "file" | "unix" if path.is_empty() => invalid("it names no path"),
        "file" => Ok(Place::File(path)),
        "unix" => Ok(Place::Unix(path)),
        "http" | "https" if path.is_empty() => invalid("it names no host"),
        "http" | "https" => Ok(Place::Http(url)),
        "postgres" | "postgresql" => invalid("the PostgreSQL store is not in this version"),
        _ => invalid("nothing is known by that kind of place"),
    }
}

/// Opens the store or reaches the server that `url` names.
pub(crate) async fn connect(url: &str, options: &Options) -> Result<Connection> {
    let place = place(url)?;
    check_options(&place, url, options)?;
    match place {
        Place::Memory => {
            let retention = options.retention.unwrap_or_default();
            opened(memory(Arc::new(SystemClock), retention)?, url, None)
        }
        Place::File(path) => {
            let path = PathBuf::from(path);
            let store = file(path.clone(), options).await?;
            opened(store, url, Some(&path))
        }
        Place::Http(url) => remote(reach_server(url, options.token.as_deref())?, url),
        Place::Unix(path) => match control::reach(Path::new(path)).await? {
            Some(api) => remote(Arc::new(api), url),
            None => {
                let message = format!(
                    "cannot connect to {url:?}: no process listens there; open the store itself with \"file:PATH\""
                );
                Err(Error::new(ErrorCode::Unavailable, message))
            }
        },
    }
}

/// Reads all of the file store in a directory that no process has open, and repairs nothing.
pub fn fsck(directory: &Path) -> Result<Soundness> {
    Ok(taskwright_local::fsck(directory)?)
}

fn remote(api: Arc<dyn Api>, url: &str) -> Result<Connection> {
    // What stands before an @ may be a password.
    let place = url.rsplit('@').next().unwrap_or(url).to_owned();
    Ok(Connection { api, in_process: false, place, control: None })
}

#[cfg(feature = "http")]
fn reach_server(url: &str, token: Option<&str>) -> Result<Arc<dyn Api>> {
    Ok(Arc::new(crate::http::open(url, token)?))
}

#[cfg(not(feature = "http"))]
fn reach_server(url: &str, _token: Option<&str>) -> Result<Arc<dyn Api>> {
    let message = format!(
        "cannot connect to {url:?}: taskwright was built without HTTP; add its feature \"http\""
    );
    Err(Error::new(ErrorCode::Unusable, message))
}

/// An empty store in memory.
pub(crate) fn memory(clock: Arc<dyn Clock>, retention: Retention) -> Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = LocalStore::open_memory(MemoryOptions { retention }, clock)?;
    Ok(store)
}

async fn file(path: PathBuf, options: &Options) -> Result<Arc<dyn Store>> {
    let file_options = FileOptions {
        durability: match options.syncing.unwrap_or_default() {
            Syncing::Always => Durability::Fsync,
            Syncing::Interval => Durability::Interval(SYNC_EVERY),
            Syncing::Os => Durability::Os,
        },
        retention: options.retention.unwrap_or_default(),
    };
    // Recovery reads much of the disk.
    let opening = move || LocalStore::open_file(&path, file_options, Arc::new(SystemClock));
    let opened = tokio::task::spawn_blocking(opening).await.map_err(|_| {
        Error::new(ErrorCode::Unavailable, "the store was not opened, because its runtime ended")
    })?;
    let store: Arc<dyn Store> = opened?;
    Ok(store)
}

/// An engine over a store, which other programs of this user find by the socket in its directory.
fn opened(store: Arc<dyn Store>, url: &str, directory: Option<&Path>) -> Result<Connection> {
    let api: Arc<dyn Api> = Engine::start(store)?;
    let control = directory.and_then(|directory| {
        let socket = control::socket_in(directory);
        // A path can be too long for a socket; the store works all the same.
        control::serve(Arc::clone(&api), &socket)
            .inspect_err(|error| tracing::warn!(%error, "other programs cannot reach this store"))
            .ok()
    });
    Ok(Connection { api, in_process: true, place: url.to_owned(), control })
}

/// Refuses options that have no meaning at this place, so that nobody relies on them in vain.
fn check_options(place: &Place<'_>, url: &str, options: &Options) -> Result<()> {
    let is_store = matches!(place, Place::Memory | Place::File(_));
    let misplaced = [
        (options.token.is_some() && is_store, "token", "a server"),
        (options.retention.is_some() && !is_store, "retention", "a store that this process opens"),
        (options.syncing.is_some() && !matches!(place, Place::File(_)), "syncing", "a file store"),
    ];
    for (is_misplaced, option, owner) in misplaced {
        if is_misplaced {
            let message = format!(
                "cannot connect to {url:?} with the option {option}: it belongs to {owner}; leave it out"
            );
            return Err(Error::new(ErrorCode::Invalid, message));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/backend.rs"]
mod tests;
