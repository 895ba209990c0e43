//! From the id of a job to its number.

use hashbrown::HashTable;
use taskwright_core::JobId;

use crate::change::Seq;

/// Growing one big table would stop the writer for tens of milliseconds; many small ones do not.
const SHARDS: usize = 256;

/// The ids of the jobs in memory. It keeps a part of the id's bits and the job's number; whether
/// the whole id is the same is asked of the caller, who has the job anyway.
#[derive(Debug)]
pub struct Ids {
    shards: Vec<HashTable<(u32, Seq)>>,
}

impl Default for Ids {
    fn default() -> Self {
        Ids { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }
}

impl Ids {
    /// The number of the job with this id, where `same` confirms it.
    pub fn find(&self, id: JobId, same: impl Fn(Seq) -> bool) -> Option<Seq> {
        let key = Key::of(id);
        self.shards[key.shard]
            .find(key.hash, |&(bits, seq)| bits == key.bits && same(seq))
            .map(|&(_, seq)| seq)
    }

    /// Notes the number of an id that is not there yet.
    pub fn insert(&mut self, id: JobId, seq: Seq) {
        let key = Key::of(id);
        self.shards[key.shard]
            .insert_unique(key.hash, (key.bits, seq), |&(bits, _)| spread(u64::from(bits)));
    }

    /// Forgets the id of a job.
    pub fn remove(&mut self, id: JobId, seq: Seq) {
        let key = Key::of(id);
        if let Ok(found) = self.shards[key.shard].find_entry(key.hash, |&(_, other)| other == seq) {
            found.remove();
        }
    }
}

struct Key {
    shard: usize,
    bits: u32,
    hash: u64,
}

impl Key {
    fn of(id: JobId) -> Self {
        let mixed = mix(id);
        let bits = (mixed >> 32) as u32;
        Key { shard: (mixed as usize) % SHARDS, bits, hash: spread(u64::from(bits)) }
    }
}

/// 64 well-mixed bits of an id, whoever made it (the finaliser of MurmurHash3; Appleby, 2011).
pub fn mix(id: JobId) -> u64 {
    let bits = id.as_u128();
    let mut z = (bits as u64) ^ ((bits >> 64) as u64).rotate_left(32);
    z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}

fn spread(bits: u64) -> u64 {
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
