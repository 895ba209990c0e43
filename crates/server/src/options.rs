//! What can be set.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use taskwright_protocol::REQUEST_BYTES_MAX;

use crate::credential::Credential;

/// How a server listens and whom it lets in.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whose token is let in.
    pub credential: Credential,
    /// Whether to listen beyond this machine although nothing is encrypted: tokens, args and results
    /// can then be read on the way.
    pub allow_plaintext: bool,
    /// Names, beside `localhost` and the address, by which clients may call this server.
    pub host_names: Vec<String>,
    /// The limits.
    pub limits: Limits,
}

impl ServerOptions {
    /// The port where nothing else is said.
    pub const PORT_DEFAULT: u16 = 7600;

    /// A server for this machine only, on the default port.
    pub fn new(credential: Credential) -> Self {
        ServerOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, Self::PORT_DEFAULT)),
            credential,
            allow_plaintext: false,
            host_names: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// What a connection may take. The defaults suit a server for one machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at once; further ones wait in the system's backlog.
    pub connections_max: usize,
    /// Most bytes of the head of a request, about.
    pub header_bytes_max: usize,
    /// Most bytes of the body of a request.
    pub body_bytes_max: usize,
    /// The longest until the head of a request is complete; also how long a connection may be idle.
    pub header_timeout: Duration,
    /// The longest until the body of a request is complete.
    pub body_timeout: Duration,
    /// The longest that a client may read nothing of what it is being told.
    pub write_timeout: Duration,
    /// The longest that the store may take to answer, beyond the wait that the request asks for.
    pub answer_timeout: Duration,
    /// How long a stop waits for requests that are being answered.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 1_024,
            header_bytes_max: 64 * 1_024,
            body_bytes_max: REQUEST_BYTES_MAX,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
