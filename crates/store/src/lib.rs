//! The contract between Taskwright's engine and the places that keep its jobs.
//!
//! [`Store`] is the whole of it: about a dozen methods, each a batch, with the laws they keep in
//! their doc comments. The naive model (a list and linear scans) is the judge of every store.

pub mod clock;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod contract;
pub mod document;
pub mod error;
pub mod events;
#[cfg(feature = "testing")]
pub mod fault;
pub mod model;
pub mod moving;
pub mod request;
pub mod retention;
pub mod view;

pub use clock::{Clock, ManualClock, SystemClock};
pub use contract::Store;
pub use document::{Asked, Document, DocumentId, DocumentKind, Tick, Ticked, Wanted};
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, Events, Heard, Nudge, Nudges, Publisher};
#[cfg(feature = "testing")]
pub use fault::{Fault, FaultRates, FaultStore};
pub use model::NaiveStore;
pub use moving::{Exported, Imported, QueueSettings, Record, Settings};
pub use request::*;
pub use retention::Retention;
pub use view::*;
