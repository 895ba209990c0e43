//! The connections of one process.
//!
//! It is a pool of our own: what it has to do beyond keeping connections (one attempt at a time for
//! all callers, dropping all idle ones after a failover, cancelling what was given up) would have
//! to be built around any other.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use taskwright_store::{Error, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, Link};
use super::fault::AGAIN;
use super::health::Health;
use super::home::home;
use super::open::{Ears, Opener, unreachable_at, until};
use super::target::Target;
use super::tls;

/// Connections that were of no use for so long are closed.
const IDLE: Duration = Duration::from_secs(120);
/// Connections that were of no use for so long are asked whether they still lead anywhere.
const UNCHECKED: Duration = Duration::from_secs(1);
/// How long that question may take.
const CHECK: Duration = Duration::from_secs(2);
/// How long one attempt of the background takes to have a connection again.
const REVIVAL: Duration = Duration::from_secs(5);

/// At most so many connections as the target says, opened when they are needed.
///
/// Cheap to clone; all clones are the same pool. A listener has a connection besides.
#[derive(Clone)]
pub struct Pool {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) target: Target,
    pub(super) tls: MakeRustlsConnect,
    /// Where connections live, whoever calls.
    pub(super) home: Handle,
    permits: Arc<Semaphore>,
    /// The one used last is at the end.
    idle: Mutex<Vec<Link>>,
    /// Whoever has it may connect, so there is one attempt at a time.
    pub(super) opener: tokio::sync::Mutex<Opener>,
    /// How often connections were found broken; older ones are not used again.
    generation: AtomicU64,
    /// When a call last got no answer.
    suspected: Mutex<Option<Instant>>,
    live: AtomicUsize,
    reviving: AtomicBool,
    closed: AtomicBool,
    pub(super) health: watch::Sender<Health>,
}

impl Pool {
    /// A pool that has no connection yet.
    ///
    /// # Errors
    ///
    /// `Unusable`: the certificates to trust cannot be read. `Unavailable`: no thread can be started.
    pub fn new(target: Target) -> Result<Self, Error> {
        let tls = tls::connector(&target)?;
        let shared = Shared {
            permits: Arc::new(Semaphore::new(target.connections())),
            idle: Mutex::default(),
            opener: tokio::sync::Mutex::new(Opener::new()),
            generation: AtomicU64::new(0),
            suspected: Mutex::default(),
            live: AtomicUsize::new(0),
            reviving: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            health: watch::Sender::new(Health::Untried),
            target,
            tls,
            home: home()?,
        };
        Ok(Pool { shared: Arc::new(shared) })
    }

    /// Which database it leads to.
    pub fn target(&self) -> &Target {
        &self.shared.target
    }

    /// The moment at which a call that begins now has to have ended.
    pub fn deadline(&self) -> Instant {
        self.shared.target.deadline_from_now()
    }

    /// Whether the database is there, and every change of that.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// The runtime on which connections live; it is that of no caller and lasts as long as the process.
    pub fn runtime(&self) -> &Handle {
        &self.shared.home
    }

    /// Closes idle connections now and the others when their calls end; later calls are refused.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.permits.close();
        self.shared.drop_idle();
    }

    /// A connection for one call.
    pub(super) async fn take(&self, deadline: Instant) -> Result<Taken, Error> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = match until(deadline, permits.acquire_owned()).await {
            Some(Ok(permit)) => permit,
            Some(Err(_)) => return Err(self.shared.closed_error()),
            None => return Err(self.shared.all_in_use()),
        };
        let link = match self.checked_idle(deadline).await {
            Some(link) => link,
            None => self.open(deadline).await?,
        };
        self.shared.health.send_if_modified(|health| {
            let news = !health.is_connected();
            *health = Health::Connected;
            news
        });
        let (connection, shared) = (link.connection(), Arc::clone(&self.shared));
        Ok(Taken { link: Some(link), connection, shared, _permit: permit })
    }

    async fn open(&self, deadline: Instant) -> Result<Link, Error> {
        let ears = Ears { pool: Some(Arc::downgrade(&self.shared)), notes: None };
        let attempt = self.shared.open_within(deadline, &ears, Some(self));
        let waited = || Err(self.shared.unreachable("it took too long"));
        let opened = until(deadline, attempt).await.unwrap_or_else(waited);
        // A server that takes longer to let us in than any call may take must not keep us out.
        if opened.as_ref().is_err_and(Error::is_retryable) {
            self.shared.revive();
        }
        opened
    }

    /// An idle connection that leads somewhere.
    pub(super) async fn checked_idle(&self, deadline: Instant) -> Option<Link> {
        loop {
            let link = self.shared.pop_idle()?;
            let limit = deadline.saturating_duration_since(Instant::now()).min(CHECK);
            if self.shared.is_trusted(&link) || link.answers(limit).await {
                return Some(link);
            }
            link.close(None);
            if limit < CHECK {
                return None;
            }
            self.shared.doubt();
        }
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop_idle(&self) -> Option<Link> {
        let mut idle = self.idle();
        let old = idle.iter().take_while(|link| link.opened.used.elapsed() > IDLE).count();
        for link in idle.drain(..old) {
            link.close(None);
        }
        while let Some(link) = idle.pop() {
            if self.is_good(&link) {
                return Some(link);
            }
            link.close(None);
        }
        None
    }

    fn is_good(&self, link: &Link) -> bool {
        let is_closed = link.is_closed() || self.is_closed();
        !is_closed && link.opened.generation == self.generation()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Opens a connection that is none of the pool's.
    pub(super) async fn open(&self, deadline: Instant, ears: &Ears) -> Result<Link, Error> {
        let attempt = self.open_within(deadline, ears, None);
        let waited = || Err(self.unreachable("others are trying already"));
        until(deadline, attempt).await.unwrap_or_else(waited)
    }

    /// Whether the connection was of use so lately that it need not be asked.
    fn is_trusted(&self, link: &Link) -> bool {
        let used = link.opened.used;
        let suspected = *self.suspected.lock().unwrap_or_else(PoisonError::into_inner);
        used.elapsed() < UNCHECKED && suspected.is_none_or(|suspected| used > suspected)
    }

    /// A call got no answer: whoever was idle meanwhile is asked before it is used again.
    fn suspect(&self) {
        let mut suspected = self.suspected.lock().unwrap_or_else(PoisonError::into_inner);
        *suspected = Some(Instant::now());
    }

    fn drop_idle(&self) {
        for link in self.idle().drain(..) {
            link.close(None);
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// A connection was found broken: none that is older is used again.
    fn doubt(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.drop_idle();
    }

    /// A connection of the pool was opened.
    pub(super) fn opened(&self) {
        self.live.fetch_add(1, Ordering::SeqCst);
    }

    /// A connection of the pool has ended. If it was the last one, and was not closed by us, the
    /// database is gone until there is one again; the background sees to that.
    pub(super) fn ended(self: Arc<Self>, broken: Option<&str>) {
        let was_last = self.live.fetch_sub(1, Ordering::SeqCst) == 1;
        let Some(reason) = broken.filter(|_| was_last) else { return };
        if self.is_closed() {
            return;
        }
        self.failed(ErrorKind::Unavailable, reason);
        self.revive();
    }

    /// Sees to it in the background that there is a connection again.
    fn revive(self: &Arc<Self>) {
        let is_running = self.reviving.swap(true, Ordering::SeqCst);
        if !is_running {
            self.home.spawn(revive(Arc::downgrade(self)));
        }
    }

    pub(super) fn failed(&self, kind: ErrorKind, reason: &str) {
        self.health.send_modify(|health| health.failed(kind, reason));
    }

    /// The error of a call that got no connection, with what is known of the reason.
    pub(super) fn unreachable(&self, otherwise: &str) -> Error {
        match &*self.health.borrow() {
            Health::Unreachable { kind, why, .. } => {
                Error::new(*kind, why.clone()).retry_after(AGAIN)
            }
            _ => unreachable_at(&self.target.place(), otherwise),
        }
    }

    fn all_in_use(&self) -> Error {
        if let Health::Unreachable { .. } = &*self.health.borrow() {
            return self.unreachable("");
        }
        Error::new(
            ErrorKind::Busy,
            format!(
                "all {} connections to PostgreSQL at {} are in use: try again, or raise `pool` in \
                 the URL",
                self.target.connections(),
                self.target.place()
            ),
        )
        .retry_after(AGAIN)
    }

    fn closed_error(&self) -> Error {
        let place = self.target.place();
        Error::new(ErrorKind::Closed, format!("the store at {place} was closed: open it again"))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.drop_idle();
    }
}

/// Tries until there is a connection again, so that readiness does not wait for a call.
async fn revive(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let pool = Pool { shared };
        let taken = pool.take(Instant::now() + REVIVAL).await;
        if taken.as_ref().is_err_and(Error::is_retryable) {
            continue;
        }
        pool.shared.reviving.store(false, Ordering::SeqCst);
        if let Ok(taken) = taken {
            taken.give_back();
        }
        return;
    }
}

/// A connection in the hands of one call. Dropped before it was given back, as by a call that is
/// given up, it is closed, and the server is asked to cancel.
pub(super) struct Taken {
    link: Option<Link>,
    connection: Connection,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Taken {
    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// The host and the database, as errors name them.
    pub(super) fn place(&self) -> String {
        let host =
            self.link.as_ref().and_then(|link| self.shared.target.hosts.get(link.opened.host));
        match host {
            Some(host) => self.shared.target.place_at(host),
            None => self.shared.target.place(),
        }
    }

    /// The call has ended and left nothing behind.
    pub(super) fn give_back(mut self) {
        let Some(mut link) = self.link.take() else { return };
        link.opened.used = Instant::now();
        // We hold it here and in `connection`; a third has been kept by the call.
        match self.shared.is_good(&link) && link.holders() == 2 {
            true => self.shared.idle().push(link),
            false => link.close(None),
        }
    }

    /// The call got no answer in time. The server is asked to cancel it.
    pub(super) fn give_up(self) {
        self.shared.suspect();
    }

    /// The connection is broken, and the others may well be, too.
    pub(super) fn discard(mut self) {
        if let Some(link) = self.link.take() {
            link.close(None);
            self.shared.doubt();
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            link.close(Some(self.shared.tls.clone()));
        }
    }
}
