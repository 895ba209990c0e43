//! Tells a repeated enqueue from an id that was used twice.

use taskwright_core::{Json, Name, Shard};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A digest of task, queue and args, the same on every machine and in every version.
///
/// XXH3-64 (Yann Collet, xxHash 0.8) of the args, seeded with that of the queue, seeded with that
/// of the task: so no text can slip from one field into another. It tells accidents apart, not
/// attackers: whoever may enqueue may also choose ids.
pub fn fingerprint(task: &Name, queue: &Name, args: &Json) -> u64 {
    let task = xxh3_64(task.as_str().as_bytes());
    let queue = xxh3_64_with_seed(queue.as_str().as_bytes(), task);
    xxh3_64_with_seed(args.as_str().as_bytes(), queue)
}

/// The digest of a shard, from that of what all shards have in common.
pub(crate) fn of_shard(whole: u64, shard: Shard) -> u64 {
    let Shard { index, total } = shard;
    xxh3_64_with_seed(format!("{index} {total}").as_bytes(), whole)
}

#[cfg(test)]
#[path = "tests/fingerprint.rs"]
mod tests;
