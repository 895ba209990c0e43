//! Looking at jobs: by id, by filter, at the head of a queue.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use taskwright_core::{Job, JobId, Name, StateName};
use taskwright_engine::Result;
use taskwright_store::{Filter, Page};

use crate::job::{JobView, write_job};
use crate::read::{Names, Object, Parsed, Text, invalid, name_or_default, read};
use crate::write;

/// Jobs on a page or at the head of a queue, where the request does not say.
pub(crate) const LIMIT_DEFAULT: usize = 100;

/// Jobs by id.
pub(crate) struct Get {
    pub namespace: Name,
    pub ids: Vec<JobId>,
}

/// A job once it has ended.
pub(crate) struct Wait {
    pub namespace: Name,
    pub id: JobId,
    pub wait: Duration,
}

/// The next jobs of a queue.
pub(crate) struct Peek {
    pub namespace: Name,
    pub queue: Name,
    pub max: usize,
}

pub(crate) fn decode_get(body: &[u8]) -> Result<Get> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
        ids: Vec<Parsed<JobId>>,
    }

    let fields: Fields<'_> = read("get request", body)?;
    let namespace = name_or_default("namespace", fields.namespace.as_ref())?;
    Ok(Get { namespace, ids: fields.ids.iter().map(|id| id.0).collect() })
}

pub(crate) fn encode_get(namespace: &Name, ids: &[JobId]) -> Vec<u8> {
    write::object(40 * ids.len() + 64, |object| {
        object.name("namespace", namespace);
        object.ids("ids", ids);
    })
}

pub(crate) fn decode_wait(body: &[u8]) -> Result<Wait> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
        id: Parsed<JobId>,
        #[serde(default)]
        wait_ms: u64,
    }

    let fields: Fields<'_> = read("wait request", body)?;
    let namespace = name_or_default("namespace", fields.namespace.as_ref())?;
    Ok(Wait { namespace, id: fields.id.0, wait: Duration::from_millis(fields.wait_ms) })
}

pub(crate) fn encode_wait(namespace: &Name, id: JobId, wait: Duration) -> Vec<u8> {
    write::object(128, |object| {
        object.name("namespace", namespace);
        object.id("id", id);
        object.millis("wait_ms", wait);
    })
}

pub(crate) fn decode_peek(body: &[u8]) -> Result<Peek> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
        queue: Text<'a>,
        max: Option<usize>,
    }

    let fields: Fields<'_> = read("peek request", body)?;
    Ok(Peek {
        namespace: name_or_default("namespace", fields.namespace.as_ref())?,
        queue: Name::new(&fields.queue.0).map_err(|cause| invalid("queue", cause))?,
        max: fields.max.unwrap_or(LIMIT_DEFAULT),
    })
}

pub(crate) fn encode_peek(namespace: &Name, queue: &Name, max: usize) -> Vec<u8> {
    write::object(128, |object| {
        object.name("namespace", namespace);
        object.name("queue", queue);
        object.number("max", max as u64);
    })
}

pub(crate) fn decode_list(body: &[u8]) -> Result<Filter> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
        queue: Option<Parsed<Name>>,
        task: Option<Parsed<Name>>,
        state: Option<Parsed<StateName>>,
        tag: Option<Text<'a>>,
        before: Option<u64>,
        limit: Option<usize>,
    }

    let fields: Fields<'_> = read("list request", body)?;
    Ok(Filter {
        namespace: name_or_default("namespace", fields.namespace.as_ref())?,
        queue: fields.queue.map(|queue| queue.0),
        task: fields.task.map(|task| task.0),
        state: fields.state.map(|state| state.0),
        tag: fields.tag.map(|tag| Arc::from(&*tag.0)),
        before: fields.before,
        limit: fields.limit.unwrap_or(LIMIT_DEFAULT),
    })
}

pub(crate) fn encode_list(filter: &Filter) -> Vec<u8> {
    write::object(256, |object| {
        object.name("namespace", &filter.namespace);
        if let Some(queue) = &filter.queue {
            object.name("queue", queue);
        }
        if let Some(task) = &filter.task {
            object.name("task", task);
        }
        if let Some(state) = filter.state {
            object.word("state", state.as_str());
        }
        if let Some(tag) = &filter.tag {
            object.text("tag", tag);
        }
        if let Some(before) = filter.before {
            object.number("before", before);
        }
        object.number("limit", filter.limit as u64);
    })
}

/// Writes the jobs that were asked for by id, `null` for those that are not there.
pub(crate) fn encode_found(jobs: &[Option<Job>]) -> Vec<u8> {
    write::object(1_024 * jobs.len() + 16, |object| object.options("jobs", jobs, write_job))
}

pub(crate) fn decode_found(body: &[u8]) -> Result<Vec<Option<Job>>> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        jobs: Vec<Option<Object<JobView<'a>>>>,
    }

    let fields: Fields<'_> = read("get reply", body)?;
    let mut names = Names::default();
    let jobs = fields.jobs.into_iter();
    jobs.map(|job| job.map(|Object(view)| view.into_job(&mut names)).transpose()).collect()
}

/// Writes the answer to a wait: the job, or `null`.
pub(crate) fn encode_waited(job: Option<&Job>) -> Vec<u8> {
    write::object(1_024, |object| match job {
        Some(job) => object.object("job", |fields| write_job(job, fields)),
        None => object.null("job"),
    })
}

pub(crate) fn decode_waited(body: &[u8]) -> Result<Option<Job>> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        job: Option<Object<JobView<'a>>>,
    }

    let fields: Fields<'_> = read("wait reply", body)?;
    fields.job.map(|Object(view)| view.into_job(&mut Names::default())).transpose()
}

/// Writes a page of jobs, with the cursor of the next one where there may be one.
pub(crate) fn encode_page(page: &Page) -> Vec<u8> {
    write::object(640 * page.jobs.len() + 32, |object| {
        object.list("jobs", &page.jobs, write_job);
        if let Some(next) = page.next {
            object.number("next", next);
        }
    })
}

pub(crate) fn decode_page(body: &[u8]) -> Result<Page> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        jobs: Vec<Object<JobView<'a>>>,
        next: Option<u64>,
    }

    let fields: Fields<'_> = read("list reply", body)?;
    let mut names = Names::default();
    let jobs = fields.jobs.into_iter().map(|Object(view)| view.into_job(&mut names));
    Ok(Page { jobs: jobs.collect::<Result<_>>()?, next: fields.next })
}
