//! Queues, workers, nodes and the store itself.

use std::sync::Arc;

use serde::Deserialize;
use taskwright_core::{Name, WorkerId};
use taskwright_engine::Result;
use taskwright_store::{
    Description, Durability, NodeView, Profile, QueueCounts, WorkerInfo, WorkerView,
};

use crate::heartbeat::write_info;
use crate::instant::Instant;
use crate::labels::{self, Amounts, read_amounts, write_amounts};
use crate::load::LoadView;
use crate::read::{Object, Parsed, Text, name_or_default, read};
use crate::write;

/// Reads a request that names a namespace and nothing else.
pub(crate) fn decode_namespace(what: &str, body: &[u8]) -> Result<Name> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
    }

    let fields: Fields<'_> = read(what, body)?;
    name_or_default("namespace", fields.namespace.as_ref())
}

pub(crate) fn encode_namespace(namespace: &Name) -> Vec<u8> {
    write::object(64, |object| object.name("namespace", namespace))
}

pub(crate) fn encode_queues(queues: &[QueueCounts]) -> Vec<u8> {
    write::object(256 * queues.len() + 16, |object| {
        object.list("queues", queues, write_queue);
    })
}

pub(crate) fn encode_queue(queue: &QueueCounts) -> Vec<u8> {
    write::object(256, |object| write_queue(queue, object))
}

/// Writes how many jobs of a queue have not ended.
pub(crate) fn encode_size(queue: &QueueCounts) -> Vec<u8> {
    write::object(192, |object| {
        object.name("queue", &queue.queue);
        object.number("size", queue.live());
        object.flag("is_empty", queue.live() == 0);
    })
}

fn write_queue(queue: &QueueCounts, object: &mut write::Object<'_>) {
    object.name("queue", &queue.queue);
    object.flag("paused", queue.paused);
    object.number("ready", queue.ready);
    object.number("scheduled", queue.scheduled);
    object.number("in_line", queue.in_line);
    object.number("blocked", queue.blocked);
    object.number("running", queue.running);
    object.number("completed", queue.completed);
    object.number("dead", queue.dead);
    object.number("cancelled", queue.cancelled);
    object.number("expired", queue.expired);
    if let Some(oldest) = queue.oldest_ready_at {
        object.instant("oldest_ready_at", oldest);
    }
}

pub(crate) fn decode_queues(body: &[u8]) -> Result<Vec<QueueCounts>> {
    #[derive(Deserialize)]
    struct Reply {
        queues: Vec<Object<Fields>>,
    }

    #[derive(Deserialize)]
    struct Fields {
        queue: Parsed<Name>,
        paused: bool,
        ready: u64,
        scheduled: u64,
        in_line: u64,
        blocked: u64,
        running: u64,
        completed: u64,
        dead: u64,
        cancelled: u64,
        expired: u64,
        oldest_ready_at: Option<Parsed<Instant>>,
    }

    let reply: Reply = read("queues reply", body)?;
    let queues = reply.queues.into_iter().map(|Object(fields)| QueueCounts {
        queue: fields.queue.0,
        paused: fields.paused,
        ready: fields.ready,
        scheduled: fields.scheduled,
        in_line: fields.in_line,
        blocked: fields.blocked,
        running: fields.running,
        completed: fields.completed,
        dead: fields.dead,
        cancelled: fields.cancelled,
        expired: fields.expired,
        oldest_ready_at: fields.oldest_ready_at.map(|instant| instant.0.0),
    });
    Ok(queues.collect())
}

pub(crate) fn encode_workers(workers: &[WorkerView]) -> Vec<u8> {
    write::object(256 * workers.len() + 16, |object| {
        object.list("workers", workers, |worker, object| {
            object.worker("id", worker.id);
            write_info(&worker.info, object);
            if let Some(profile) = &worker.profile {
                write_profile(profile, object);
            }
            object.instant("first_seen_at", worker.first_seen_at);
            object.instant("last_seen_at", worker.last_seen_at);
            object.number("running", worker.running as u64);
            write_slots_taken(worker.running, worker.slots_taken, object);
            write_amounts("resources_taken", &worker.resources_taken, object);
        });
    })
}

/// How many slots jobs take, where that is not one each.
pub(crate) fn write_slots_taken(running: usize, slots: u64, object: &mut write::Object<'_>) {
    if slots != running as u64 {
        object.number("slots_taken", slots);
    }
}

/// What a worker serves; without `tasks` it serves all of them.
fn write_profile(profile: &Profile, object: &mut write::Object<'_>) {
    object.names("queues", &profile.queues);
    if let Some(tasks) = &profile.tasks {
        object.names("tasks", tasks);
    }
    labels::write(&profile.labels, object);
}

pub(crate) fn decode_workers(body: &[u8]) -> Result<Vec<WorkerView>> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        workers: Vec<Object<Fields<'a>>>,
    }

    #[derive(Deserialize)]
    struct Fields<'a> {
        id: Parsed<WorkerId>,
        #[serde(borrow)]
        name: Text<'a>,
        slots: u32,
        stopping: bool,
        load: Option<Object<LoadView>>,
        queues: Option<Vec<Parsed<Name>>>,
        tasks: Option<Vec<Parsed<Name>>>,
        #[serde(default)]
        labels: Vec<Text<'a>>,
        #[serde(default)]
        resources: Amounts,
        #[serde(default)]
        resources_taken: Amounts,
        first_seen_at: Parsed<Instant>,
        last_seen_at: Parsed<Instant>,
        running: usize,
        slots_taken: Option<u64>,
    }

    let reply: Reply<'_> = read("workers reply", body)?;
    let named = |names: Vec<Parsed<Name>>| names.into_iter().map(|name| name.0).collect();
    let workers = reply.workers.into_iter().map(|Object(fields)| {
        let labels = labels::read(&fields.labels, &fields.resources)?;
        let tasks = fields.tasks.map(named);
        let profile = |queues| Arc::new(Profile { queues: named(queues), tasks, labels });
        Ok(WorkerView {
            id: fields.id.0,
            info: WorkerInfo {
                name: Arc::from(&*fields.name.0),
                slots: fields.slots,
                stopping: fields.stopping,
                load: fields.load.map(|Object(load)| load.into_load()).unwrap_or_default(),
            },
            profile: fields.queues.map(profile),
            first_seen_at: fields.first_seen_at.0.0,
            last_seen_at: fields.last_seen_at.0.0,
            running: fields.running,
            slots_taken: fields.slots_taken.unwrap_or(fields.running as u64),
            resources_taken: read_amounts("resources_taken", &fields.resources_taken)?,
        })
    });
    workers.collect()
}

pub(crate) fn encode_nodes(nodes: &[NodeView]) -> Vec<u8> {
    write::object(192 * nodes.len() + 16, |object| {
        object.list("nodes", nodes, |node, object| {
            object.number("epoch", u64::from(node.epoch));
            object.text("name", &node.name);
            object.text("version", &node.version);
            object.instant("started_at", node.started_at);
            object.instant("seen_at", node.seen_at);
        });
    })
}

pub(crate) fn decode_nodes(body: &[u8]) -> Result<Vec<NodeView>> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        nodes: Vec<Object<Fields<'a>>>,
    }

    #[derive(Deserialize)]
    struct Fields<'a> {
        epoch: u32,
        #[serde(borrow)]
        name: Text<'a>,
        version: Text<'a>,
        started_at: Parsed<Instant>,
        seen_at: Parsed<Instant>,
    }

    let reply: Reply<'_> = read("nodes reply", body)?;
    let nodes = reply.nodes.into_iter().map(|Object(fields)| NodeView {
        epoch: fields.epoch,
        name: Arc::from(&*fields.name.0),
        version: Arc::from(&*fields.version.0),
        started_at: fields.started_at.0.0,
        seen_at: fields.seen_at.0.0,
    });
    Ok(nodes.collect())
}

pub(crate) fn encode_description(description: &Description) -> Vec<u8> {
    write::object(512, |object| {
        object.text("kind", description.kind);
        object.text("location", &description.location);
        object.word("durability", description.durability.class());
        object.number("epoch", u64::from(description.epoch));
        object.instant("now", description.now);
        object.list("facts", &description.facts, |(name, value), object| {
            object.text("name", name);
            object.text("value", value);
        });
    })
}

pub(crate) fn decode_description(body: &[u8]) -> Result<Description> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        kind: Text<'a>,
        location: Text<'a>,
        durability: Class,
        epoch: u32,
        now: Parsed<Instant>,
        facts: Vec<Object<Fact<'a>>>,
    }

    #[derive(Deserialize)]
    enum Class {
        D0,
        D1,
        D2,
        D3,
    }

    #[derive(Deserialize)]
    struct Fact<'a> {
        #[serde(borrow)]
        name: Text<'a>,
        value: Text<'a>,
    }

    let fields: Fields<'_> = read("describe reply", body)?;
    let facts = fields.facts.into_iter();
    Ok(Description {
        kind: known_kind(&fields.kind.0),
        location: fields.location.0.into_owned(),
        durability: match fields.durability {
            Class::D0 => Durability::Memory,
            Class::D1 => Durability::Delayed,
            Class::D2 => Durability::Synced,
            Class::D3 => Durability::Replicated,
        },
        epoch: fields.epoch,
        now: fields.now.0.0,
        facts: facts
            .map(|Object(fact)| (Arc::from(&*fact.name.0), fact.value.0.into_owned()))
            .collect(),
    })
}

fn known_kind(kind: &str) -> &'static str {
    const KINDS: [&str; 4] = ["memory", "file", "postgres", "naive"];
    KINDS.into_iter().find(|known| *known == kind).unwrap_or("other")
}
