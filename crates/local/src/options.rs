//! What can be set.

use std::time::Duration;

use taskwright_core::limits::ID_WINDOW;
use taskwright_store::Retention;

pub use crate::journal::Durability;

/// How a store in files works.
#[derive(Copy, Clone, Debug)]
pub struct FileOptions {
    /// When an answer is given.
    pub durability: Durability,
    /// How long ended jobs are kept.
    pub retention: Retention,
    /// How long the id of a job is remembered after its end, where the job itself was pruned.
    pub id_window: Duration,
}

impl Default for FileOptions {
    fn default() -> Self {
        FileOptions {
            durability: Durability::Fsync,
            retention: Retention::default(),
            id_window: ID_WINDOW,
        }
    }
}

/// How a store in memory works.
#[derive(Copy, Clone, Debug, Default)]
pub struct MemoryOptions {
    /// How long ended jobs are kept.
    pub retention: Retention,
}
