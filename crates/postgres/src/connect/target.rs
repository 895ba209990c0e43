//! Which database is meant, and how it is to be reached.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use taskwright_store::Error;
use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

use super::url::{self, Parts, Place, invalid};

const PORT: u16 = 5432;
const SCHEMA: &str = "taskwright";
/// PostgreSQL cuts names at 63 bytes; what we derive from the schema's name has room behind it.
const SCHEMA_MAX: usize = 48;
const POOL: usize = 8;
const POOL_MAX: usize = 1000;
const DEADLINE: Duration = Duration::from_secs(8);
const DEADLINE_MAX_MS: u64 = 600_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT_MAX_S: u64 = 600;

/// How far TLS is asked for; the words mean what they mean to `psql`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, whoever it is.
    Prefer,
    /// TLS; the server's certificate is looked at only if `sslrootcert` is given.
    Require,
    /// TLS with a certificate of a trusted authority, for whatever name.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for the host's name.
    VerifyFull,
}

/// Which database is meant, and how it is to be reached; `Display` and `Debug` leave the password
/// out.
#[derive(Clone)]
pub struct Target {
    pub(super) hosts: Vec<Place>,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) database: String,
    pub(super) ssl_mode: SslMode,
    pub(super) root_certificates: Option<PathBuf>,
    pub(super) channel_binding: ChannelBinding,
    pub(super) session: TargetSessionAttrs,
    pub(super) connect_timeout: Duration,
    pub(super) application_name: String,
    schema: String,
    connections: usize,
    deadline: Duration,
}

impl Target {
    /// Reads `postgres://user:password@host:port,host:port/database?name=value&…`.
    ///
    /// Without a password, `PGPASSWORD` is taken; without a user, `PGUSER`, then `USER`; without a
    /// database, the one named as the user; without a host, `localhost`. A host that begins with
    /// `/` is the directory of a Unix socket. With several hosts, one that takes writes is looked
    /// for, unless `target_session_attrs=any` is said.
    ///
    /// Parameters of PostgreSQL: `host`, `port`, `user`, `password`, `dbname`, `sslmode`,
    /// `sslrootcert` (a path, or `system`), `channel_binding`, `target_session_attrs` (`any` or
    /// `read-write`), `connect_timeout` (seconds, 1 to 600, 5 unless told), `application_name`.
    /// Our own: `schema` (`taskwright`), `pool` (connections, 1 to 1000, 8 unless told),
    /// `deadline_ms` (100 to 600000, 8000 unless told).
    ///
    /// # Errors
    ///
    /// `Unusable`, in a sentence that repeats nothing of the password.
    pub fn parse(url: &str) -> Result<Self, Error> {
        Target::parse_with(url, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn parse_with(url: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut parts = url::split(url)?;
        let parameters = std::mem::take(&mut parts.parameters);
        let mut target = Target::plain();
        let mut session = None;
        for (name, value) in parameters {
            match name.as_str() {
                "host" => parts.hosts = hosts(&value),
                "port" => set_ports(&mut parts, &value)?,
                "user" => parts.user = Some(value),
                "password" => parts.password = Some(value),
                "dbname" => parts.database = Some(value),
                "target_session_attrs" => session = Some(session_attributes(&value)?),
                _ => target.set(&name, &value)?,
            }
        }
        if parts.hosts.is_empty() {
            parts.hosts.push(Place { host: "localhost".to_string(), port: None });
        }
        let user = parts.user.or_else(|| environment("PGUSER")).or_else(|| environment("USER"));
        target.user = user.ok_or_else(|| {
            invalid("the PostgreSQL URL names no user: write postgres://USER@HOST/DATABASE")
        })?;
        target.password = parts.password.or_else(|| environment("PGPASSWORD"));
        target.database = parts.database.unwrap_or_else(|| target.user.clone());
        target.session = session.unwrap_or(match parts.hosts.len() {
            1 => TargetSessionAttrs::Any,
            _ => TargetSessionAttrs::ReadWrite,
        });
        target.hosts = parts.hosts;
        Ok(target)
    }

    fn plain() -> Self {
        Target {
            hosts: Vec::new(),
            user: String::new(),
            password: None,
            database: String::new(),
            ssl_mode: SslMode::Prefer,
            root_certificates: None,
            channel_binding: ChannelBinding::Prefer,
            session: TargetSessionAttrs::Any,
            connect_timeout: CONNECT_TIMEOUT,
            application_name: "taskwright".to_string(),
            schema: SCHEMA.to_string(),
            connections: POOL,
            deadline: DEADLINE,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match name {
            "sslmode" => self.ssl_mode = ssl_mode(value)?,
            "sslrootcert" => {
                self.root_certificates = Some(PathBuf::from(value)).filter(|_| value != "system");
            }
            "channel_binding" => self.channel_binding = channel_binding(value)?,
            "connect_timeout" => {
                let seconds = number(name, value, 1, CONNECT_TIMEOUT_MAX_S)?;
                self.connect_timeout = Duration::from_secs(seconds);
            }
            "application_name" => self.application_name = value.to_string(),
            "schema" => self.schema = schema(value)?,
            "pool" => {
                let connections = number(name, value, 1, POOL_MAX as u64)?;
                self.connections = usize::try_from(connections).unwrap_or(POOL_MAX);
            }
            "deadline_ms" => {
                self.deadline = Duration::from_millis(number(name, value, 100, DEADLINE_MAX_MS)?);
            }
            unknown => return Err(unknown_parameter(unknown)),
        }
        Ok(())
    }

    /// The schema that everything of Taskwright is in; it has to be quoted in no statement, unless
    /// it is a word of SQL.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// How many connections the pool may have.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// How long a call may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The moment at which a call that begins now has to have ended.
    pub fn deadline_from_now(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// The hosts and the database, as error messages name them.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(host_and_port).collect();
        format!("{}/{}", hosts.join(","), self.database)
    }

    /// One of the hosts and the database, as error messages name them.
    pub(super) fn place_at(&self, host: &Place) -> String {
        format!("{}/{}", host_and_port(host), self.database)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "postgres://{}@{}", self.user, self.place())?;
        if self.schema != SCHEMA {
            write!(out, "?schema={}", self.schema)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Target({self})")
    }
}

fn host_and_port(place: &Place) -> String {
    let port = place.port.unwrap_or(PORT);
    match place.host.contains(':') {
        true => format!("[{}]:{port}", place.host),
        false => format!("{}:{port}", place.host),
    }
}

impl Place {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(PORT)
    }

    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

fn hosts(value: &str) -> Vec<Place> {
    let hosts = value.split(',').filter(|host| !host.is_empty());
    hosts.map(|host| Place { host: host.to_string(), port: None }).collect()
}

fn set_ports(parts: &mut Parts, value: &str) -> Result<(), Error> {
    let ports: Vec<_> = value.split(',').map(url::port_number).collect::<Result<_, _>>()?;
    if ports.len() != 1 && ports.len() != parts.hosts.len() {
        return Err(invalid(
            "the PostgreSQL URL's parameter `port` has another number of ports than there are \
             hosts: give one for all or one for each, after `host`",
        ));
    }
    if parts.hosts.is_empty() {
        parts.hosts.push(Place { host: "localhost".to_string(), port: None });
    }
    for (place, port) in parts.hosts.iter_mut().zip(ports.iter().cycle()) {
        place.port = Some(*port);
    }
    Ok(())
}

fn ssl_mode(value: &str) -> Result<SslMode, Error> {
    Ok(match value {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err(no_such("sslmode", "disable, prefer, require, verify-ca or verify-full")),
    })
}

fn channel_binding(value: &str) -> Result<ChannelBinding, Error> {
    Ok(match value {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => return Err(no_such("channel_binding", "disable, prefer or require")),
    })
}

fn session_attributes(value: &str) -> Result<TargetSessionAttrs, Error> {
    Ok(match value {
        "any" => TargetSessionAttrs::Any,
        "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
        _ => return Err(no_such("target_session_attrs", "any or read-write")),
    })
}

/// A name that reads the same whether it is quoted or not.
fn schema(value: &str) -> Result<String, Error> {
    let first = value.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_');
    let all = value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !first || !all || value.len() > SCHEMA_MAX || value.starts_with("pg_") {
        return Err(invalid(format!(
            "the PostgreSQL URL's parameter `schema` is no name we take: write up to {SCHEMA_MAX} \
             of a-z, 0-9 and _, no digit first, and not pg_ in front"
        )));
    }
    Ok(value.to_string())
}

fn number(name: &str, value: &str, least: u64, most: u64) -> Result<u64, Error> {
    value.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        invalid(format!(
            "the PostgreSQL URL's parameter `{name}` is no number from {least} to {most}: correct it"
        ))
    })
}

fn no_such(name: &str, values: &str) -> Error {
    invalid(format!("the PostgreSQL URL's parameter `{name}` has no such value: write {values}"))
}

fn unknown_parameter(name: &str) -> Error {
    let is_name = name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match is_name && !name.is_empty() {
        true => invalid(format!(
            "the PostgreSQL URL has a parameter `{name}` that Taskwright does not know: leave it out"
        )),
        false => invalid(
            "the PostgreSQL URL has a parameter that Taskwright does not know: leave it out",
        ),
    }
}

#[cfg(test)]
#[path = "tests/target.rs"]
mod tests;
