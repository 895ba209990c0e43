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
    Postgres(&'a str),
    Http(&'a str),
    Unix(&'a str),
}

const PLACES: &str = "\"memory:\", \"file:PATH\", \"postgres://USER@HOST/DATABASE\", \"http://HOST:PORT\" or \"unix:PATH\"";

fn place(url: &str) -> Result<Place<'_>> {
    let why = match place_of(url) {
        Some(place) => return Ok(place),
        None => fault_of(url),
    };
    let message = format!("cannot connect to {:?}: {why}; use {PLACES}", shown(url));
    Err(Error::new(ErrorCode::Invalid, message))
}

fn place_of(url: &str) -> Option<Place<'_>> {
    let (scheme, rest) = url.split_once(':')?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Some(match scheme {
        "memory" if path.is_empty() => Place::Memory,
        "file" if !path.is_empty() => Place::File(path),
        "unix" if !path.is_empty() => Place::Unix(path),
        "http" | "https" if !path.is_empty() => Place::Http(url),
        "postgres" | "postgresql" if rest.starts_with("//") => Place::Postgres(url),
        _ => return None,
    })
}

/// Why a URL names no place.
fn fault_of(url: &str) -> &'static str {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        None => "it does not begin with the kind of the place",
        Some("memory") => "a memory store has no name or path",
        Some("file" | "unix") => "it names no path",
        Some("http" | "https") => "it names no host",
        Some("postgres" | "postgresql") => "// is missing behind its kind",
        Some(_) => "nothing is known by that kind of place",
    }
}

/// Opens the store or reaches the server that `url` names.
pub(crate) async fn connect(url: &str, options: &Options) -> Result<Connection> {
    let place = place(url)?;
    check_options(&place, url, options)?;
    match place {
        Place::Memory => {
            let retention = options.retention.unwrap_or_default();
            opened(memory(Arc::new(SystemClock), retention)?, url.to_owned(), None)
        }
        Place::File(path) => {
            let path = PathBuf::from(path);
            let store = file(path.clone(), options).await?;
            opened(store, url.to_owned(), Some(&path))
        }
        Place::Postgres(url) => opened(postgres(url, options).await?, shown(url), None),
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

/// The store at a place itself, without an engine around it. One that `must_exist` is not made.
pub(crate) async fn store(url: &str, must_exist: bool) -> Result<Arc<dyn Store>> {
    match place(url)? {
        Place::File(path) if must_exist && !holds_something(Path::new(path)) => {
            let message = format!("there is no store at {path}; name the directory of one");
            Err(Error::new(ErrorCode::NotFound, message))
        }
        Place::File(path) => file(PathBuf::from(path), &Options::default()).await,
        Place::Postgres(url) => {
            if must_exist && !is_postgres_store(url).await? {
                let message =
                    format!("there is no store at {}; name the database of one", shown(url));
                return Err(Error::new(ErrorCode::NotFound, message));
            }
            postgres(url, &Options::default()).await
        }
        Place::Memory => {
            let message = "cannot open \"memory:\" from outside: such a store lives in its process; name a \"file:PATH\"";
            Err(Error::new(ErrorCode::Invalid, message))
        }
        Place::Http(_) | Place::Unix(_) => {
            let message = format!(
                "cannot open the store behind {:?}; stop that server, and name the place of its store",
                shown(url)
            );
            Err(Error::new(ErrorCode::Invalid, message))
        }
    }
}

fn holds_something(directory: &Path) -> bool {
    directory.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

/// The place that a URL names, spelled the same however it is written; never with a credential.
pub(crate) fn spelled(url: &str) -> Result<String> {
    Ok(match place(url)? {
        Place::File(path) => {
            let path = Path::new(path);
            let path = path.canonicalize().or_else(|_| std::path::absolute(path));
            format!("file:{}", path.unwrap_or_default().display())
        }
        _ => shown(url),
    })
}

/// A URL as messages and listings may say it: with nothing of a password.
pub fn shown(url: &str) -> String {
    match place_of(url) {
        Some(Place::Memory | Place::File(_) | Place::Unix(_)) => url.to_owned(),
        Some(Place::Postgres(url)) => shown_postgres(url),
        // What stands before an @ may be a password; behind a ? there may be one, too.
        _ => match url.split_once(':') {
            None => url.to_owned(),
            Some((kind, rest)) if !rest.contains(['@', '?']) => format!("{kind}:{rest}"),
            Some((kind, _)) => format!("{kind}:…"),
        },
    }
}

#[cfg(feature = "postgres")]
fn shown_postgres(url: &str) -> String {
    taskwright_postgres::connect::Target::parse(url)
        .map_or_else(|_| "postgres://…".to_owned(), |target| target.to_string())
}

#[cfg(not(feature = "postgres"))]
fn shown_postgres(_url: &str) -> String {
    "postgres://…".to_owned()
}

/// Reads all of the file store in a directory that no process has open, and repairs nothing.
pub fn fsck(directory: &Path) -> Result<Soundness> {
    Ok(taskwright_local::fsck(directory)?)
}

fn remote(api: Arc<dyn Api>, url: &str) -> Result<Connection> {
    Ok(Connection { api, in_process: false, place: shown(url), control: None })
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

/// Every process is a node of its own; the leases of workers in it end when it lets the store go.
#[cfg(feature = "postgres")]
async fn postgres(url: &str, options: &Options) -> Result<Arc<dyn Store>> {
    let host = rustix::system::uname();
    let postgres_options = taskwright_postgres::PostgresOptions {
        retention: options.retention.unwrap_or_default(),
        node_name: format!("{}:{}", host.nodename().to_string_lossy(), std::process::id()),
        clock: None,
    };
    let opening = taskwright_postgres::PostgresStore::open(url, postgres_options);
    let store = shallow(opening).await?;
    Ok(store)
}

/// Opening is calls within calls within calls; the futures of our users would be as deep, beyond
/// what the compiler allows.
#[cfg(feature = "postgres")]
fn shallow<'f, T>(
    deep: impl Future<Output = T> + Send + 'f,
) -> std::pin::Pin<Box<dyn Future<Output = T> + Send + 'f>> {
    Box::pin(deep)
}

#[cfg(feature = "postgres")]
async fn is_postgres_store(url: &str) -> Result<bool> {
    Ok(shallow(taskwright_postgres::PostgresStore::is_there(url)).await?)
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_url: &str, _options: &Options) -> Result<Arc<dyn Store>> {
    let message = "cannot connect to PostgreSQL: taskwright was built without it; add its feature \"postgres\"";
    Err(Error::new(ErrorCode::Unusable, message))
}

#[cfg(not(feature = "postgres"))]
async fn is_postgres_store(_url: &str) -> Result<bool> {
    Ok(true)
}

/// An engine over a store, which other programs of this user find by the socket in its directory.
fn opened(store: Arc<dyn Store>, place: String, directory: Option<&Path>) -> Result<Connection> {
    let api: Arc<dyn Api> = Engine::start(store)?;
    let control = directory.and_then(|directory| {
        let socket = control::socket_in(directory);
        // A path can be too long for a socket; the store works all the same.
        control::serve(Arc::clone(&api), &socket)
            .inspect_err(|error| tracing::warn!(%error, "other programs cannot reach this store"))
            .ok()
    });
    Ok(Connection { api, in_process: true, place, control })
}

/// Refuses options that have no meaning at this place, so that nobody relies on them in vain.
fn check_options(place: &Place<'_>, url: &str, options: &Options) -> Result<()> {
    let is_store = matches!(place, Place::Memory | Place::File(_) | Place::Postgres(_));
    let misplaced = [
        (options.token.is_some() && is_store, "token", "a server"),
        (options.retention.is_some() && !is_store, "retention", "a store that this process opens"),
        (options.syncing.is_some() && !matches!(place, Place::File(_)), "syncing", "a file store"),
    ];
    for (is_misplaced, option, owner) in misplaced {
        if is_misplaced {
            let message = format!(
                "cannot connect to {:?} with the option {option}: it belongs to {owner}; leave it out",
                shown(url)
            );
            return Err(Error::new(ErrorCode::Invalid, message));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/backend.rs"]
mod tests;
