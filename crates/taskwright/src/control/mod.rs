//! The control socket: how other programs of the same user reach a store that this process has open.
//!
//! It lies in the data directory and speaks lines of JSON ([`taskwright_protocol::line`]). Only the
//! user who runs the process is answered.

mod client;
mod lines;
mod server;

use std::path::{Path, PathBuf};

pub(crate) use client::reach;
pub(crate) use server::{ControlGuard, serve};

/// The socket of the store in `directory`.
pub(crate) fn socket_in(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

#[cfg(test)]
#[path = "../tests/control.rs"]
mod tests;
