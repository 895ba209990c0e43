//! A worker waits to be told to send a heartbeat at once.

use std::time::Duration;

use serde::Deserialize;
use taskwright_core::{Name, WorkerId};
use taskwright_engine::Result;

use crate::read::{Parsed, Text, name_or_default, read};
use crate::write;

/// A worker that waits.
pub(crate) struct Listen {
    pub namespace: Name,
    pub worker: WorkerId,
    pub wait: Duration,
}

pub(crate) fn decode(body: &[u8]) -> Result<Listen> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
        worker: Parsed<WorkerId>,
        #[serde(default)]
        wait_ms: u64,
    }

    let fields: Fields<'_> = read("listen request", body)?;
    let namespace = name_or_default("namespace", fields.namespace.as_ref())?;
    Ok(Listen { namespace, worker: fields.worker.0, wait: Duration::from_millis(fields.wait_ms) })
}

pub(crate) fn encode(namespace: &Name, worker: WorkerId, wait: Duration) -> Vec<u8> {
    write::object(160, |object| {
        object.name("namespace", namespace);
        object.worker("worker", worker);
        object.millis("wait_ms", wait);
    })
}

pub(crate) fn encode_reply(is_nudged: bool) -> Vec<u8> {
    write::object(24, |object| object.flag("nudged", is_nudged))
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<bool> {
    #[derive(Deserialize)]
    struct Fields {
        nudged: bool,
    }

    let fields: Fields = read("listen reply", body)?;
    Ok(fields.nudged)
}
