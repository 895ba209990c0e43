//! A PostgreSQL server of a test's own.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::certificates::Certificates;
use crate::database::{self, Database};
use crate::guard::Guard;
use crate::location::{Location, with_parameter};
use crate::programs::{self, Program, User};
use crate::session::Session;
use crate::{Error, ports, template};

/// How long a server may take until it answers; recovery after a crash included.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

/// How often another port is tried when somebody else was faster.
const PORTS_MAX: usize = 5;

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// As in a crash: connections are cut, and the next start recovers from the log.
    Immediate,
    /// Transactions are rolled back and connections closed; all is written to disk.
    Fast,
}

/// What a server shall be like.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    durable: bool,
    password: bool,
    tls: bool,
}

impl Options {
    /// Sets a parameter of `postgresql.conf`.
    pub fn setting(mut self, name: &str, value: impl Display) -> Options {
        self.settings.push((name.to_string(), value.to_string()));
        self
    }

    /// Syncs to disk, as a real server does. Without this nothing is synced, which is faster, and
    /// [`Stop::Immediate`] still loses nothing: that takes a crash of the machine.
    pub fn durable(mut self) -> Options {
        self.durable = true;
        self
    }

    /// Asks connections over TCP for a password (SCRAM), which [`Postgres::url`] has in it. Without
    /// this all are trusted.
    pub fn password(mut self) -> Options {
        self.password = true;
        self
    }

    /// Takes connections over TCP only with TLS. [`Postgres::url`] then asks the client to verify
    /// the server, whose certificate is for `localhost` and `127.0.0.1`.
    pub fn tls(mut self) -> Options {
        self.tls = true;
        self
    }

    /// Makes such a server and starts it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where PostgreSQL is not installed.
    pub fn start(self) -> Result<Postgres, Error> {
        Postgres::make(&self)
    }
}

/// A server of a test's own, on a free port of 127.0.0.1, in a directory that goes with it. It ends
/// when this is dropped and when the test is killed.
pub struct Postgres {
    guard: Guard,
    directory: PathBuf,
    port: u16,
    location: Location,
    server: Session,
    certificates: Option<Certificates>,
}

impl Postgres {
    /// Starts one that trusts everybody and syncs nothing to disk.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where PostgreSQL is not installed.
    pub fn new() -> Result<Postgres, Error> {
        Options::default().start()
    }

    /// To start another kind of server.
    pub fn options() -> Options {
        Options::default()
    }

    fn make(options: &Options) -> Result<Postgres, Error> {
        let folder = programs::postgres_folder()?;
        let user = programs::user()?;
        let directory = programs::directory(user)?;
        let data = directory.path().join("data");
        template::copy_to(&data, &folder, user)?;
        let program = Program::named(folder.join("postgres")).with(["-D".as_ref(), &*data]);
        let guard = Guard::hold(directory.path(), user, &program, "QUIT")?;
        // From here on it goes with the guard.
        let directory = directory.keep();
        let mut postgres = Postgres {
            guard,
            port: 0,
            location: Location::parse("postgres://")?,
            server: Session::new(socket(&directory, 0)),
            certificates: None,
            directory,
        };
        if options.tls {
            postgres.certificates = Some(Certificates::make(&postgres.directory, user)?);
        }
        postgres.write_access(options)?;
        for remaining in (0..PORTS_MAX).rev() {
            postgres.take_port(options, ports::free()?, user)?;
            match postgres.start() {
                Err(_) if remaining > 0 && postgres.port_was_taken() => {}
                started => return started.map(|()| postgres),
            }
        }
        Err(Error::Failed(format!("PostgreSQL found {PORTS_MAX} ports in use")))
    }

    /// Starts it again after [`Postgres::stop`], and waits until it answers. Nothing happens if it
    /// runs.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.guard.running().is_some() {
            return Ok(());
        }
        self.guard.start()?;
        let deadline = Instant::now() + START_MAX;
        loop {
            let Err(problem) = self.server.ping() else { return Ok(()) };
            let has_ended = self.guard.running().is_none();
            if has_ended || Instant::now() > deadline {
                let said = self.guard.last_words(10);
                return Err(Error::Failed(format!("starting PostgreSQL: {problem}\n{said}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it and waits for its end. Nothing happens if it does not run.
    pub fn stop(&mut self, how: Stop) -> Result<(), Error> {
        self.server.close();
        let signal = match how {
            Stop::Immediate => Signal::QUIT,
            Stop::Fast => Signal::INT,
        };
        self.guard.stop(signal, STOP_MAX)
    }

    /// Stops it and starts it again, on the same port.
    pub fn restart(&mut self, how: Stop) -> Result<(), Error> {
        self.stop(how)?;
        self.start()
    }

    /// Where it listens, for a [`Proxy`](crate::Proxy).
    pub fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL of a database there, as the superuser; `postgres` always exists. With TLS it says
    /// `sslmode=verify-full` and where the authority's certificate is.
    pub fn url(&self, database: &str) -> String {
        match self.authority() {
            Some(authority) => {
                let how = format!("sslmode=verify-full&sslrootcert={}", authority.display());
                self.url_with(database, &how)
            }
            None => self.location.database(database),
        }
    }

    /// The URL of a database there with these parameters and no others, such as `sslmode=require`.
    pub fn url_with(&self, database: &str, parameters: &str) -> String {
        with_parameter(&self.location.database(database), parameters)
    }

    /// With TLS: the certificate of the authority that signed the server's, a file in PEM.
    pub fn authority(&self) -> Option<&Path> {
        self.certificates.as_ref().map(|certificates| &*certificates.authority)
    }

    /// With TLS: the certificate of an authority that did not sign the server's, a file in PEM.
    pub fn stranger(&self) -> Option<&Path> {
        self.certificates.as_ref().map(|certificates| &*certificates.stranger)
    }

    /// A new, empty database. Dropped when its handle is.
    pub fn create_database(&self) -> Result<Database, Error> {
        Database::create(
            &self.server,
            |name| self.url(name),
            |name| {
                let mut config = socket(&self.directory, self.port);
                config.dbname(name);
                Ok(Session::new(config))
            },
        )
    }

    /// Ends the connections of everybody else to `database`; how many there were.
    pub fn terminate_backends(&self, database: &str) -> Result<usize, Error> {
        database::terminate_backends(&self.server, database)
    }

    /// Runs `sql`, which may be many statements, in one transaction in the database `postgres`; the
    /// rows as lines, columns with `|` between them, as `psql -At` prints them.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.server.run(sql).map(database::lines)
    }

    /// The last lines that the server wrote to its log.
    pub fn last_words(&self, lines_max: usize) -> String {
        self.guard.last_words(lines_max)
    }

    /// Whom the server believes: its own socket always, the rest as asked for.
    fn write_access(&self, options: &Options) -> Result<(), Error> {
        let method = if options.password { "scram-sha-256" } else { "trust" };
        let host = if options.tls { "hostssl" } else { "host" };
        let rules = format!("local all all trust\n{host} all all 127.0.0.1/32 {method}\n");
        fs::write(self.directory.join("data/pg_hba.conf"), rules)
            .map_err(Error::failed("writing pg_hba.conf"))
    }

    /// What stands last counts.
    fn take_port(&mut self, options: &Options, port: u16, user: Option<User>) -> Result<(), Error> {
        let path = self.directory.join("data/postgresql.conf");
        let durable = if options.durable { "on" } else { "off" };
        let mut settings = vec![
            ("port".to_string(), port.to_string()),
            ("listen_addresses".to_string(), "127.0.0.1".to_string()),
            ("unix_socket_directories".to_string(), self.directory.display().to_string()),
            ("fsync".to_string(), durable.to_string()),
            ("full_page_writes".to_string(), durable.to_string()),
            ("timezone".to_string(), "UTC".to_string()),
        ];
        if let Some(Certificates { server, key, .. }) = &self.certificates {
            settings.push(("ssl".to_string(), "on".to_string()));
            settings.push(("ssl_cert_file".to_string(), server.display().to_string()));
            settings.push(("ssl_key_file".to_string(), key.display().to_string()));
        }
        settings.extend(options.settings.iter().cloned());
        let lines: Vec<_> = settings
            .iter()
            .map(|(name, value)| format!("{name} = {}\n", database::quoted(value)))
            .collect();
        File::options()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(lines.concat().as_bytes()))
            .map_err(Error::failed(format!("writing {}", path.display())))?;
        programs::give(&path, user)?;
        let password =
            if options.password { format!(":{}", template::PASSWORD) } else { String::new() };
        self.location =
            Location::parse(&format!("postgres://postgres{password}@127.0.0.1:{port}"))?;
        self.server = Session::new(socket(&self.directory, port));
        self.port = port;
        Ok(())
    }

    fn port_was_taken(&self) -> bool {
        self.last_words(20).contains("Address already in use")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.server.close();
    }
}

/// The test bed's own way in, which asks for no password.
fn socket(directory: &Path, port: u16) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(directory).port(port).user("postgres").dbname("postgres");
    config
}
