//! A pooler before a PostgreSQL server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio_postgres::Config;

use crate::database::quoted;
use crate::guard::Guard;
use crate::location::Location;
use crate::programs::{self, Program, User};
use crate::{Error, ports};

const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(10);

/// Where it is installed, besides the folders of the `PATH`.
const FOLDERS: [&str; 4] =
    ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/opt/homebrew/sbin"];

/// A PgBouncer of a test's own, which gives each transaction a connection of its pool, on a free port
/// of 127.0.0.1. It ends when this is dropped and when the test is killed.
pub struct PgBouncer {
    guard: Guard,
    port: u16,
}

impl PgBouncer {
    /// Starts one before the server that `url` names; every database there can be reached.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where PgBouncer is not installed.
    pub fn before(url: &str) -> Result<PgBouncer, Error> {
        PgBouncer::with_settings(url, &[])
    }

    /// The same, with more lines for the section `[pgbouncer]`; they overrule what stands there.
    pub fn with_settings(url: &str, settings: &[(&str, &str)]) -> Result<PgBouncer, Error> {
        let program = find()?;
        let user = programs::user()?;
        let directory = programs::directory(user)?;
        let port = ports::free()?;
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, configuration(url, directory.path(), port, settings)?)
            .map_err(Error::failed(format!("writing {}", file.display())))?;
        programs::give(&file, user)?;
        let guard = guard(directory.path(), user, program.with([&file]))?;
        // From here on it goes with the guard.
        let _ = directory.keep();
        let mut bouncer = PgBouncer { guard, port };
        bouncer.start()?;
        Ok(bouncer)
    }

    /// Starts it again after [`PgBouncer::stop`]. Nothing happens if it runs.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.guard.running().is_some() {
            return Ok(());
        }
        self.guard.start()?;
        let deadline = Instant::now() + START_MAX;
        while let Err(problem) = TcpStream::connect_timeout(&self.address(), START_MAX) {
            if self.guard.running().is_none() || Instant::now() > deadline {
                let said = self.guard.last_words(10);
                return Err(Error::Failed(format!("starting PgBouncer: {problem}\n{said}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills it, as a crash does, and waits for its end.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.guard.stop(Signal::KILL, STOP_MAX)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL of a database behind it; nobody is asked for a password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address())
    }

    /// The last lines that it wrote to its log.
    pub fn last_words(&self, lines_max: usize) -> String {
        self.guard.last_words(lines_max)
    }
}

fn guard(directory: &Path, user: Option<User>, program: Program) -> Result<Guard, Error> {
    Guard::hold(directory, user, &program, "KILL")
}

fn find() -> Result<Program, Error> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain(FOLDERS.map(Into::into))
        .map(|folder| folder.join("pgbouncer"))
        .find(|path| path.is_file())
        .map(Program::named)
        .ok_or_else(|| {
            Error::Unavailable("needs PgBouncer: install the package pgbouncer".to_string())
        })
}

/// Whoever comes is let in and goes on as the user of `url`.
fn configuration(
    url: &str,
    directory: &Path,
    port: u16,
    settings: &[(&str, &str)],
) -> Result<String, Error> {
    let server: Config = url.parse().map_err(Error::failed(format!("reading {url:?}")))?;
    let address = Location::parse(url)?.address();
    let Some((host, server_port)) = address.rsplit_once(':') else {
        return Err(Error::Failed(format!("{url:?} names no port")));
    };
    let mut way = format!("host={host} port={server_port}");
    way.push_str(&format!(" user={}", quoted(server.get_user().unwrap_or("postgres"))));
    if let Some(password) = server.get_password() {
        way.push_str(&format!(" password={}", quoted(&String::from_utf8_lossy(password))));
    }
    let folder = directory.display();
    let mut lines = vec![
        "[databases]".to_string(),
        format!("* = {way}"),
        "[pgbouncer]".to_string(),
        format!("listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {folder}"),
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 20".to_string(),
        "max_client_conn = 500".to_string(),
        String::new(),
    ];
    let more = settings.iter().map(|(name, value)| format!("{name} = {value}\n"));
    lines.extend(more);
    Ok(lines.join("\n"))
}
