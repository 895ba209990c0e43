//! The journal alone, on a disk that crashes at any operation, inside recovery too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::Timestamp;
use taskwright_local::change::{Change, Position};
use taskwright_local::journal::{
    Durability, Expect, Group, Journal, JournalOptions, Preparing, StoreId,
};
use taskwright_local::sim::{Faults, Random, Samples, SimDisk};
use taskwright_store::ErrorKind;

const STORE: StoreId = StoreId(*b"a store to crash");
const SEEDS: u64 = 4_000;
const DURABILITIES: [Durability; 4] = [
    Durability::Fsync,
    Durability::Fsync,
    Durability::Interval(Duration::from_millis(200)),
    Durability::Os,
];

/// What the journal must still know.
#[derive(Default)]
struct History {
    /// What was last written at each position, and the time.
    written: BTreeMap<Position, (Timestamp, Vec<Change>)>,
    /// The newest group that somebody was told is durable.
    acknowledged: Position,
    /// The highest epoch that somebody saw.
    epoch: u32,
    /// The time of the newest group.
    now: Timestamp,
    /// Up to where the table applied groups, and up to where that is durable.
    applied: Position,
    table: Position,
}

struct World {
    seed: u64,
    disk: SimDisk,
    samples: Samples,
    options: JournalOptions,
    lies: bool,
    torn_bytes: bool,
    can_be_full: bool,
    history: History,
}

type Broken = String;

impl World {
    fn new(seed: u64, lies: bool) -> Self {
        let mut samples = Samples::new(seed);
        let options = JournalOptions {
            segment_bytes: 1024 + 64 * samples.random.below(64) as u64,
            durability: *samples.random.pick(&DURABILITIES),
            preparing: Preparing::ByHand,
        };
        let torn_bytes = samples.random.one_in(2);
        let disk = SimDisk::new(seed);
        World {
            seed,
            disk,
            samples,
            options,
            lies,
            torn_bytes,
            can_be_full: false,
            history: History::default(),
        }
    }

    fn random(&mut self) -> &mut Random {
        &mut self.samples.random
    }

    /// Opens, works until something fails, and crashes or ends; checks what the next opening finds.
    fn live(&mut self) -> Result<(), Broken> {
        let (stops, fails) = (!self.random().one_in(4), self.random().one_in(6));
        let soon = |random: &mut Random| Some(1 + random.uneven() % 120);
        let faults = Faults {
            stop_at: if stops { soon(self.random()) } else { None },
            fail_at: if fails { soon(self.random()) } else { None },
            capacity: self.random().one_in(5).then_some(self.options.segment_bytes * 4),
            syncs_lie: self.lies,
            torn_bytes: self.torn_bytes,
        };
        self.can_be_full = faults.capacity.is_some();
        let faulty = stops || fails || faults.capacity.is_some();
        self.disk.set_faults(faults);
        match self.open() {
            Ok(journal) => self.work(journal)?,
            Err(error) if faulty => drop(error),
            Err(error) => return Err(error),
        }
        self.disk = if self.random().one_in(4) { self.disk.kill() } else { self.disk.crash() };
        // The table lost what was not yet durable of it.
        let (table, applied) = (self.history.table, self.history.applied);
        self.history.applied = table + self.random().below((applied - table) as usize + 1) as u64;
        Ok(())
    }

    fn open(&mut self) -> Result<Journal, Broken> {
        let history = &mut self.history;
        let expect =
            Expect { store: STORE, table_position: history.applied, replay_after: history.applied };
        let mut next = history.applied;
        let mut replayed = Vec::new();
        let opened = Journal::open(
            Arc::new(self.disk.clone()),
            self.options,
            expect,
            &mut |position, now, changes| {
                next += 1;
                assert_eq!(position, next, "a position was left out");
                replayed.push((position, (now, changes)));
                Ok(())
            },
        );
        let (journal, recovered) = opened.map_err(|error| error.to_string())?;
        for (position, group) in replayed {
            // An opening that crashed may have written its empty group without our knowledge.
            let opening = group.1.is_empty() && position > history.acknowledged;
            if !opening && history.written.get(&position) != Some(&group) {
                return Err(format!("group {position} is not what was last written there"));
            }
            history.written.insert(position, group);
        }
        if recovered.position < history.acknowledged {
            let (found, known) = (recovered.position, history.acknowledged);
            return Err(format!("group {known} was acknowledged, and the journal ends at {found}"));
        }
        let acknowledged = history.written.get(&history.acknowledged);
        if acknowledged.is_some_and(|(now, _)| recovered.high_water < *now) {
            return Err("time went back".to_owned());
        }
        if journal.epoch() <= history.epoch {
            return Err(format!("epoch {} was given twice", journal.epoch()));
        }
        history.written.retain(|position, _| *position <= recovered.position);
        history.written.insert(journal.position(), (recovered.high_water, Vec::new()));
        history.now = recovered.high_water;
        history.acknowledged = journal.position();
        history.epoch = journal.epoch();
        Ok(journal)
    }

    fn work(&mut self, mut journal: Journal) -> Result<(), Broken> {
        let mut group = Group::new(journal.epoch(), Timestamp::ZERO);
        for _ in 0..self.random().below(60) {
            let later = Duration::from_micros(self.random().below(1_000) as u64);
            let now = self.history.now.plus(later);
            group.restart(now);
            let mut changes = Vec::new();
            for _ in 0..self.random().below(6) {
                let change = self.samples.change();
                if group.size() < 600 {
                    group.push(&change);
                    changes.push(change);
                }
            }
            if group.size() > journal.group_bytes_max() {
                continue;
            }
            let position = journal.position() + 1;
            self.history.written.insert(position, (now, changes));
            match journal.commit(&mut group) {
                Ok(committed) => {
                    assert_eq!(committed, position);
                    self.history.now = now;
                }
                Err(error) if error.is_retryable() => {
                    if error.kind == ErrorKind::Full && !self.can_be_full {
                        return Err(format!("refused with room for it: {error}"));
                    }
                    self.history.written.remove(&position);
                }
                Err(_) => {
                    let again = journal.commit(&mut group).expect_err("it goes on after a failure");
                    assert_eq!(again.kind, ErrorKind::Stopped);
                    break;
                }
            }
            if self.random().one_in(5) && journal.sync_pending().is_err() {
                break;
            }
            self.history.acknowledged = journal.synced();
            self.apply_to_table(&mut journal);
        }
        Ok(())
    }

    fn apply_to_table(&mut self, journal: &mut Journal) {
        let (applied, acknowledged) = (self.history.applied, self.history.acknowledged);
        if self.random().one_in(3) {
            let more = self.random().below((acknowledged - applied) as usize + 1) as u64;
            self.history.applied = applied + more;
        }
        if self.random().one_in(6) {
            self.history.table = self.history.applied;
            journal.recycle(self.history.table);
        }
        if self.random().one_in(3) {
            // Refused on a full disk; the next commit finds out.
            let _ = journal.tend();
        }
    }

    /// Lives until something is broken, or long enough.
    fn run(&mut self) -> Result<(), Broken> {
        for _ in 0..self.random().below(12) + 2 {
            self.live()?;
        }
        self.disk.set_faults(Faults::default());
        self.open().map(drop)
    }
}

#[test]
fn acknowledged_groups_survive_every_crash() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, false);
        if let Err(broken) = world.run() {
            panic!("seed {}: {broken}", world.seed);
        }
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let found = (0..200).find(|seed| World::new(*seed, true).run().is_err());
    assert!(found.is_some(), "200 seeds with a lying disk look well");
}
