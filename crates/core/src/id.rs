//! Names of jobs, workers and attempts.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;

/// A text that is not an id or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}; it looks like {example}")]
pub struct InvalidId {
    text: String,
    what: &'static str,
    example: &'static str,
}

const UUID_EXAMPLE: &str = "019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42";

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with these 128 bits.
            pub const fn from_u128(bits: u128) -> Self {
                $name(bits)
            }

            /// The 128 bits of the id.
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// A UUID version 7 made from an instant and ten random bytes.
            pub fn v7(now: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
                $name(uuid.as_u128())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&uuid::Uuid::from_u128(self.0), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                uuid::Uuid::parse_str(text).map(|uuid| $name(uuid.as_u128())).map_err(|_| InvalidId {
                    text: text.to_owned(),
                    what: $what,
                    example: UUID_EXAMPLE,
                })
            }
        }
    };
}

uuid_newtype! {
    /// The name of a job: a UUID made by the client (version 7 by ours). It says nothing of order.
    JobId, "job id"
}

uuid_newtype! {
    /// The name of one start of a worker process: a new one at every start, never reused.
    WorkerId, "worker id"
}

/// The fence of one attempt. Only a report that carries the current token counts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// How often the store had been opened when the attempt was claimed.
    pub epoch: u32,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// A random number that makes the token hard to hit by accident.
    pub nonce: u64,
}

/// `epoch.attempt.nonce`, for example `3.1.9f86d081884c7d65`.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:016x}", self.epoch, self.attempt, self.nonce)
    }
}

impl FromStr for Token {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next();
        let token = (|| {
            let epoch = part()?.parse().ok()?;
            let attempt = part()?.parse().ok()?;
            let nonce = u64::from_str_radix(part()?, 16).ok()?;
            Some(Token { epoch, attempt, nonce })
        })();
        token.ok_or_else(|| InvalidId {
            text: text.to_owned(),
            what: "token",
            example: "3.1.9f86d081884c7d65",
        })
    }
}

#[cfg(test)]
#[path = "tests/id.rs"]
mod tests;
