//! Limits where many nodes and workers want to start jobs: none is exceeded at any look, whoever is
//! killed, and in the end nobody stands in a line that has room. And where one waits for another.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod support;

#[path = "limits/bounds.rs"]
mod bounds;
#[path = "limits/contended.rs"]
mod contended;
#[path = "limits/forgotten.rs"]
mod forgotten;
#[path = "limits/waiting.rs"]
mod waiting;
#[path = "limits/words.rs"]
mod words;
