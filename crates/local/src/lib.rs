//! Taskwright's local stores: `memory:` and `file:`.
//!
//! ```text
//! callers → writer ─→ ledger   the live state in memory, pure: checks, decides, answers
//!                  ├→ journal  the only commit point: one group, one write, one sync
//!                  └→ table    SQLite behind it, on its own thread: search, history, restart
//! ```

pub mod change;
pub mod codec;
pub mod core;
pub mod directory;
pub mod disk;
mod fsck;
pub mod journal;
pub mod ledger;
mod open;
mod options;
pub mod request;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
mod store;
pub mod table;
mod writer;

pub use fsck::{Soundness, fsck};
pub use options::{Durability, FileOptions, MemoryOptions};
pub use store::LocalStore;
