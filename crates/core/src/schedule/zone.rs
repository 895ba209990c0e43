//! Time zones, from the database that is compiled in.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use crate::time::Timestamp;

/// A time zone of the IANA database. The database is part of the program, so that the same schedule
/// has the same instants on every machine.
#[derive(Clone)]
pub struct Zone {
    name: Arc<str>,
    rules: TimeZone,
}

/// A text that is not the name of a time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time zone of the IANA database; write one like Europe/Berlin, America/New_York \
     or UTC"
)]
pub struct UnknownZone(String);

impl Zone {
    /// The zone of a name such as `Europe/Berlin`; upper and lower case do not matter.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
        let unknown = || UnknownZone(name.chars().take(80).collect());
        let rules = DATABASE.get(name).map_err(|_| unknown())?;
        if rules.is_unknown() {
            return Err(unknown());
        }
        let canonical = rules.iana_name().unwrap_or(name).into();
        Ok(Zone { name: canonical, rules })
    }

    /// Coordinated universal time, whose clocks are never changed.
    pub fn utc() -> Self {
        Zone { name: "UTC".into(), rules: TimeZone::UTC }
    }

    /// The name, as the database writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a wall clock of the zone shows at an instant, for people:
    /// `2026-03-29T03:00:00+02:00`.
    pub fn show(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_microsecond(at.as_micros()) {
            Ok(instant) => {
                let offset = self.rules.to_offset(instant);
                instant.display_with_offset(offset).to_string()
            }
            Err(_) => at.to_string(),
        }
    }

    /// How far wall clocks are ahead of UTC at `second` (since the Unix epoch), in seconds.
    pub(super) fn offset(&self, second: i64) -> i64 {
        jiff::Timestamp::from_second(second)
            .map_or(0, |instant| i64::from(self.rules.to_offset(instant).seconds()))
    }

    /// The next second, later than `second`, at which wall clocks may be changed.
    pub(super) fn change_after(&self, second: i64) -> Option<i64> {
        let instant = jiff::Timestamp::from_second(second).ok()?;
        let change = self.rules.following(instant).next()?;
        Some(change.timestamp().as_second())
    }

    /// The second at which wall clocks show `wall` first; where they never show it, because they
    /// are put forward, the second at which that happens.
    pub(super) fn first_at(&self, wall: i64) -> Option<i64> {
        match self.offsets_at(wall)? {
            AmbiguousOffset::Unambiguous { offset } => Some(wall - seconds(offset)),
            AmbiguousOffset::Fold { before, .. } => Some(wall - seconds(before)),
            AmbiguousOffset::Gap { after, .. } => self.change_after(wall - seconds(after)),
        }
    }

    /// Where wall clocks show `wall` twice, the first wall time after it that they do not.
    pub(super) fn shown_again_until(&self, wall: i64) -> Option<i64> {
        let AmbiguousOffset::Fold { before, .. } = self.offsets_at(wall)? else { return None };
        let change = self.change_after(wall - seconds(before))?;
        Some(change + seconds(before))
    }

    fn offsets_at(&self, wall: i64) -> Option<AmbiguousOffset> {
        let shown = Offset::UTC.to_datetime(jiff::Timestamp::from_second(wall).ok()?);
        Some(self.rules.to_ambiguous_timestamp(shown).offset())
    }
}

fn seconds(offset: Offset) -> i64 {
    i64::from(offset.seconds())
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.name, f)
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        Zone::named(name)
    }
}

#[cfg(test)]
#[path = "tests/zone.rs"]
mod tests;
