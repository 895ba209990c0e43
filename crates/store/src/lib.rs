//! The contract between Taskwright's engine and the places that keep its jobs.
//!
//! [`Store`] is the whole of it: about a dozen methods, each a batch, with the laws they keep in
//! their doc comments. The naive model (a list and linear scans) is the judge of every store.

pub mod contract;
pub mod error;
pub mod events;
pub mod request;
pub mod view;

pub use contract::Store;
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, Events, Heard, Publisher};
pub use request::*;
pub use view::*;
