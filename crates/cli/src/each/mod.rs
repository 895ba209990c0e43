//! `taskwright each`: one durable job per input, worked off by subprocesses of this process.
//!
//! ```text
//! source ──inputs──→ feed ──jobs──→ store ──→ worker (handler: a command per job)
//!                      │              │
//!                    roster ←─────── print: outputs in order, or as they come
//! ```
//!
//! A run is a store of its own, in a directory that is gone once every input is done. Its jobs hold
//! inputs only; the command stays in this process.

mod console;
mod cost;
mod feed;
mod handler;
mod input;
mod place;
mod print;
mod progress;
mod roster;
mod run;
mod source;
mod store;
mod summary;

pub use console::Console;
pub use place::{Place, name_of, runs_directory};
pub use progress::{Progress, Seen};
pub use run::{Settings, run};
pub use source::Source;
pub use store::forget;
