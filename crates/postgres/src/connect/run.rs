//! Running calls: deadlines, repetition, transactions.

use std::future::Future;
use std::time::{Duration, Instant};

use taskwright_store::{Error, ErrorKind};
use tokio::time::sleep;

use super::backoff::Backoff;
use super::connection::Connection;
use super::fault::{AGAIN, Fault, Remedy};
use super::open::until;
use super::pool::{Pool, Taken};

/// A call gives way this often to others that want the same rows.
const COLLISIONS_MAX: u32 = 10;
/// How long to wait before the same call is tried again, after an outage and after a collision.
const OUTAGE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
const COLLISION: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
/// How long a transaction may take to be rolled back.
const ROLLBACK: Duration = Duration::from_secs(1);
/// What the server waits longer than we do: our own deadline should be the one that ends a call.
const GRACE: Duration = Duration::from_millis(500);

/// Whether what was perhaps done may be done again.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Doing it twice is as doing it once: a call that met an outage is made again.
    Yes,
    /// The caller has to be told.
    No,
}

/// How an attempt ended that did not succeed.
struct Failed {
    error: Error,
    remedy: Remedy,
}

impl Failed {
    fn for_good(error: Error) -> Self {
        Failed { error, remedy: Remedy::Tell }
    }
}

/// How often and how long a call was tried.
struct Attempts {
    deadline: Instant,
    made: u32,
    collisions: u32,
    outage: Backoff,
    collision: Backoff,
}

impl Attempts {
    fn until(deadline: Instant) -> Self {
        let outage = Backoff::new(OUTAGE.0, OUTAGE.1);
        let collision = Backoff::new(COLLISION.0, COLLISION.1);
        Attempts { deadline, made: 0, collisions: 0, outage, collision }
    }

    /// The first of several attempts gets half the time: if the network has swallowed it, there is
    /// as much left for another one.
    fn next(&mut self, repeat: Repeat) -> Instant {
        self.made += 1;
        match (repeat, self.made) {
            (Repeat::Yes, 1) => {
                let now = Instant::now();
                now + self.deadline.saturating_duration_since(now) / 2
            }
            _ => self.deadline,
        }
    }

    /// Waits if there is to be another attempt; else gives the error.
    async fn after(&mut self, failed: Failed) -> Result<(), Error> {
        let pause = match failed.remedy {
            Remedy::Tell => return Err(failed.error),
            Remedy::Reconnect => self.outage.fail(),
            Remedy::Repeat => {
                self.collisions += 1;
                self.collision.fail()
            }
        };
        let is_final = self.collisions > COLLISIONS_MAX;
        if is_final || Instant::now() + pause >= self.deadline {
            return Err(failed.error);
        }
        sleep(pause).await;
        Ok(())
    }
}

impl Pool {
    /// Runs `call` on a connection, whose statements each commit for themselves.
    ///
    /// With `Repeat::Yes`, `call` may run several times, until the deadline: after lost
    /// connections, restarts and failovers, collisions with others, and after half the time without
    /// an answer. `call` leaves no transaction open. If it is given up, at the deadline or because
    /// the future is dropped, the server is asked to cancel it.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it may have been done. `Busy`: it was not; all connections were in use, or
    /// others were in the way. `Full`, `Invalid`, `Unusable` and `Corrupt` as the database says.
    /// What `call` itself returns as `Fault::Store` comes back as it is.
    pub async fn with<T, F, Fut>(
        &self,
        deadline: Instant,
        repeat: Repeat,
        mut call: F,
    ) -> Result<T, Error>
    where
        F: FnMut(Connection) -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let mut attempts = Attempts::until(deadline);
        loop {
            let taken = self.take(deadline).await?;
            let limit = attempts.next(repeat);
            let failed = match attempt(taken, limit, &mut call).await {
                Ok((taken, value)) => {
                    taken.give_back();
                    return Ok(value);
                }
                Err((taken, failed)) => {
                    if let Some(taken) = taken {
                        taken.give_back();
                    }
                    failed
                }
            };
            match repeat {
                Repeat::Yes => attempts.after(failed).await?,
                Repeat::No => return Err(failed.error),
            }
        }
    }

    /// Runs `call` in a transaction (READ COMMITTED), which is committed if it returns `Ok`.
    ///
    /// `call` may run several times, each time in a new transaction, until the deadline: nothing
    /// is committed before. It neither begins nor ends a transaction.
    ///
    /// # Errors
    ///
    /// As [`Pool::with`]; `Unavailable` after a lost connection at the commit means that it may have
    /// been done, else nothing was.
    pub async fn transact<T, F, Fut>(&self, deadline: Instant, mut call: F) -> Result<T, Error>
    where
        F: FnMut(Connection) -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let mut attempts = Attempts::until(deadline);
        loop {
            let taken = self.take(deadline).await?;
            let limit = attempts.next(Repeat::Yes);
            let begin = begin(limit);
            let mut in_transaction = |connection: Connection| {
                let begin = &begin;
                let work = call(connection.clone());
                async move {
                    connection.batch(begin).await?;
                    work.await
                }
            };
            let failed = match attempt(taken, limit, &mut in_transaction).await {
                Ok((taken, value)) => match commit(taken, deadline).await {
                    Ok(()) => return Ok(value),
                    Err(failed) => failed,
                },
                Err((taken, failed)) => {
                    if let Some(taken) = taken {
                        roll_back(taken).await;
                    }
                    failed
                }
            };
            attempts.after(failed).await?;
        }
    }
}

/// Runs `call` once. The connection comes back if it is still good.
async fn attempt<T, F, Fut>(
    taken: Taken,
    limit: Instant,
    call: &mut F,
) -> Result<(Taken, T), (Option<Taken>, Failed)>
where
    F: FnMut(Connection) -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    let place = taken.place();
    let begun = Instant::now();
    match until(limit, call(taken.connection())).await {
        Some(Ok(value)) => Ok((taken, value)),
        Some(Err(fault)) => {
            let remedy = fault.remedy();
            let failed = Failed { error: fault.into_error(&place), remedy };
            if remedy == Remedy::Reconnect {
                taken.discard();
                return Err((None, failed));
            }
            Err((Some(taken), failed))
        }
        None => {
            taken.give_up();
            let failed = Failed { error: silent(&place, begun), remedy: Remedy::Reconnect };
            Err((None, failed))
        }
    }
}

/// What a transaction begins with. The server's own limits are for the case that we freeze or
/// vanish in the middle, with rows locked.
fn begin(limit: Instant) -> String {
    let left = limit.saturating_duration_since(Instant::now()) + GRACE;
    let left = left.as_millis();
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {left}; SET LOCAL \
         idle_in_transaction_session_timeout = {left}"
    )
}

/// Commits. The empty SELECT fails if a statement before has failed and the call did not notice:
/// COMMIT alone would then roll back and report success.
async fn commit(taken: Taken, deadline: Instant) -> Result<(), Failed> {
    let place = taken.place();
    let connection = taken.connection();
    match until(deadline, connection.batch("SELECT; COMMIT")).await {
        Some(Ok(())) => {
            drop(connection);
            taken.give_back();
            Ok(())
        }
        Some(Err(fault)) => {
            drop(connection);
            let remedy = fault.remedy();
            let error = fault.into_error(&place);
            if remedy == Remedy::Reconnect {
                taken.discard();
                return Err(Failed::for_good(uncertain(&place)));
            }
            roll_back(taken).await;
            Err(Failed { error, remedy })
        }
        None => {
            taken.give_up();
            Err(Failed::for_good(uncertain(&place)))
        }
    }
}

/// Ends the transaction; if that does not go, the connection ends, and the transaction with it.
async fn roll_back(taken: Taken) {
    let connection = taken.connection();
    let outcome = until(Instant::now() + ROLLBACK, connection.batch("ROLLBACK")).await;
    drop(connection);
    if let Some(Ok(())) = outcome {
        taken.give_back();
    }
}

fn silent(place: &str, begun: Instant) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "PostgreSQL at {place} did not answer within {} ms, and the call may have been done: \
             look at the server's load and the network, and try again",
            begun.elapsed().as_millis()
        ),
    )
    .retry_after(AGAIN)
}

fn uncertain(place: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "the connection to PostgreSQL at {place} was lost at the commit, which may have been \
             done: try again"
        ),
    )
    .retry_after(AGAIN)
}
