//! Comparing: whether every job of the source is in the destination as it was.

use std::collections::BTreeMap;

use taskwright_core::{Job, Name, Place, State, StateName};
use taskwright_engine::Result;
use taskwright_store::Record;
use xxhash_rust::xxh3::xxh3_128;

use super::{Count, Moved, Patient, Step, Watch};

/// How many jobs of a queue are in a state, here and there.
type Counts = BTreeMap<(Name, Name, StateName), (u64, u64)>;

/// Looks up every job of the source in the destination.
pub(super) async fn compare(
    from: &Patient<'_>,
    to: &Patient<'_>,
    of: u64,
    moved: &mut Moved,
    watch: &mut Watch<'_>,
) -> Result<()> {
    let mut counts = Counts::new();
    let (mut after, mut jobs) = (None, 0);
    loop {
        let page = from.export(after).await?;
        jobs += page.records.len() as u64;
        compare_page(to, page.records, &mut counts, moved).await?;
        watch(Step::Compared { jobs, of: of.max(jobs) });
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let count =
        |((namespace, queue, state), (from, to))| Count { namespace, queue, state, from, to };
    moved.counts = counts.into_iter().map(count).collect();
    Ok(())
}

async fn compare_page(
    to: &Patient<'_>,
    records: Vec<Record>,
    counts: &mut Counts,
    moved: &mut Moved,
) -> Result<()> {
    let mut namespaces: BTreeMap<Name, Vec<Job>> = BTreeMap::new();
    for Record { job, .. } in records {
        namespaces.entry(job.namespace.clone()).or_default().push(job);
    }
    for (namespace, jobs) in namespaces {
        let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
        let there = to.get(&namespace, &ids).await?;
        for (job, there) in jobs.into_iter().zip(there) {
            count(counts, &job).0 += 1;
            if let Some(there) = &there {
                count(counts, there).1 += 1;
            }
            judge(job, there, moved);
        }
    }
    Ok(())
}

fn count<'a>(counts: &'a mut Counts, job: &Job) -> &'a mut (u64, u64) {
    let key = (job.namespace.clone(), job.queue.clone(), job.life.state.name());
    counts.entry(key).or_default()
}

fn judge(here: Job, there: Option<Job>, moved: &mut Moved) {
    let (here, there) = (shown(here), there.map(shown));
    match there {
        None => {
            moved.missing += 1;
            moved.sum_from = moved.sum_from.wrapping_add(digest(&here));
            let what = "is not in the destination; did that one prune or delete it?";
            moved.note(&here.namespace, here.id, what);
        }
        Some(there) if there != here && has_gone_on(&here, &there) => moved.went_on += 1,
        Some(there) => {
            moved.sum_from = moved.sum_from.wrapping_add(digest(&here));
            moved.sum_to = moved.sum_to.wrapping_add(digest(&there));
            if there != here {
                moved.different += 1;
                let what = format!("is different: {}", difference(&here, &there));
                moved.note(&here.namespace, here.id, what);
            }
        }
    }
}

/// A job without what a store gives it by itself: its number and, while it waits, its place, which
/// follows from `run_at` and priority.
fn shown(mut job: Job) -> Job {
    job.seq = 0;
    job.progress = None;
    if let State::Available(_) = job.life.state {
        job.life.state = State::Available(Place::Intake);
    }
    job
}

/// Whether the destination has run the job on since it arrived.
fn has_gone_on(here: &Job, there: &Job) -> bool {
    let way = |job: &Job| (job.life.max_losses, job.life.attempt, job.life.state.is_final());
    let as_inserted = |job: &Job| {
        (job.task.clone(), job.queue.clone(), job.priority, job.timeout_ms, job.created_at)
    };
    way(there) > way(here)
        && as_inserted(here) == as_inserted(there)
        && (&here.args, &here.extras) == (&there.args, &there.extras)
}

fn digest(job: &Job) -> u128 {
    // Debug writes every field, so that none can be forgotten here; the sums are compared within
    // one run only.
    xxh3_128(format!("{job:?}").as_bytes())
}

/// The first field that differs, in words.
fn difference(here: &Job, there: &Job) -> String {
    let (state, other) = (here.life.state.name(), there.life.state.name());
    if state != other {
        return format!("{state} in the source, {other} there");
    }
    let fields = [
        ("its task", here.task != there.task),
        ("its queue", here.queue != there.queue),
        ("its args", here.args != there.args),
        ("its result", here.result != there.result),
        ("its times", (here.created_at, here.run_at) != (there.created_at, there.run_at)),
        ("its end", here.finished_at != there.finished_at),
        ("its attempts", here.attempts != there.attempts),
        ("its error", here.error != there.error),
        ("its checkpoint", here.checkpoint != there.checkpoint),
        ("its counts", here.life != there.life),
    ];
    let first = fields.into_iter().find(|(_, differs)| *differs);
    first.map_or("one of its options", |(field, _)| field).to_owned()
}
