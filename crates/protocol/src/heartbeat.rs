//! A worker says that it lives, and learns what to stop.

use std::sync::Arc;

use serde::Deserialize;
use taskwright_core::{JobId, Json, Load, Name, Token, WorkerId};
use taskwright_engine::Result;
use taskwright_store::{CancelOrder, Heartbeat, HeartbeatReply, WorkerInfo};

use crate::load::{self, LoadFields};
use crate::read::{At, Object, Parsed, Payload, Text, name_or_default, read};
use crate::write;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeartbeatRequest<'a> {
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    worker: Parsed<WorkerId>,
    #[serde(default)]
    settled: u64,
    #[serde(default)]
    held: Vec<Object<AttemptFields>>,
    #[serde(borrow, default)]
    progress: Vec<Object<ProgressFields<'a>>>,
    info: Option<Object<InfoFields<'a>>>,
}

/// The heartbeat inside a `work` request, whose namespace and worker stand outside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatFields<'a> {
    #[serde(default)]
    settled: u64,
    #[serde(default)]
    held: Vec<Object<AttemptFields>>,
    #[serde(borrow, default)]
    progress: Vec<Object<ProgressFields<'a>>>,
    info: Option<Object<InfoFields<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptFields {
    id: Parsed<JobId>,
    token: Parsed<Token>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgressFields<'a> {
    id: Parsed<JobId>,
    token: Parsed<Token>,
    #[serde(borrow)]
    value: Payload<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InfoFields<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(default)]
    slots: u32,
    #[serde(default)]
    stopping: bool,
    load: Option<Object<LoadFields>>,
}

pub(crate) fn decode(body: &[u8]) -> Result<Heartbeat> {
    let request: HeartbeatRequest<'_> = read("heartbeat request", body)?;
    let namespace = name_or_default("namespace", request.namespace.as_ref())?;
    let HeartbeatRequest { worker, settled, held, progress, info, .. } = request;
    HeartbeatFields { settled, held, progress, info }.into_heartbeat(namespace, worker.0)
}

impl HeartbeatFields<'_> {
    pub(crate) fn into_heartbeat(self, namespace: Name, worker: WorkerId) -> Result<Heartbeat> {
        let progress = self.progress.iter().enumerate().map(|(item, Object(fields))| {
            let at = At { list: "progress", item };
            let value = fields.value.checked("value").map_err(|cause| at.over("value", &cause))?;
            Ok((fields.id.0, fields.token.0, value))
        });
        Ok(Heartbeat {
            namespace,
            worker,
            settled: self.settled,
            held: attempts(&self.held),
            progress: progress.collect::<Result<Vec<(JobId, Token, Json)>>>()?,
            info: self.info.map_or_else(WorkerInfo::default, |Object(info)| WorkerInfo {
                name: Arc::from(info.name.as_ref().map_or("", |name| &*name.0)),
                slots: info.slots,
                stopping: info.stopping,
                load: info.load.map_or_else(Load::default, |Object(load)| load.into_load()),
            }),
        })
    }
}

fn attempts(fields: &[Object<AttemptFields>]) -> Vec<(JobId, Token)> {
    fields.iter().map(|Object(attempt)| (attempt.id.0, attempt.token.0)).collect()
}

pub(crate) fn encode(heartbeat: &Heartbeat) -> Vec<u8> {
    write::object(128 + 96 * heartbeat.held.len(), |object| {
        object.name("namespace", &heartbeat.namespace);
        object.worker("worker", heartbeat.worker);
        write_fields(heartbeat, object);
    })
}

pub(crate) fn write_fields(heartbeat: &Heartbeat, object: &mut write::Object<'_>) {
    object.number("settled", heartbeat.settled);
    object.list("held", &heartbeat.held, write_attempt);
    if !heartbeat.progress.is_empty() {
        object.list("progress", &heartbeat.progress, |(id, token, value), object| {
            object.id("id", *id);
            object.token("token", *token);
            object.json("value", value);
        });
    }
    object.object("info", |fields| write_info(&heartbeat.info, fields));
}

pub(crate) fn write_info(info: &WorkerInfo, object: &mut write::Object<'_>) {
    object.text("name", &info.name);
    object.number("slots", u64::from(info.slots));
    object.flag("stopping", info.stopping);
    load::write(&info.load, object);
}

fn write_attempt((id, token): &(JobId, Token), object: &mut write::Object<'_>) {
    object.id("id", *id);
    object.token("token", *token);
}

pub(crate) fn encode_reply(reply: &HeartbeatReply) -> Vec<u8> {
    write::object(64, |object| write_reply(reply, object))
}

pub(crate) fn write_reply(reply: &HeartbeatReply, object: &mut write::Object<'_>) {
    object.list("lost", &reply.lost, write_attempt);
    object.list("cancel", &reply.cancel, |order, object| {
        object.id("id", order.id);
        object.token("token", order.token);
        object.text("reason", &order.reason);
        object.flag("timed_out", order.timed_out);
    });
}

/// What a heartbeat learns.
#[derive(Deserialize)]
pub(crate) struct HeartbeatReplyFields<'a> {
    lost: Vec<Object<LostFields>>,
    #[serde(borrow)]
    cancel: Vec<Object<CancelFields<'a>>>,
}

#[derive(Deserialize)]
struct LostFields {
    id: Parsed<JobId>,
    token: Parsed<Token>,
}

#[derive(Deserialize)]
struct CancelFields<'a> {
    id: Parsed<JobId>,
    token: Parsed<Token>,
    #[serde(borrow)]
    reason: Text<'a>,
    timed_out: bool,
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<HeartbeatReply> {
    let reply: HeartbeatReplyFields<'_> = read("heartbeat reply", body)?;
    Ok(reply.into_reply())
}

impl HeartbeatReplyFields<'_> {
    pub(crate) fn into_reply(self) -> HeartbeatReply {
        let lost = self.lost.iter().map(|Object(lost)| (lost.id.0, lost.token.0));
        let cancel = self.cancel.iter().map(|Object(order)| CancelOrder {
            id: order.id.0,
            token: order.token.0,
            reason: Arc::from(&*order.reason.0),
            timed_out: order.timed_out,
        });
        HeartbeatReply { lost: lost.collect(), cancel: cancel.collect() }
    }
}
