//! Where connections live: threads of our own.
//!
//! Whoever calls may do so from any runtime: from one that ends before the connection does, from one
//! without a network, or from one whose threads are all kept busy by jobs while another thread must
//! renew the lease.

use std::io;
use std::sync::LazyLock;

use taskwright_store::{Error, ErrorKind};
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for all connections of this process: they frame and copy, the callers do the rest.
const THREADS: usize = 2;

/// Of the whole process, as nothing in it belongs to one pool.
static HOME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("taskwright-postgres")
        .enable_all()
        .build()
});

/// The runtime of all connections.
///
/// # Errors
///
/// `Unavailable`: no thread can be started.
pub(super) fn home() -> Result<Handle, Error> {
    HOME.as_ref().map(|home| home.handle().clone()).map_err(|error| {
        let message = format!(
            "cannot start the threads of the connections to PostgreSQL ({error}); end other processes"
        );
        Error::new(ErrorKind::Unavailable, message)
    })
}
