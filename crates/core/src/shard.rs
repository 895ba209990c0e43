//! One request as several jobs, each for its part of the whole.

use std::fmt;

use uuid::Uuid;

use crate::id::JobId;

/// Which part a job is of one request that was made several jobs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Its number, from 0.
    pub index: u32,
    /// How many there are, at least 1.
    pub total: u32,
}

/// What all ids of shards begin from, so that they are nobody else's.
const SPACE: Uuid = Uuid::from_u128(0x2e8c_91d4_7a3b_4f0e_8d15_7368_6172_6473);

/// The id of shard `index` of a request that has this id: the same one however often it is made, so
/// that a repeated request makes nothing new. UUID version 5 of id and index.
pub fn shard_id(of: JobId, index: u32) -> JobId {
    let text = format!("{of} {index}");
    JobId::from_u128(Uuid::new_v5(&SPACE, text.as_bytes()).as_u128())
}

/// As people count: `3 of 8` is the one with index 2.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", u64::from(self.index) + 1, self.total)
    }
}

#[cfg(test)]
#[path = "tests/shard.rs"]
mod tests;
