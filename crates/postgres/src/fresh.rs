//! New jobs as columns, as `insert_jobs` takes them.

use std::borrow::Cow;

use taskwright_core::limits::ID_WINDOW;
use taskwright_core::rank::AGING_DEFAULT;
use taskwright_core::{NewJob, Timestamp};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::codec::extras_text;
use crate::insert::Item;
use crate::keys::{for_ms, key_text, until_number};
use crate::limits::Entering;
use crate::limits::bounds::Places;
use crate::link::{Argument, micros};

/// The statement that writes [`Fresh`] jobs.
pub(crate) const INSERT: &str = "select ord, seq, verdict, state from taskwright.insert_jobs($1, $2, $3, \
    $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, \
    $25, $26, $27)";

/// Jobs of one statement, column by column.
pub(crate) struct Fresh<'i> {
    now: Option<i64>,
    partial: bool,
    aging: i64,
    window: i64,
    namespaces: Vec<i32>,
    ids: Vec<Uuid>,
    lanes: Vec<i32>,
    fingerprints: Vec<i64>,
    priorities: Vec<i16>,
    run_at: Vec<Option<i64>>,
    max_attempts: Vec<i32>,
    timeouts: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    extras: Vec<Option<String>>,
    args: Vec<&'i str>,
    /// `None` where no job has one, as for most calls.
    unique_keys: Option<Vec<Option<Cow<'i, str>>>>,
    unique_until: Option<Vec<Option<i16>>>,
    unique_for_ms: Option<Vec<Option<i64>>>,
    /// `None` where no job has a group or limit keys.
    keys: Option<Vec<Option<String>>>,
    lines: Option<Vec<Option<i64>>>,
    limited: Option<Vec<i32>>,
    versions: Option<Vec<i64>>,
    /// `None`: as far as is known, no queue lets only so many wait.
    bound_namespaces: Option<Vec<i32>>,
    bound_queues: Option<Vec<String>>,
    bound_more: Option<Vec<i64>>,
    bound_most: Option<Vec<i64>>,
    tally_from: i64,
}

impl<'i> Fresh<'i> {
    /// Of these items; `now` is the time that the clock of a test shows, `entering` their keys.
    pub fn of(
        items: &[&'i Item],
        now: Option<i64>,
        partial: bool,
        entering: Option<Entering>,
    ) -> Self {
        let (keys, lines, limited, versions) = match entering {
            Some(Entering { keys, lines, namespaces, versions }) => {
                (Some(keys), Some(lines), Some(namespaces), Some(versions))
            }
            None => (None, None, None, None),
        };

        let jobs = || items.iter().map(|item| &item.job);
        let unique = |job: &'i NewJob| job.extras.unique.as_ref();
        let has_keys = jobs().any(|job| job.extras.unique.is_some());
        Fresh {
            now,
            partial,
            aging: micros(AGING_DEFAULT),
            window: micros(ID_WINDOW),
            namespaces: items.iter().map(|item| item.namespace).collect(),
            ids: jobs().map(|job| Uuid::from_u128(job.id.as_u128())).collect(),
            lanes: items.iter().map(|item| item.lane.unwrap_or(0)).collect(),
            fingerprints: jobs().map(|job| job.fingerprint.cast_signed()).collect(),
            priorities: jobs().map(|job| i16::from(job.priority)).collect(),
            run_at: jobs().map(|job| job.run_at.map(Timestamp::as_micros)).collect(),
            max_attempts: jobs().map(|job| job.max_attempts.cast_signed()).collect(),
            timeouts: jobs().map(|job| job.timeout_ms.map(u64::cast_signed)).collect(),
            expires_at: jobs().map(|job| job.extras.expires_at.map(Timestamp::as_micros)).collect(),
            extras: jobs().map(|job| extras_text(&job.extras)).collect(),
            args: jobs().map(|job| job.args.as_str()).collect(),
            unique_keys: has_keys.then(|| {
                jobs().map(|job| unique(job).map(|unique| key_text(&unique.key))).collect()
            }),
            unique_until: has_keys
                .then(|| jobs().map(|job| unique(job).map(|u| until_number(u.until))).collect()),
            unique_for_ms: has_keys
                .then(|| jobs().map(|job| unique(job).and_then(|u| for_ms(u.until))).collect()),
            keys,
            lines,
            limited,
            versions,
            bound_namespaces: None,
            bound_queues: None,
            bound_more: None,
            bound_most: None,
            tally_from: 0,
        }
    }

    /// With the places that the jobs need in their queues, as of these notes on the counters.
    pub fn with_places(mut self, places: Places, tally_from: i64) -> Self {
        for (namespace, version) in &places.versions {
            let limited = self.limited.get_or_insert_default();
            if !limited.contains(namespace) {
                limited.push(*namespace);
                self.versions.get_or_insert_default().push(*version);
            }
        }
        self.bound_namespaces = Some(places.namespaces);
        self.bound_queues = Some(places.queues);
        self.bound_more = Some(places.more);
        self.bound_most = Some(places.most);
        self.tally_from = tally_from;
        self
    }

    /// The ids of the jobs.
    pub fn ids(&self) -> &[Uuid] {
        &self.ids
    }

    /// The arguments of [`INSERT`], in order.
    pub fn arguments(&self) -> [Argument<'_>; 27] {
        [
            (&self.now, Type::INT8),
            (&self.partial, Type::BOOL),
            (&self.aging, Type::INT8),
            (&self.window, Type::INT8),
            (&self.namespaces, Type::INT4_ARRAY),
            (&self.ids, Type::UUID_ARRAY),
            (&self.lanes, Type::INT4_ARRAY),
            (&self.fingerprints, Type::INT8_ARRAY),
            (&self.priorities, Type::INT2_ARRAY),
            (&self.run_at, Type::INT8_ARRAY),
            (&self.max_attempts, Type::INT4_ARRAY),
            (&self.timeouts, Type::INT8_ARRAY),
            (&self.expires_at, Type::INT8_ARRAY),
            (&self.extras, Type::TEXT_ARRAY),
            (&self.args, Type::TEXT_ARRAY),
            (&self.unique_keys, Type::TEXT_ARRAY),
            (&self.unique_until, Type::INT2_ARRAY),
            (&self.unique_for_ms, Type::INT8_ARRAY),
            (&self.keys, Type::TEXT_ARRAY),
            (&self.lines, Type::INT8_ARRAY),
            (&self.limited, Type::INT4_ARRAY),
            (&self.versions, Type::INT8_ARRAY),
            (&self.bound_namespaces, Type::INT4_ARRAY),
            (&self.bound_queues, Type::TEXT_ARRAY),
            (&self.bound_more, Type::INT8_ARRAY),
            (&self.bound_most, Type::INT8_ARRAY),
            (&self.tally_from, Type::INT8),
        ]
    }
}
