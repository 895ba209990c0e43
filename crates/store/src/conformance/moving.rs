//! Export and import: jobs that move from one store to another.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::{
    ATTEMPTS_KEPT_FIRST, ATTEMPTS_KEPT_LAST, BATCH_BYTES_MAX, BATCH_MAX, PAYLOAD_BYTES_MAX,
};
use taskwright_core::{Extras, JobError, Json, Name, NewJob, Shard, State, StateName, Verdict};

use super::Harness;
use super::scene::*;
use crate::error::ErrorKind;
use crate::model::NaiveStore;
use crate::moving::{Exported, Imported, QueueSettings, Record, check_batch};
use crate::request::*;
use crate::retention::Retention;
use crate::view::Job;

/// Pages bring each job once, by growing `seq`, of all namespaces and in all states, as `get` shows
/// it; the first page brings the settings.
pub async fn an_export_pages_through_everything(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    assert_eq!(
        scene.store.export(None, 4).await.expect("an export"),
        Exported { settings: Some(crate::Settings::default()), ..Exported::default() }
    );
    let ids = live(&scene).await;
    scene.command(pause("empty")).await;
    scene.command(pause("default")).await;

    let first = scene.store.export(None, 4).await.expect("a page");
    let queue = |namespace: &str, queue: &str, paused| QueueSettings {
        namespace: name(namespace),
        queue: name(queue),
        paused,
    };
    let settings = first.settings.expect("the settings").queues;
    let wanted = [
        queue("default", "default", true),
        queue("default", "empty", true),
        queue("elsewhere", "default", false),
    ];
    assert_eq!(settings, wanted);
    let mut records = first.records;
    let mut after = first.next;
    assert_eq!(after, Some(records[3].job.seq), "the cursor is the last seq");
    while let Some(cursor) = after {
        let page = scene.store.export(Some(cursor), 4).await.expect("a page");
        assert!(page.records.len() <= 4 && !page.records.is_empty());
        assert_eq!(page.settings, None);
        records.extend(page.records);
        after = page.next;
    }
    let beyond = records.last().map(|record| record.job.seq);
    assert_eq!(scene.store.export(beyond, 4).await.expect("a page"), Exported::default());
    assert!(records.is_sorted_by_key(|record| record.job.seq));
    assert_eq!(records.len(), ids.len());
    for (record, id) in records.iter().zip(&ids) {
        assert_eq!((&record.job.namespace, record.job.id.as_u128()), (&id.0, id.1));
        assert_eq!(Some(&record.job), shown(&scene, id).await.as_ref());
    }
}

/// A page of long texts is short, and none is too long for an import.
pub async fn s11_pages_are_bounded_in_bytes(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let text = Json::from_trusted(format!("{:?}", "x".repeat(PAYLOAD_BYTES_MAX - 2)));
    for number in 1..=11 {
        scene.add(vec![NewJob { args: text.clone(), ..job(number) }]).await;
    }
    let (mut after, mut pages, mut count) = (None, 0, 0);
    loop {
        let page = scene.store.export(after, BATCH_MAX).await.expect("a page");
        let bytes: usize = page.records.iter().map(Record::bytes).sum();
        assert!(bytes <= BATCH_BYTES_MAX, "{bytes} bytes");
        check_batch(&page.records).expect("a batch to import");
        (after, pages, count) = (page.next, pages + 1, count + page.records.len());
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, count), (2, 11));
}

/// Jobs of every kind, moved out of the store and into it: they show the same but for their `seq`.
pub async fn a_moved_job_shows_the_same(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    let ids = live(&other).await;
    let records = everything_of(&other).await;
    scene.add(vec![job(900)]).await;

    let mut imported = Vec::new();
    for records in records.chunks(5) {
        imported.extend(import(&scene, records.to_vec()).await);
    }
    let is_new = |answer: &Imported| matches!(answer, Imported::New { .. });
    assert!(imported.iter().all(is_new), "{imported:?}");
    assert_moved(&other, &scene, &ids).await;
    let back = scene.beside(naive(&scene));
    let out = everything_of(&scene).await;
    import(&back, out.into_iter().filter(|record| record.job.id != id(900)).collect()).await;
    assert_moved(&other, &back, &ids).await;
    for namespace in ["default", "elsewhere"] {
        let (there, here) = (counts(&other, namespace).await, counts(&back, namespace).await);
        assert_eq!(there, here, "in {namespace}");
    }

    let Some(scene) = scene.restarted().await else { return };
    assert_moved(&other, &scene, &ids).await;
}

/// What is hidden comes along: digest, allowance, the newest report and the number of the attempt.
pub async fn what_a_job_hides_is_moved_too(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    other.add(vec![NewJob { max_attempts: 2, ..job(1) }, job(2)]).await;
    let mut worker = Hand::new(1);
    let mut last = None;
    for _ in 0..2 {
        let claimed = other.take_one(&mut worker).await;
        other.report(&claimed, failed()).await;
        last = Some(claimed);
    }
    let last = last.expect("an attempt");
    import(&scene, everything_of(&other).await).await;

    let again = scene.insert(vec![NewJob { max_attempts: 2, ..job(1) }, job(2)]).await;
    let is_known = |answer: &Inserted| matches!(answer, Inserted::Existing { .. });
    assert!(again.iter().all(is_known), "{again:?}");
    let different = scene.insert(vec![NewJob { fingerprint: 9, ..job(2) }]).await;
    assert_eq!(different, [Inserted::Refused(Refusal::IdConflict(id(2)))]);
    assert_eq!(scene.report(&last, failed()).await, Reported::Already);
    assert_eq!(scene.report(&last, completed()).await, Reported::Stale);
    scene.command(redrive(1, 0)).await;
    assert_eq!(scene.job(1).await.life.max_attempts, 4, "2 failures, and 2 more attempts");
    let claimed = scene.take(&mut Hand::new(2), 2).await;
    let attempts: Vec<_> = claimed.iter().map(|job| (job.id, job.token.attempt)).collect();
    assert!(attempts.contains(&(id(1), 3)), "numbers of attempts go on: {attempts:?}");
    assert!(attempts.contains(&(id(2), 1)), "{attempts:?}");
}

/// The same import again changes nothing, whatever became of the jobs meanwhile.
pub async fn s4_an_import_may_be_repeated(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    other.add(jobs(1..=4)).await;
    other.command(cancel(4, "not needed")).await;
    let records = everything_of(&other).await;
    scene.add(vec![job(3)]).await;
    let known = scene.job(3).await.seq;
    let twin = Record { fingerprint: 77, ..records[0].clone() };
    let with_twins = records.iter().cloned().chain([records[0].clone(), twin]).collect();

    let answers = import(&scene, with_twins).await;
    let seqs: Vec<_> = answers.iter().filter_map(new_seq).collect();
    assert_eq!(seqs.len(), 3);
    assert!(seqs.is_sorted() && seqs[0] > known, "{seqs:?}");
    let existing = |seq, state| Imported::Existing { seq, state };
    assert_eq!(answers[2], existing(known, StateName::Available));
    assert_eq!(answers[4], existing(seqs[0], StateName::Available));
    assert_eq!(answers[5], Imported::Refused(Refusal::IdConflict(id(1))));

    let claimed = scene.take(&mut Hand::new(1), 1).await;
    scene.report(&claimed[0], completed()).await;
    scene.command(delete(4)).await;
    let done = claimed[0].id.as_u128();
    let before = scene.list(everything()).await;
    let again = import(&scene, records.clone()).await;
    let is_existing = |answer: &Imported| matches!(answer, Imported::Existing { .. });
    assert!(again.iter().all(is_existing), "{again:?}");
    assert_eq!(scene.list(everything()).await, before);
    assert_eq!(scene.state(done).await, StateName::Completed);
    assert_eq!(scene.find(4).await, None, "a deleted id is remembered");

    let Some(scene) = scene.restarted().await else { return };
    let again = import(&scene, records).await;
    assert!(again.iter().all(is_existing), "{again:?}");
    assert_eq!(scene.list(everything()).await, before);
}

/// An attempt that runs elsewhere is given back unspent; its worker has no say here.
pub async fn an_import_releases_what_ran(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    other.add(jobs(1..=2)).await;
    let claimed = other.take(&mut Hand::new(1), 2).await;
    other.command(cancel(2, "not needed")).await;
    scene.clock.advance(MINUTE);
    import(&scene, everything_of(&other).await).await;

    let job = scene.job(1).await;
    let (there, now) = (other.job(1).await, scene.now());
    assert_eq!(job.life.state.name(), StateName::Available);
    assert_eq!((job.life.attempt, job.life.failures, job.life.released), (1, 0, 1));
    assert_eq!(
        (job.run_at, job.started_at, job.worker),
        (there.run_at, there.started_at, there.worker)
    );
    assert_eq!(job.attempts.len(), 1);
    assert_eq!((job.attempts[0].verdict, job.attempts[0].ended_at), (Verdict::Released, now));
    let cancelled = scene.job(2).await;
    assert_eq!(cancelled.life.state, State::Cancelled);
    assert_eq!(cancelled.finished_at, Some(now));
    assert_eq!(cancelled.cancel_reason.as_deref(), Some("not needed"));
    assert_eq!(scene.report(&claimed[0], completed()).await, Reported::Stale);
    assert_eq!(scene.sweep().await.lapsed, 0);
    let next = scene.take_one(&mut Hand::new(1)).await;
    assert_eq!((next.id, next.token.attempt), (id(1), 2));
    assert_eq!(scene.report(&next, completed()).await, applied(StateName::Completed));
}

/// Imported jobs are claimed in their order among each other and among those that are there.
pub async fn imported_jobs_keep_their_order(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    other.add(vec![NewJob { priority: -1, ..job(1) }, job(2), job(3)]).await;
    let run_at = Some(scene.now().plus(2 * MINUTE));
    other
        .add(vec![
            NewJob { run_at, ..job(4) },
            NewJob { run_at: Some(scene.now().plus(HOUR)), ..job(5) },
        ])
        .await;
    scene.clock.advance(SECOND);
    scene.add(vec![job(10)]).await;
    scene.clock.advance(3 * MINUTE);
    import(&scene, everything_of(&other).await).await;

    assert_eq!(scene.peek(9).await, [2, 3, 10, 1, 4]);
    assert_eq!(scene.state(5).await, StateName::Available);
    assert_eq!(numbers(&scene.take(&mut Hand::new(1), 9).await), [2, 3, 10, 1, 4]);
    scene.clock.advance(HOUR);
    scene.sweep().await;
    assert_eq!(numbers(&scene.take(&mut Hand::new(2), 9).await), [5]);
}

/// A claim that waits is answered by an import.
pub async fn a_waiting_claim_is_fed_by_an_import(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    other.add(jobs(1..=2)).await;
    let mut worker = Hand::new(1);
    let claim = Claim { wait: Duration::from_secs(20), ..worker.next_claim(9) };
    let store = Arc::clone(&scene.store);
    let claim = tokio::spawn(async move { store.claim(claim).await });
    while scene.store.workers(&Name::default_name()).await.expect("the workers").is_empty() {
        tokio::task::yield_now().await;
    }
    import(&scene, everything_of(&other).await).await;
    let claimed = claim.await.expect("the worker").expect("a claim");
    assert_eq!(numbers(&claimed), [1, 2]);
}

/// Ended jobs that come from elsewhere are kept as long as this store keeps such jobs.
pub async fn s7_imported_jobs_are_pruned_like_others(harness: &dyn Harness) {
    let retention = Retention { age: HOUR, ..Retention::default() };
    let scene = Scene::keeping(harness, retention).await;
    let other = scene.beside(naive(&scene));
    other.add(jobs(1..=2)).await;
    other.command(cancel(1, "early")).await;
    scene.clock.advance(HOUR - MINUTE);
    other.command(cancel(2, "late")).await;
    import(&scene, everything_of(&other).await).await;
    assert_eq!(scene.sweep().await.pruned, 0);
    scene.clock.advance(MINUTE);
    assert_eq!(scene.sweep().await.pruned, 1);
    assert_eq!(scene.find(1).await, None);
    assert_eq!(scene.state(2).await, StateName::Cancelled);
    assert_eq!(scene.counts("default").await.cancelled, 1);
}

/// More at once than there may be is refused as a whole.
pub async fn s11_imports_are_limited(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let other = scene.beside(naive(&scene));
    other.add(vec![job(1)]).await;
    let record = everything_of(&other).await.remove(0);
    let nth = |number: u128| {
        let job = Job { id: id(number), ..record.job.clone() };
        Record { job, ..record.clone() }
    };
    let too_many = (1..=BATCH_MAX as u128 + 1).map(nth).collect();
    let error = scene.store.import(too_many).await.expect_err("too many");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(scene.find(1).await, None);
    import(&scene, (1..=BATCH_MAX as u128).map(nth).collect()).await;
    assert_eq!(scene.counts("default").await.ready, BATCH_MAX as u64);
}

type Id = (Name, u128);

/// Lets jobs come into all kinds of states; their ids, in the order of their insertion.
async fn live(scene: &Scene<'_>) -> Vec<Id> {
    let extras = Extras {
        tags: vec!["red".into(), "blue".into()],
        cost: 3,
        trace: Some("00-trace".into()),
        shard: Some(Shard { index: 0, total: 2 }),
        ..Extras::default()
    };
    let timeout_ms = Some(90_000);
    scene.add(jobs(1..=8)).await;
    let run_at = Some(scene.now().plus(HOUR));
    scene.add(vec![NewJob { run_at, extras, priority: 3, timeout_ms, ..job(9) }]).await;
    scene.add(vec![NewJob { namespace: name("elsewhere"), ..job(1) }]).await;
    let expires_at = Some(scene.now().plus(MINUTE));
    let brief = Extras { expires_at, ..Extras::default() };
    scene.add(vec![NewJob { extras: brief, task: name("brief"), ..job(10) }]).await;
    scene.add(vec![NewJob { task: name("often"), ..job(11) }]).await;
    let mut often = Hand::serving(7, &["default"], Some(&["often"]));
    for round in 0..ATTEMPTS_KEPT_FIRST + ATTEMPTS_KEPT_LAST + 2 {
        scene.clock.advance(SECOND);
        let claimed = scene.take_one(&mut often).await;
        let outcome = if round % 2 == 0 { Outcome::Released } else { failed() };
        scene.report(&claimed, outcome).await;
    }
    let mut worker = Hand::serving(1, &["default"], Some(&["task"]));
    let claimed = scene.take(&mut worker, 6).await;
    let result = Some(Json::from_trusted(r#"{"sum":4}"#));
    scene.report(&claimed[0], Outcome::Completed { result }).await;
    let later = Outcome::Failed {
        error: JobError::new("error", "it broke"),
        retry: Retry::After(Duration::from_secs(90)),
    };
    scene.report(&claimed[1], later).await;
    let error = JobError::new("panic", "it broke for good");
    scene.report(&claimed[2], Outcome::Failed { error, retry: Retry::Never }).await;
    scene.report(&claimed[3], Outcome::Snoozed { delay: MINUTE }).await;
    let value = Json::from_trusted(format!("{:?}", "half".repeat(5_000)));
    scene.report(&claimed[4], Outcome::Checkpoint { value }).await;
    scene.report(&claimed[4], Outcome::Released).await;
    let error = JobError::new("error", "it broke");
    scene.report(&claimed[5], Outcome::Failed { error, retry: Retry::Never }).await;
    scene.command(redrive(6, 3)).await;
    scene.command(cancel(7, "not needed")).await;
    scene.clock.advance(2 * MINUTE);
    scene.sweep().await;
    let default = (1..=9).map(|number| (Name::default_name(), number));
    let rest = [(name("elsewhere"), 1), (Name::default_name(), 10), (Name::default_name(), 11)];
    default.chain(rest).collect()
}

pub(super) fn naive(scene: &Scene<'_>) -> Arc<dyn crate::Store> {
    Arc::new(NaiveStore::new(scene.clock.clone()))
}

pub(super) async fn everything_of(scene: &Scene<'_>) -> Vec<Record> {
    let page = scene.store.export(None, BATCH_MAX).await.expect("an export");
    assert_eq!(page.next, None, "one page holds everything");
    page.records
}

pub(super) async fn import(scene: &Scene<'_>, records: Vec<Record>) -> Vec<Imported> {
    let count = records.len();
    let answers = scene.store.import(records).await.expect("an import");
    assert_eq!(answers.len(), count, "one answer for each record");
    answers
}

async fn shown(scene: &Scene<'_>, (namespace, number): &Id) -> Option<Job> {
    let jobs = scene.store.get(namespace, &[id(*number)]).await.expect("a get");
    jobs.into_iter().next().flatten()
}

/// The jobs show the same in both stores but for their numbers, which grow in the same order.
async fn assert_moved(from: &Scene<'_>, to: &Scene<'_>, ids: &[Id]) {
    let mut last = 0;
    for id in ids {
        let there = shown(from, id).await.expect("the job");
        let here = shown(to, id).await.expect("the moved job");
        assert!(here.seq > last, "numbers grow in the old order");
        last = here.seq;
        assert_eq!(here, Job { seq: here.seq, ..there });
    }
}

async fn counts(scene: &Scene<'_>, namespace: &str) -> Vec<crate::QueueCounts> {
    scene.store.counts(&name(namespace)).await.expect("counts")
}

fn new_seq(answer: &Imported) -> Option<u64> {
    match answer {
        Imported::New { seq } => Some(*seq),
        _ => None,
    }
}
