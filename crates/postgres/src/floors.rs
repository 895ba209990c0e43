//! Where claims begin to look in a lane.
//!
//! A row that was claimed leaves a dead entry in the index, and while somebody holds an old snapshot
//! no vacuum may take it away: then a claim that begins at the head of a lane steps over all jobs
//! ever claimed. So it begins at the *floor*: a rank below which no job of the lane is ready.
//!
//! New jobs have a rank that is their time of insertion, so none can appear below the begin of the
//! oldest transaction that writes, less some slack. Jobs that come back wait in lanes without floor.
//! Should a job come to lie below all the same, the claims without floor find it, which are made
//! now and then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taskwright_core::rank::AGING_DEFAULT;
use taskwright_store::Result;
use tokio_postgres::types::Type;

use crate::link::{Link, micros, no_answer};
use crate::row::get;

/// How often floors are looked for, while there are claims.
pub(crate) const REFRESH: Duration = Duration::from_millis(100);
/// Lanes that nobody claimed from for so long lose their floor.
const FORGOTTEN: Duration = Duration::from_secs(5);
/// What a new job may be late: between taking its time and showing in `pg_stat_activity`.
const SLACK: Duration = Duration::from_millis(200);
/// Claims without floor are made this often, …
const FULL_EVERY: Duration = Duration::from_secs(5);
/// … and take at most this part of the time.
const FULL_PART: u32 = 20;
/// Most lanes with a floor.
const LANES: usize = 256;

/// Before this instant no transaction has begun that may still commit a job. It is asked for before
/// floors are looked for, in a statement of its own: a writer that is not found any more has then
/// committed what the other statement sees.
const WRITERS: &str = "
    select least(
        (extract(epoch from min(x.since)) * 1000000)::bigint,
        (extract(epoch from clock_timestamp()) * 1000000)::bigint) as since
    from (
        select xact_start as since from pg_stat_activity
        where backend_xid is not null and datname = current_database() and xact_start is not null
        union all
        select prepared as since from pg_prepared_xacts where database = current_database()) x";
/// The floor of each lane: where the first job is, and no later than those still to come.
const LOOK: &str = "
    select l.number as lane,
           least($3 - l.priority * $4, coalesce((
               select j.rank from taskwright.job j
               where j.lane = l.number and j.state = 1 and j.rank >= f.floor
               order by j.rank, j.seq limit 1), 9223372036854775807)) as floor
    from unnest($1::int[], $2::bigint[]) f(lane, floor)
    join taskwright.lane l on l.number = f.lane and l.kind = 0";

#[derive(Copy, Clone)]
struct Floor {
    rank: i64,
    claimed: Instant,
}

struct Known {
    floors: HashMap<i32, Floor>,
    full_at: Instant,
    full_took: Duration,
}

/// The floors that this node knows.
pub(crate) struct Floors(Mutex<Known>);

impl Default for Floors {
    fn default() -> Self {
        Floors(Mutex::new(Known {
            floors: HashMap::new(),
            full_at: Instant::now(),
            full_took: Duration::ZERO,
        }))
    }
}

/// Where one claim begins.
pub(crate) struct Begin {
    pub lanes: Vec<i32>,
    pub floors: Vec<i64>,
    /// When the claim began, where it looks everywhere.
    full: Option<Instant>,
}

impl Begin {
    /// For a claim that does not look for jobs.
    pub fn nowhere() -> Self {
        Begin { lanes: Vec::new(), floors: Vec::new(), full: None }
    }
}

impl Floors {
    /// Where a claim begins: now and then, everywhere.
    pub fn begin(&self) -> Begin {
        let mut known = self.known();
        let pause = FULL_EVERY.max(known.full_took * FULL_PART);
        if known.full_at.elapsed() >= pause {
            known.full_at = Instant::now();
            return Begin { lanes: Vec::new(), floors: Vec::new(), full: Some(Instant::now()) };
        }
        let floors = known.floors.iter().filter(|(_, floor)| floor.rank > i64::MIN);
        let (lanes, floors) = floors.map(|(lane, floor)| (*lane, floor.rank)).unzip();
        Begin { lanes, floors, full: None }
    }

    /// A claim has ended that gave jobs of these lanes.
    pub fn ended(&self, begin: &Begin, lanes: &[i32]) {
        let mut known = self.known();
        if let Some(began) = begin.full {
            known.full_took = began.elapsed();
        }
        let now = Instant::now();
        for lane in lanes {
            let has_room = known.floors.len() < LANES || known.floors.contains_key(lane);
            if has_room {
                let floor = known.floors.entry(*lane);
                floor.or_insert(Floor { rank: i64::MIN, claimed: now }).claimed = now;
            }
        }
    }

    /// Looks where the floors are now.
    pub async fn refresh(&self, link: &Link) -> Result<()> {
        let (lanes, floors): (Vec<i32>, Vec<i64>) = {
            let mut known = self.known();
            known.floors.retain(|_, floor| floor.claimed.elapsed() < FORGOTTEN);
            known.floors.iter().map(|(lane, floor)| (*lane, floor.rank)).unzip()
        };
        if lanes.is_empty() {
            return Ok(());
        }
        let rows = link.query(WRITERS, &[]).await?;
        let row = rows.first().ok_or_else(|| no_answer("the oldest writer"))?;
        let bound = get::<i64>(row, "since")?.saturating_sub(micros(SLACK));
        let rows = link
            .query(
                LOOK,
                &[
                    (&lanes, Type::INT4_ARRAY),
                    (&floors, Type::INT8_ARRAY),
                    (&bound, Type::INT8),
                    (&micros(AGING_DEFAULT), Type::INT8),
                ],
            )
            .await?;
        let mut known = self.known();
        for row in &rows {
            let (lane, rank): (i32, i64) = (get(row, "lane")?, get(row, "floor")?);
            if let Some(floor) = known.floors.get_mut(&lane) {
                floor.rank = floor.rank.max(rank);
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
