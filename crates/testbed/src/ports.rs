//! Free TCP ports.

use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// Below the ports that systems hand out by themselves: a server that is stopped for a while must
/// find its port free again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

const TRIES_MAX: usize = 100;

/// A port on which nobody listens now.
pub fn free() -> Result<u16, Error> {
    for _ in 0..TRIES_MAX {
        let mut chance = [0; 2];
        getrandom::fill(&mut chance).map_err(Error::failed("drawing a port by chance"))?;
        let port = FIRST + u16::from_le_bytes(chance) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::Failed(format!("{TRIES_MAX} ports drawn by chance were all in use")))
}
