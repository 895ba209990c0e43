//! New ids, made cheaply in batches.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use taskwright_core::{JobId, Timestamp, WorkerId};

use crate::error::{Error, ErrorCode, Result};

/// Random bytes fetched from the system at once: enough for a batch of 1,000 ids.
const POOL_BYTES: usize = 16 * 1024;
const ID_BYTES: usize = 10;

/// Makes ids (UUID version 7) from the wall clock and the system's randomness, of which it keeps a
/// supply, so that a batch costs about one system call.
#[derive(Debug)]
pub struct IdSource {
    pool: Mutex<Pool>,
}

#[derive(Debug)]
struct Pool {
    bytes: Box<[u8]>,
    used: usize,
}

impl Default for IdSource {
    fn default() -> Self {
        let bytes = vec![0; POOL_BYTES].into_boxed_slice();
        IdSource { pool: Mutex::new(Pool { bytes, used: POOL_BYTES }) }
    }
}

impl Pool {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        if self.used + N > self.bytes.len() {
            getrandom::fill(&mut self.bytes).map_err(|error| {
                let message = format!(
                    "cannot make an id: the system gave no random bytes ({error}); see whether /dev/urandom is there"
                );
                Error::new(ErrorCode::Unavailable, message)
            })?;
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.used..self.used + N]);
        // What was used once is wiped, so that no later fault can hand it out again.
        self.bytes[self.used..self.used + N].fill(0);
        self.used += N;
        Ok(taken)
    }
}

impl IdSource {
    fn with_pool<T>(&self, take: impl FnOnce(&mut Pool) -> Result<T>) -> Result<T> {
        take(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One job id. Fails where the system gives no randomness.
    pub fn job_id(&self) -> Result<JobId> {
        let random = self.with_pool(Pool::take::<ID_BYTES>)?;
        Ok(JobId::v7(wall_clock(), random))
    }

    /// Gives an id to every slot that has none. Fails where the system gives no randomness.
    pub fn fill<'a>(&self, slots: impl Iterator<Item = &'a mut Option<JobId>>) -> Result<()> {
        let now = wall_clock();
        self.with_pool(|pool| {
            for slot in slots.filter(|slot| slot.is_none()) {
                *slot = Some(JobId::v7(now, pool.take::<ID_BYTES>()?));
            }
            Ok(())
        })
    }

    /// One worker id. Fails where the system gives no randomness.
    pub fn worker_id(&self) -> Result<WorkerId> {
        let random = self.with_pool(Pool::take::<ID_BYTES>)?;
        Ok(WorkerId::v7(wall_clock(), random))
    }

    /// A number that chance chose, for jitter. Fails where the system gives no randomness.
    pub fn number(&self) -> Result<u64> {
        self.with_pool(Pool::take::<8>).map(u64::from_le_bytes)
    }
}

/// The time of this machine. It only goes into ids: what is due when, the store's clock decides.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO.plus(since)
}

#[cfg(test)]
#[path = "tests/ids.rs"]
mod tests;
