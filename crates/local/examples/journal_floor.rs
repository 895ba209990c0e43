//! The floor of the file store: groups of a journal, written and synced with nothing around them.
//!
//! `cargo run --release -p taskwright-local --example journal_floor [SECONDS [DIRECTORY]]`
//!
//! A life of a job is 200 bytes of args and 3 × 32 bytes (insert, claim, report). Each line is one
//! size of group: what one write and one sync carry. Beside it, what the journal itself does with
//! the same changes, encoding and checksums included.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskwright_core::{JobId, Json, Life, Place, State, Timestamp, Token, Verdict};
use taskwright_local::change::{Change, Fixed, Run, Update, Vital};
use taskwright_local::disk::{Disk, FileDisk};
use taskwright_local::journal::{Expect, Group, Journal, JournalOptions, StoreId};

const LIFE_BYTES: usize = 200 + 3 * 32;
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(2.0), |text| text.parse())?;
    let given = arguments.next();
    let length = Duration::try_from_secs_f64(seconds)?;
    println!(
        "{:>6}  {:>10} {:>10} {:>9} {:>9}   {:>10} {:>10}",
        "lives", "floor", "lives/s", "p50", "p99", "journal", "lives/s"
    );
    for lives in [1, 16, 64, 100, 400, 1000] {
        let directory = tempfile::tempdir_in(given.as_deref().unwrap_or("."))?;
        let (groups, p50, p99) = floor(directory.path(), lives, length)?;
        let directory = tempfile::tempdir_in(given.as_deref().unwrap_or("."))?;
        let journal = journal(directory.path(), lives, length)?;
        let lives_a_second = |groups: f64| groups * lives as f64;
        println!(
            "{lives:>6}  {groups:>8.0}/s {:>10.0} {:>6} us {:>6} us   {journal:>8.0}/s {:>10.0}",
            lives_a_second(groups),
            p50.as_micros(),
            p99.as_micros(),
            lives_a_second(journal),
        );
    }
    encoding();
    Ok(())
}

/// Groups a second, and how long one takes, of bare writes and syncs into prepared space.
fn floor(directory: &Path, lives: usize, length: Duration) -> Outcome<(f64, Duration, Duration)> {
    let disk = FileDisk::new(directory)?;
    let mut file = disk.create("floor", SEGMENT_BYTES)?;
    let bytes = vec![b'x'; (lives * LIFE_BYTES).next_multiple_of(64)];
    let (mut offset, mut taken) = (0, Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < length {
        if offset + bytes.len() as u64 > SEGMENT_BYTES {
            offset = 0;
        }
        let start = Instant::now();
        file.write_at(offset, &bytes)?;
        file.sync()?;
        taken.push(start.elapsed());
        offset += bytes.len() as u64;
    }
    let groups = taken.len() as f64 / begin.elapsed().as_secs_f64();
    taken.sort_unstable();
    Ok((groups, taken[taken.len() / 2], taken[taken.len() * 99 / 100]))
}

/// Groups a second of the journal with the changes of so many lives.
fn journal(directory: &Path, lives: usize, length: Duration) -> Outcome<f64> {
    let disk = Arc::new(FileDisk::new(directory)?);
    let expect = Expect { store: StoreId([7; 16]), table_position: 0, replay_after: 0 };
    let (mut journal, _) =
        Journal::open(disk, JournalOptions::default(), expect, &mut |_, _, _| Ok(()))?;
    let changes = life(Timestamp::from_millis(1_795_000_000_000));
    let mut group = Group::new(journal.epoch(), Timestamp::ZERO);
    let (mut groups, begin) = (0_u32, Instant::now());
    while begin.elapsed() < length {
        group.restart(Timestamp::from_millis(1_795_000_000_000));
        for _ in 0..lives {
            changes.iter().for_each(|change| group.push(change));
        }
        let position = journal.commit(&mut group)?;
        groups += 1;
        // As if the table were half a second of full speed behind.
        if groups.is_multiple_of(100) {
            journal.recycle(position.saturating_sub(100));
        }
    }
    Ok(f64::from(groups) / begin.elapsed().as_secs_f64())
}

/// What writing a change into a group takes without the disk.
fn encoding() {
    const ROUNDS: u32 = 2_000_000;
    let now = Timestamp::from_millis(1_795_000_000_000);
    let mut group = Group::new(1, now);
    for (name, change) in ["insert", "claim", "completion"].into_iter().zip(life(now)) {
        let begin = Instant::now();
        for round in 0..ROUNDS {
            if round.is_multiple_of(1_000) {
                group.restart(now);
            }
            group.push(std::hint::black_box(&change));
        }
        let each = begin.elapsed().as_secs_f64() / f64::from(ROUNDS) * 1e9;
        // The loop ended with 1,000 of them in the group.
        let bytes = group.size() / 1_000;
        println!("{name}: {each:.0} ns, {bytes} bytes");
    }
}

/// Insert, claim and completion of a job.
fn life(now: Timestamp) -> [Change; 3] {
    let token = Token { epoch: 1, attempt: 1, nonce: 0x9f86_d081_884c_7d65 };
    let due_at = now.minus(Duration::from_secs(10));
    let waiting = Life::new(20, 0, Place::Ready(now.as_micros()));
    let running = Life { state: State::Running(token), attempt: 1, ..waiting };
    let last = Some((token, Verdict::Completed));
    let completed = Life { state: State::Completed, last, ..running };
    let run = Some(Run { worker: 3, claim: 500, started_at: now });
    let fixed = Fixed {
        seq: 1_000_000,
        id: JobId::from_u128(u128::MAX / 3),
        lane: 7,
        priority: 0,
        timeout_ms: None,
        created_at: now,
        fingerprint: u64::MAX / 5,
        max_attempts: 20,
        args: Json::from_trusted("a".repeat(200)),
        extras: None,
    };
    let update = |life, finished_at| {
        let vital = Vital { life, due_at, run, finished_at };
        Change::Update(Update { seq: 1_000_000, vital, more: None })
    };
    let inserted = Vital { life: waiting, due_at: now, run: None, finished_at: None };
    [Change::Insert(Arc::new(fixed), inserted), update(running, None), update(completed, Some(now))]
}
