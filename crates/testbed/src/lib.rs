//! What tests, chaos tests and benchmarks of the PostgreSQL store stand on.
//!
//! ```no_run
//! use taskwright_testbed::{available, fresh_schema};
//!
//! # fn test() {
//! let Some(schema) = available("name_of_the_test", fresh_schema()) else { return };
//! println!("{} in {}", schema.name(), schema.url());
//! # }
//! ```
//!
//! - [`fresh_schema`]: a schema of one's own in a database that stays. The cheapest.
//! - [`shared_database`]: a database of one's own on a server that others use as well.
//! - [`Postgres`]: a server of one's own, to stop, restart and configure.
//! - [`PgBouncer`]: a pooler before any server.
//! - [`Faketime`]: a wrong clock for a process.
//! - [`Proxy`]: a network before any server, to cut, freeze, slow and lead elsewhere.
//!
//! Everything is called without `await`, from plain tests and from async ones, and waits for at most
//! some seconds. Servers end, and their directories go, when their handle is dropped and also when
//! the test is killed. Where programs are missing the answer is [`Error::Unavailable`], which
//! [`available`] makes a skip that is counted.

mod background;
mod certificates;
mod database;
mod error;
mod faketime;
mod guard;
mod location;
mod names;
mod pgbouncer;
mod ports;
mod postgres;
mod programs;
mod proxy;
mod proxy_actor;
mod session;
mod shared;
mod template;

pub use self::database::{Database, Schema};
pub use self::error::{Error, available};
pub use self::faketime::Faketime;
pub use self::pgbouncer::PgBouncer;
pub use self::postgres::{Options, Postgres, Stop};
pub use self::proxy::Proxy;
pub use self::shared::{fresh_schema, shared_database};
