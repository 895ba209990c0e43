//! Reports, heartbeat and claim of a worker in one round trip.

use serde::Deserialize;
use taskwright_core::WorkerId;
use taskwright_engine::{Result, Work, WorkReply};

use crate::claim::{self, ClaimFields, ClaimedFields};
use crate::fresh;
use crate::heartbeat::{self, HeartbeatFields, HeartbeatReplyFields};
use crate::read::{Object, Parsed, Text, name_or_default, read};
use crate::report::{self, ReportFields, ReportedFields};
use crate::write;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkRequest<'a> {
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    worker: Option<Parsed<WorkerId>>,
    #[serde(borrow, default)]
    reports: Vec<Object<ReportFields<'a>>>,
    #[serde(borrow)]
    heartbeat: Option<Object<HeartbeatFields<'a>>>,
    #[serde(borrow)]
    claim: Option<Object<ClaimFields<'a>>>,
}

/// Reads a `work` request, and the id of the worker: a new one where none was sent.
pub(crate) fn decode(body: &[u8]) -> Result<(WorkerId, Work)> {
    let request: WorkRequest<'_> = read("work request", body)?;
    let namespace = name_or_default("namespace", request.namespace.as_ref())?;
    let worker = request.worker.map_or_else(fresh::worker_id, |worker| Ok(worker.0))?;
    let reports = report::reports(request.reports, &namespace)?;
    let heartbeat =
        request.heartbeat.map(|Object(fields)| fields.into_heartbeat(namespace.clone(), worker));
    let claim = request.claim.map(|Object(fields)| fields.into_claim(namespace.clone(), worker));
    Ok((worker, Work { reports, heartbeat: heartbeat.transpose()?, claim: claim.transpose()? }))
}

/// Writes a `work` request; worker and namespace are those of its heartbeat or claim.
pub(crate) fn encode(work: &Work) -> Vec<u8> {
    let heartbeat = work.heartbeat.as_ref();
    let of_heartbeat = heartbeat.map(|heartbeat| (heartbeat.worker, &heartbeat.namespace));
    let of_claim = work.claim.as_ref().map(|claim| (claim.worker, &claim.namespace));
    let held = heartbeat.map_or(0, |heartbeat| 96 * heartbeat.held.len());
    write::object(report::request_size(&work.reports) + held + 512, |object| {
        if let Some((worker, namespace)) = of_heartbeat.or(of_claim) {
            object.worker("worker", worker);
            object.name("namespace", namespace);
        }
        if !work.reports.is_empty() {
            let outer = of_heartbeat.or(of_claim).map_or("default", |(_, outer)| outer.as_str());
            report::write_reports(&work.reports, outer, object);
        }
        if let Some(heartbeat) = heartbeat {
            object.object("heartbeat", |fields| heartbeat::write_fields(heartbeat, fields));
        }
        if let Some(claim) = &work.claim {
            object.object("claim", |fields| claim::write_fields(claim, fields));
        }
    })
}

/// Writes the answers; those to what was not asked are left out.
pub(crate) fn encode_reply(worker: WorkerId, reply: &WorkReply) -> Vec<u8> {
    let size = claim::reply_size(&reply.claimed) + report::reply_size(&reply.reported);
    write::object(size + 128, |object| {
        object.worker("worker", worker);
        if !reply.reported.is_empty() {
            report::write_reported(&reply.reported, object);
        }
        if let Some(heartbeat) = &reply.heartbeat {
            object.object("heartbeat", |fields| heartbeat::write_reply(heartbeat, fields));
        }
        claim::write_jobs(&reply.claimed, object);
    })
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<WorkReply> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(default)]
        reports: Vec<Object<ReportedFields>>,
        #[serde(borrow)]
        heartbeat: Option<Object<HeartbeatReplyFields<'a>>>,
        #[serde(borrow, default)]
        jobs: Vec<Object<ClaimedFields<'a>>>,
    }

    let fields: Fields<'_> = read("work reply", body)?;
    Ok(WorkReply {
        reported: report::reported(fields.reports)?,
        heartbeat: fields.heartbeat.map(|Object(reply)| reply.into_reply()),
        claimed: claim::claimed_jobs(fields.jobs)?,
    })
}
