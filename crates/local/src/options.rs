//! What can be set.

use taskwright_store::Retention;

pub use crate::journal::Durability;

/// How a store in files works.
#[derive(Copy, Clone, Debug)]
pub struct FileOptions {
    /// When an answer is given.
    pub durability: Durability,
    /// How long ended jobs are kept.
    pub retention: Retention,
}

impl Default for FileOptions {
    fn default() -> Self {
        FileOptions { durability: Durability::Fsync, retention: Retention::default() }
    }
}

/// How a store in memory works.
#[derive(Copy, Clone, Debug, Default)]
pub struct MemoryOptions {
    /// How long ended jobs are kept.
    pub retention: Retention,
}
