//! Who may run a job: the question and the answer.

use std::sync::Arc;

use serde::Deserialize;
use taskwright_core::{Name, Requirement, WorkerId};
use taskwright_engine::{Exclusion, ExclusionRule, PlaceRequest, Placed, Placement, Result};

use crate::labels::{self, Amounts, read_amounts, taking, write_amounts};
use crate::load::{self, LoadView};
use crate::read::{Object, Parsed, Text, invalid, name_or_default, read};
use crate::status::write_slots_taken;
use crate::write;

pub(crate) fn decode(body: &[u8]) -> Result<PlaceRequest> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
        queue: Option<Text<'a>>,
        task: Text<'a>,
        requires: Option<Text<'a>>,
        #[serde(default)]
        takes: Amounts,
    }

    let fields: Fields<'_> = read("place request", body)?;
    let requires: Requirement = match &fields.requires {
        Some(text) => text.0.parse().map_err(|cause| invalid("requires", cause))?,
        None => Requirement::NONE,
    };
    Ok(PlaceRequest {
        namespace: name_or_default("namespace", fields.namespace.as_ref())?,
        queue: name_or_default("queue", fields.queue.as_ref())?,
        task: Name::new(&fields.task.0).map_err(|cause| invalid("task", cause))?,
        requires: taking(requires, &fields.takes).map_err(|cause| invalid("takes", cause))?,
    })
}

pub(crate) fn encode(request: &PlaceRequest) -> Vec<u8> {
    write::object(256, |object| {
        object.name("namespace", &request.namespace);
        object.name("queue", &request.queue);
        object.name("task", &request.task);
        if !request.requires.is_none() {
            object.text("requires", &request.requires.to_string());
        }
    })
}

pub(crate) fn encode_reply(placement: &Placement) -> Vec<u8> {
    write::object(256 * placement.workers.len() + 128, |object| {
        object.text("verdict", &placement.verdict);
        object.list("workers", &placement.workers, |worker, object| {
            object.worker("id", worker.id);
            object.text("name", &worker.name);
            object.number("slots", u64::from(worker.slots));
            object.number("running", worker.running as u64);
            write_slots_taken(worker.running, worker.slots_taken, object);
            write_amounts("resources_taken", &worker.resources_taken, object);
            labels::write(&worker.labels, object);
            load::write(&worker.load, object);
            object.flag("matches", worker.matches());
            object.list("excluded", &worker.excluded, |exclusion, object| {
                object.word("rule", exclusion.rule.as_str());
                object.text("detail", &exclusion.detail);
            });
        });
    })
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<Placement> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        verdict: Text<'a>,
        #[serde(borrow)]
        workers: Vec<Object<Fields<'a>>>,
    }

    #[derive(Deserialize)]
    struct Fields<'a> {
        id: Parsed<WorkerId>,
        #[serde(borrow)]
        name: Text<'a>,
        slots: u32,
        running: usize,
        slots_taken: Option<u64>,
        #[serde(default)]
        resources_taken: Amounts,
        #[serde(default)]
        labels: Vec<Text<'a>>,
        #[serde(default)]
        resources: Amounts,
        load: Option<Object<LoadView>>,
        excluded: Vec<Object<Excluded<'a>>>,
    }

    #[derive(Deserialize)]
    struct Excluded<'a> {
        #[serde(borrow)]
        rule: Text<'a>,
        detail: Text<'a>,
    }

    let reply: Reply<'_> = read("place reply", body)?;
    let workers = reply.workers.into_iter().map(|Object(fields)| {
        let exclusion = |Object(excluded): Object<Excluded<'_>>| Exclusion {
            rule: rule_named(&excluded.rule.0),
            detail: excluded.detail.0.into_owned(),
        };
        Ok(Placed {
            id: fields.id.0,
            name: Arc::from(&*fields.name.0),
            slots: fields.slots,
            running: fields.running,
            slots_taken: fields.slots_taken.unwrap_or(fields.running as u64),
            resources_taken: read_amounts("resources_taken", &fields.resources_taken)?,
            labels: labels::read(&fields.labels, &fields.resources)?,
            load: fields.load.map(|Object(load)| load.into_load()).unwrap_or_default(),
            excluded: fields.excluded.into_iter().map(exclusion).collect(),
        })
    });
    Ok(Placement {
        verdict: reply.verdict.0.into_owned(),
        workers: workers.collect::<Result<_>>()?,
    })
}

/// The rule of this name; a newer server may have others, which its detail explains.
fn rule_named(word: &str) -> ExclusionRule {
    let known = ExclusionRule::ALL.into_iter().find(|rule| rule.as_str() == word);
    known.unwrap_or(ExclusionRule::Unknown)
}
