//! Chance that can be repeated.

use taskwright_core::{JobId, WorkerId};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A seed of the environment (`TASKWRIGHT_SEED`) or of the clock; it is printed.
    pub fn seeded() -> Random {
        let given = std::env::var("TASKWRIGHT_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
        let seed = given.unwrap_or_else(clock);
        println!("TASKWRIGHT_SEED={seed}");
        Random(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    /// Another source, which goes its own way.
    pub fn fork(&mut self) -> Random {
        Random(self.bits())
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }

    pub fn job_id(&mut self) -> JobId {
        JobId::from_u128(self.wide())
    }

    pub fn worker_id(&mut self) -> WorkerId {
        WorkerId::from_u128(self.wide())
    }
}

/// How many rounds to play: `TASKWRIGHT_ROUNDS`, or 10.
pub fn rounds() -> u64 {
    std::env::var("TASKWRIGHT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10)
}
