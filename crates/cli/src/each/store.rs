//! The store that a run is kept in: one of its own, or one that others use as well.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use taskwright::{Options, Taskwright};
use taskwright_core::limits::{BATCH_MAX, PAGE_MAX};
use taskwright_core::{JobId, Name, StateName};
use taskwright_engine::ErrorCode;
use taskwright_store::{Command, QueueCounts, Retention};

use super::place::{Home, Place};
use super::run::TASK;
use crate::connect;

/// A run keeps everything until it is done.
const KEEP_ALL: Retention = Retention {
    age: Duration::from_secs(100 * 365 * 24 * 3_600),
    dead_age: Duration::from_secs(100 * 365 * 24 * 3_600),
    count: 1 << 40,
    bytes: 1 << 60,
};

/// Opens it.
pub async fn open(place: &Place, namespace: &str) -> Result<Taskwright> {
    let options = Options::new().actor(&connect::actor());
    let directory = match &place.home {
        Home::Directory(directory) => directory,
        // What is kept there for how long, those decide who use it too.
        Home::Shared(url) => return connect::open_url(options.namespace(namespace), url).await,
    };
    let path = directory.to_str().with_context(|| {
        format!(
            "cannot keep the run in {}: this is not UTF-8; name another directory with --data",
            directory.display()
        )
    })?;
    let options = options.retention(KEEP_ALL);
    options.connect(&format!("file:{path}")).await.map_err(|error| match error.code {
        ErrorCode::Locked => anyhow!(
            "run {} is at work in another process; wait for that, or start a separate one with --run NAME",
            place.name
        ),
        _ => anyhow!(error),
    })
}

/// The name that the jobs of a run go by. In a store of its own it is that of the run; in a shared
/// one there is a number behind it, which grows with each run that was completed: its jobs stay.
pub async fn current_run(app: &Taskwright, place: &Place) -> Result<String> {
    if let Home::Directory(_) = place.home {
        return Ok(place.name.clone());
    }
    let prefix = format!("{TASK}/{}/", place.name);
    let number = |counts: &QueueCounts| -> Option<u64> {
        counts.queue.as_str().strip_prefix(&prefix)?.parse().ok()
    };
    let runs = app.counts().await?;
    let newest =
        runs.iter().filter_map(|counts| Some((number(counts)?, counts))).max_by_key(|run| run.0);
    let number = match newest {
        None => 1,
        Some((number, counts)) if is_over(counts) => number + 1,
        Some((number, _)) => number,
    };
    Ok(format!("{}/{number}", place.name))
}

fn is_over(counts: &QueueCounts) -> bool {
    counts.live() + counts.dead + counts.cancelled + counts.expired == 0
}

/// The queue of the jobs that go by this name.
pub fn queue_of(run: &str) -> Result<Name> {
    Ok(Name::new(format!("{TASK}/{run}"))?)
}

/// Removes a run, unless it is at work in a store of its own. In a shared store it loses what has not
/// completed, and so it is over.
pub async fn forget(place: &Place, namespace: &str) -> Result<()> {
    if !place.exists() {
        return Ok(());
    }
    let app = open(place, namespace).await?;
    if let Home::Shared(_) = place.home {
        let queue = queue_of(&current_run(&app, place).await?)?;
        let cancel = |id| Command::Cancel {
            namespace: app.namespace().clone(),
            id,
            reason: "the run was begun anew".into(),
        };
        let delete = |id| Command::Delete { namespace: app.namespace().clone(), id };
        for state in [StateName::Available, StateName::Running] {
            control_all(&app, &queue, state, cancel).await?;
        }
        for state in [StateName::Dead, StateName::Cancelled, StateName::Expired] {
            control_all(&app, &queue, state, delete).await?;
        }
    }
    app.close().await?;
    place.remove()
}

/// Has the same done to all jobs of a queue in a state.
pub async fn control_all(
    app: &Taskwright,
    queue: &Name,
    state: StateName,
    command: impl Fn(JobId) -> Command,
) -> Result<()> {
    let mut filter = app.filter();
    filter.queue = Some(queue.clone());
    filter.state = Some(state);
    filter.limit = PAGE_MAX;
    let mut jobs: Vec<JobId> = Vec::new();
    loop {
        let page = app.list(filter.clone()).await?;
        jobs.extend(page.jobs.iter().map(|job| job.id));
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    for batch in jobs.chunks(BATCH_MAX) {
        let commands = batch.iter().map(|&id| command(id)).collect();
        app.api().control(&connect::actor(), commands).await?;
    }
    Ok(())
}
