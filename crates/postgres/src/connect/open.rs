//! Opening a connection: host after host, again and again, but one attempt at a time.

use std::future::Future;
use std::sync::Weak;
use std::time::{Duration, Instant};

use rustls::Error as TlsError;
use taskwright_store::{Error, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode as Negotiation;

use super::backoff::Backoff;
use super::connection::{Life, Link, Opened};
use super::fault::{AGAIN, explain, why};
use super::pool::{Pool, Shared};
use super::target::{SslMode, Target};
use super::url::Place;

const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// However long an outage has lasted, a call waits for no longer than this share of its time
/// before it tries.
const PATIENCE: u32 = 4;

/// A silent network is noticed within 3 + 3 × 1 seconds where nothing is under way.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(3);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_RETRIES: u32 = 3;
/// The same where something is under way.
const UNACKNOWLEDGED: Duration = Duration::from_secs(6);

/// Who hears of a connection.
pub(super) struct Ears {
    /// The pool that it belongs to.
    pub(super) pool: Option<Weak<Shared>>,
    /// Who gets the payloads of notifications.
    pub(super) notes: Option<mpsc::Sender<String>>,
}

/// What is known from the attempts before.
pub(super) struct Opener {
    backoff: Backoff,
    not_before: Instant,
    /// When the last round ended.
    tried: Instant,
    /// The host to begin with: the last good one, or the first.
    host: usize,
}

impl Opener {
    pub(super) fn new() -> Self {
        let backoff = Backoff::new(BACKOFF_BASE, BACKOFF_MAX);
        let now = Instant::now();
        Opener { backoff, not_before: now, tried: now, host: 0 }
    }

    /// When the next round may begin for a call that waits no longer than `patience` for it: counted
    /// from the last round of anybody, or from when the call began.
    fn next(&self, began: Instant, patience: Duration) -> Instant {
        self.not_before.min(self.tried.max(began) + patience)
    }

    /// One round over the hosts.
    async fn attempt(
        &mut self,
        shared: &Shared,
        deadline: Instant,
        ears: &Ears,
    ) -> Result<Link, Error> {
        let outcome = self.round(shared, deadline, ears).await;
        self.tried = Instant::now();
        match &outcome {
            Ok(_) => self.backoff.reset(),
            Err(error) => {
                self.host = 0;
                self.not_before = self.tried + self.backoff.fail();
                shared.failed(error.kind, &error.message);
            }
        }
        outcome
    }

    /// Tries each host once.
    async fn round(
        &mut self,
        shared: &Shared,
        deadline: Instant,
        ears: &Ears,
    ) -> Result<Link, Error> {
        let hosts = shared.target.hosts.len();
        let mut errors: Vec<Error> = Vec::new();
        for host in (self.host..hosts).chain(0..self.host.min(hosts)) {
            let limit = deadline.min(Instant::now() + shared.target.connect_timeout);
            match connect(shared, host, limit, ears).await {
                Ok(link) => {
                    self.host = host;
                    return Ok(link);
                }
                Err(error) => errors.push(error),
            }
        }
        Err(combined(errors).unwrap_or_else(|| shared.unreachable("it names no host")))
    }
}

impl Shared {
    /// Opens a connection, with as many rounds over the hosts as the deadline has room for, or takes an
    /// idle one of `pool` that comes free meanwhile.
    ///
    /// One round is made at a time, whoever asks; who waits for the next one is in nobody's way.
    pub(super) async fn open_within(
        &self,
        deadline: Instant,
        ears: &Ears,
        pool: Option<&Pool>,
    ) -> Result<Link, Error> {
        let began = Instant::now();
        let patience = deadline.saturating_duration_since(began) / PATIENCE;
        let mut last = None;
        loop {
            let mut health = self.health.subscribe();
            let next = {
                let mut opener = self.opener.lock().await;
                if let Some(pool) = pool
                    && let Some(link) = pool.checked_idle(deadline).await
                {
                    return Ok(link);
                }
                if opener.next(began, patience) <= Instant::now() {
                    match opener.attempt(self, deadline, ears).await {
                        Ok(link) => return Ok(link),
                        Err(error) if error.kind == ErrorKind::Unusable => return Err(error),
                        Err(error) => last = Some(error),
                    }
                }
                opener.next(began, patience)
            };
            if next >= deadline {
                let waited = || self.unreachable("it is not yet time for another attempt");
                return Err(last.unwrap_or_else(waited));
            }
            // Somebody may have a connection sooner.
            let _ = timeout_at(next.into(), health.changed()).await;
        }
    }
}

async fn connect(shared: &Shared, host: usize, limit: Instant, ears: &Ears) -> Result<Link, Error> {
    let target = &shared.target;
    let place = &target.hosts[host];
    let name = target.place_at(place);
    let config = config(target, place);
    let tls = shared.tls.clone();
    let connecting = async move { timeout_at(limit.into(), config.connect(tls)).await };
    match at_home(&shared.home, connecting).await? {
        Ok(Ok((client, connection))) => {
            let generation = shared.generation();
            let opened = Opened { host, generation, used: Instant::now() };
            let life = ears.pool.as_ref().map(|pool| Life::new(pool, name));
            Ok(Link::start(&shared.home, client, connection, opened, ears.notes.clone(), life))
        }
        Ok(Err(error)) => Err(refused(&error, &name)),
        Err(_) => Err(unreachable_at(&name, "it does not answer")),
    }
}

/// Runs `work` where connections live, as a socket belongs to the runtime that opened it. If nobody
/// waits for it any more, it is given up.
async fn at_home<T: Send + 'static>(
    home: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    // A set ends its tasks when it is dropped.
    let mut tasks = JoinSet::new();
    tasks.spawn_on(work, home);
    match tasks.join_next().await {
        Some(Ok(done)) => Ok(done),
        _ => {
            Err(Error::new(ErrorKind::Unavailable, "an attempt to connect ended early: try again"))
        }
    }
}

fn config(target: &Target, place: &Place) -> Config {
    let mut config = Config::new();
    config
        .host(&place.host)
        .port(place.port())
        .user(&target.user)
        .dbname(&target.database)
        .ssl_mode(negotiation(target, place))
        .channel_binding(target.channel_binding)
        .target_session_attrs(target.session)
        .connect_timeout(target.connect_timeout)
        .application_name(&target.application_name)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(UNACKNOWLEDGED);
    if let Some(password) = &target.password {
        config.password(password);
    }
    config
}

fn negotiation(target: &Target, place: &Place) -> Negotiation {
    match target.ssl_mode {
        // A Unix socket never leaves the machine, and PostgreSQL has no TLS there.
        _ if place.is_socket() => Negotiation::Disable,
        SslMode::Disable => Negotiation::Disable,
        SslMode::Prefer => Negotiation::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Negotiation::Require,
    }
}

/// Why a host could not be connected to.
fn refused(error: &tokio_postgres::Error, place: &str) -> Error {
    if let Some(said) = error.as_db_error() {
        return explain(said, place);
    }
    let reason = why(error);
    if is_untrusted(error) {
        return Error::new(
            ErrorKind::Unusable,
            format!(
                "the certificate of PostgreSQL at {place} is not accepted ({reason}): name the \
                 authority with `sslrootcert`, and the host as the certificate does"
            ),
        );
    }
    if reason.contains("server does not support TLS") {
        return Error::new(
            ErrorKind::Unusable,
            format!(
                "PostgreSQL at {place} has no TLS, which `sslmode` asks for: turn its `ssl` on, or \
                 say sslmode=disable where nobody can listen"
            ),
        );
    }
    if reason.starts_with("authentication error") || reason.starts_with("invalid configuration") {
        return Error::new(
            ErrorKind::Unusable,
            format!(
                "PostgreSQL at {place} does not let us in ({reason}): correct user and password in \
                 the URL or PGPASSWORD"
            ),
        );
    }
    unreachable_at(place, &reason)
}

fn is_untrusted(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = within.and_then(|error| error.downcast_ref::<TlsError>());
        if matches!(tls, Some(TlsError::InvalidCertificate(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The error of a place that cannot be reached.
pub(super) fn unreachable_at(place: &str, reason: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "PostgreSQL at {place} cannot be reached ({reason}): start it or correct the URL; it is \
             tried again and again"
        ),
    )
    .retry_after(AGAIN)
}

/// One error for all hosts: what may pass by itself outweighs what does not.
fn combined(errors: Vec<Error>) -> Option<Error> {
    let message = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ");
    let mut errors = errors.into_iter();
    let first = errors.next()?;
    let worth_more = errors.find(Error::is_retryable).filter(|_| !first.is_retryable());
    Some(Error { message, ..worth_more.unwrap_or(first) })
}

/// Waits for `work` until the deadline.
pub(super) async fn until<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    timeout_at(deadline.into(), work).await.ok()
}
