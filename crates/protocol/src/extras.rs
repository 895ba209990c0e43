//! The fields that most jobs leave empty. They stand among the others, not in an object of their own.

use std::sync::Arc;

use taskwright_core::{Extras, Shard};

use crate::enqueue::write_retry;
use crate::labels::write_amounts;
use crate::read::Text;
use crate::unique::write_unique;
use crate::write;

/// Defines a reader whose object has these fields after those that are listed, and `extras()`.
/// (`serde(flatten)` would copy every value, and cannot carry unread JSON.)
macro_rules! reader_with_extras {
    ($(#[$doc:meta])* $visibility:vis struct $name:ident<$a:lifetime> { $($fields:tt)* }) => {
        $(#[$doc])*
        #[derive(serde::Deserialize)]
        $visibility struct $name<$a> {
            $($fields)*
            retry: Option<crate::enqueue::RetryFields>,
            expires_at: Option<crate::read::Parsed<crate::instant::Instant>>,
            #[serde(borrow, default)]
            tags: Vec<crate::read::Text<$a>>,
            #[serde(borrow)]
            group: Option<crate::read::Text<$a>>,
            #[serde(default)]
            limit_keys: Vec<crate::read::Text<$a>>,
            unique_key: Option<crate::read::Text<$a>>,
            unique_until: Option<crate::unique::UntilField>,
            unique_for_ms: Option<u64>,
            requires: Option<crate::read::Parsed<taskwright_core::Requirement>>,
            #[serde(default)]
            cost: u32,
            #[serde(default)]
            parents: Vec<crate::read::Parsed<taskwright_core::JobId>>,
            alias: Option<crate::read::Text<$a>>,
            trace: Option<crate::read::Text<$a>>,
            shard_index: Option<u32>,
            shard_total: Option<u32>,
        }

        impl $name<'_> {
            fn extras(&mut self) -> taskwright_core::Extras {
                use crate::extras::{shared, shared_all};

                taskwright_core::Extras {
                    retry: self.retry.take().map(taskwright_core::RetryPolicy::from),
                    expires_at: self.expires_at.map(|instant| instant.0.0),
                    tags: shared_all(&self.tags),
                    group: shared(self.group.as_ref()),
                    limit_keys: shared_all(&self.limit_keys),
                    unique: crate::unique::unique(
                        shared(self.unique_key.as_ref()),
                        self.unique_until,
                        self.unique_for_ms,
                    ),
                    requires: self.requires.take().map(|requires| requires.0).unwrap_or_default(),
                    cost: self.cost,
                    parents: self.parents.iter().map(|id| id.0).collect(),
                    alias: shared(self.alias.as_ref()),
                    trace: shared(self.trace.as_ref()),
                    shard: crate::extras::shard(self.shard_index, self.shard_total),
                }
            }
        }
    };
}
pub(crate) use reader_with_extras;

/// The shard of these fields, where both are there.
pub(crate) fn shard(index: Option<u32>, total: Option<u32>) -> Option<Shard> {
    index.zip(total).map(|(index, total)| Shard { index, total })
}

pub(crate) fn write_shard(shard: Option<Shard>, object: &mut write::Object<'_>) {
    if let Some(Shard { index, total }) = shard {
        object.number("shard_index", u64::from(index));
        object.number("shard_total", u64::from(total));
    }
}

pub(crate) fn shared(text: Option<&Text<'_>>) -> Option<Arc<str>> {
    text.map(|text| Arc::from(&*text.0))
}

pub(crate) fn shared_all(texts: &[Text<'_>]) -> Vec<Arc<str>> {
    texts.iter().map(|text| Arc::from(&*text.0)).collect()
}

pub(crate) fn write_extras(extras: &Extras, object: &mut write::Object<'_>) {
    if let Some(retry) = &extras.retry {
        write_retry(retry, object);
    }
    if let Some(expires_at) = extras.expires_at {
        object.instant("expires_at", expires_at);
    }
    if !extras.tags.is_empty() {
        object.texts("tags", &extras.tags);
    }
    if let Some(group) = &extras.group {
        object.text("group", group);
    }
    if !extras.limit_keys.is_empty() {
        object.texts("limit_keys", &extras.limit_keys);
    }
    if let Some(unique) = &extras.unique {
        write_unique(unique, object);
    }
    if !extras.requires.is_none() {
        object.text("requires", &extras.requires.to_string());
    }
    if extras.cost != 0 {
        object.number("cost", u64::from(extras.cost));
    }
    // It stands in `requires` as well, which is what is read.
    write_amounts("takes", &extras.requires.taken(), object);
    if !extras.parents.is_empty() {
        object.ids("parents", &extras.parents);
    }
    if let Some(alias) = &extras.alias {
        object.text("alias", alias);
    }
    if let Some(trace) = &extras.trace {
        object.text("trace", trace);
    }
    write_shard(extras.shard, object);
}
