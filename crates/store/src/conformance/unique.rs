//! Unique keys, and jobs that are changed while they wait.

use std::sync::Arc;

use taskwright_core::{
    Extras, JobId, Json, Name, NewJob, OnConflict, Place, Replace, State, StateName, Unique, Until,
};

use super::Harness;
use super::scene::*;
use crate::request::*;

const FINISHED: Until = Until::Finished;
const A_MINUTE: Until = Until::Elapsed { ms: 60_000 };

/// A job with a unique key.
fn unique(number: u128, key: &str, until: Until) -> NewJob {
    let unique = Some(Unique { key: key.into(), until });
    NewJob { extras: Extras { unique, ..Extras::default() }, ..job(number) }
}

fn replacing(number: u128, replace: Replace) -> NewJob {
    NewJob { on_conflict: OnConflict::Replace(replace), ..unique(number, "key", FINISHED) }
}

fn adjust(
    number: u128,
    priority: Option<i8>,
    run_at: Option<taskwright_core::Timestamp>,
) -> Command {
    Command::Adjust { namespace: Name::default_name(), id: id(number), priority, run_at }
}

impl Scene<'_> {
    async fn insert_one(&self, job: NewJob) -> Inserted {
        self.insert(vec![job]).await.remove(0)
    }

    /// Inserts a job whose key another one holds.
    async fn is_duplicate(&self, job: NewJob, holder: u128) -> (StateName, bool) {
        match self.insert_one(job).await {
            Inserted::Duplicate { id, state, replaced, .. } if id == self::id(holder) => {
                (state, replaced)
            }
            other => panic!("a duplicate of {holder}: {other:?}"),
        }
    }
}

/// The second job with a key is not written; the answer names the first.
pub async fn a_unique_key_has_one_holder(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let elsewhere = NewJob { namespace: name("elsewhere"), ..unique(4, "key", FINISHED) };
    let jobs = vec![unique(1, "key", FINISHED), unique(2, "key", FINISHED), elsewhere];

    let answers = scene.insert(jobs).await;

    let Inserted::New { seq } = answers[0] else { panic!("new: {answers:?}") };
    let state = StateName::Available;
    let duplicate = Inserted::Duplicate { id: id(1), seq, state, replaced: false };
    assert_eq!(answers[1], duplicate);
    assert!(matches!(answers[2], Inserted::New { .. }), "keys belong to a namespace: {answers:?}");
    assert_eq!(scene.insert_one(unique(2, "key", Until::Claimed)).await, duplicate);
    assert_eq!(
        scene.insert_one(unique(1, "key", FINISHED)).await,
        Inserted::Existing { seq, state }
    );
    scene.add(vec![unique(3, "another", FINISHED)]).await;
    assert_eq!(scene.find(2).await, None);
    assert_eq!(scene.counts("default").await.ready, 2);
}

/// A job may ask to be refused rather than to be a duplicate.
pub async fn a_taken_key_refuses_where_asked(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![unique(1, "key", FINISHED)]).await;
    let strict = |n| NewJob { on_conflict: OnConflict::Refuse, ..unique(n, "key", FINISHED) };
    let taken = Inserted::Refused(Refusal::UniqueTaken { key: "key".into(), holder: id(1) });

    let answers = scene.insert(vec![unique(3, "other", FINISHED), strict(2)]).await;
    assert_eq!(answers, [Inserted::Skipped, taken.clone()]);
    assert_eq!(scene.find(3).await, None, "all or nothing");

    let twins = vec![NewJob { ..unique(4, "twin", FINISHED) }, {
        NewJob { on_conflict: OnConflict::Refuse, ..unique(5, "twin", FINISHED) }
    }];
    let answers = scene.insert(twins.clone()).await;
    let by_twin = Refusal::UniqueTaken { key: "twin".into(), holder: id(4) };
    assert_eq!(answers, [Inserted::Skipped, Inserted::Refused(by_twin.clone())]);
    assert_eq!(scene.find(4).await, None, "nor is its twin");

    let insert = Insert { jobs: [twins, vec![strict(2)]].concat(), partial: true };
    let answers = scene.store.insert(insert).await.expect("an insert");
    assert!(matches!(answers[0], Inserted::New { .. }), "{answers:?}");
    assert_eq!(answers[1..], [Inserted::Refused(by_twin), taken]);
}

/// Of many who ask at the same time one gets the key.
pub async fn a_unique_key_is_won_by_one(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    for round in 0..10 {
        let key = format!("key {round}");
        let ask = |caller: u128| {
            let store = Arc::clone(&scene.store);
            let jobs = vec![unique(round * 100 + caller + 1, &key, FINISHED)];
            tokio::spawn(async move { store.insert(Insert { jobs, partial: false }).await })
        };
        let asked: Vec<_> = (0..20).map(ask).collect();
        let mut winners = Vec::new();
        let mut named = Vec::new();
        for (caller, answer) in (0..).zip(asked) {
            let answers = answer.await.expect("no panic").expect("an insert");
            match answers[0] {
                Inserted::New { .. } => winners.push(id(round * 100 + caller + 1)),
                Inserted::Duplicate { id, .. } => named.push(id),
                ref other => panic!("{other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert!(named.iter().all(|id| *id == winners[0]), "round {round}: {named:?}");
    }
}

/// A key is free in the moment in which its job ends or is claimed, as it was asked.
pub async fn a_unique_key_is_free_at_once(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    scene.add(vec![unique(1, "key", FINISHED), unique(2, "early", Until::Claimed)]).await;
    assert!(!scene.is_duplicate(unique(3, "early", Until::Claimed), 2).await.1);

    let claimed = scene.take(&mut worker, 2).await;
    scene.add(vec![unique(3, "early", Until::Claimed)]).await;
    let running = (StateName::Running, false);
    assert_eq!(scene.is_duplicate(unique(4, "key", FINISHED), 1).await, running);

    scene.report(&claimed[0], failed()).await;
    let retrying = (StateName::Available, false);
    assert_eq!(scene.is_duplicate(unique(4, "key", FINISHED), 1).await, retrying);
    scene.report(&claimed[1], failed()).await;
    let again = scene.is_duplicate(unique(5, "early", Until::Claimed), 3).await;
    assert!(!again.1, "a retry does not take its key again");

    scene.command(cancel(1, "enough")).await;
    scene.add(vec![unique(4, "key", FINISHED)]).await;
    scene.command(cancel(2, "enough")).await;
    scene.command(cancel(3, "enough")).await;
    let completed = scene.take_one(&mut worker).await;
    assert_eq!(completed.id, id(4));
    scene.report(&completed, self::completed()).await;
    let expires_at = Some(scene.now().plus(SECOND));
    let mut short = unique(6, "key", FINISHED);
    short.extras.expires_at = expires_at;
    scene.add(vec![short]).await;
    scene.clock.advance(MINUTE);
    scene.sweep().await;
    scene.add(vec![unique(7, "key", FINISHED)]).await;
    let dying = scene.take_one(&mut worker).await;
    let error = taskwright_core::JobError::new("error", "final");
    scene.report(&dying, Outcome::Failed { error, retry: Retry::Never }).await;
    scene.add(vec![unique(8, "key", FINISHED)]).await;
}

/// A key may be held for a time, whatever becomes of the job, as long as the job is kept.
pub async fn a_unique_key_is_held_for_its_time(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    scene.add(vec![unique(1, "key", A_MINUTE), unique(2, "other", A_MINUTE)]).await;
    for job in scene.take(&mut worker, 2).await {
        scene.report(&job, completed()).await;
    }
    let ended = (StateName::Completed, false);
    assert_eq!(scene.is_duplicate(unique(3, "key", A_MINUTE), 1).await, ended);
    let replace = OnConflict::Replace(Replace::throttle());
    let replacing = NewJob { on_conflict: replace, ..unique(3, "key", A_MINUTE) };
    assert_eq!(scene.is_duplicate(replacing, 1).await, ended, "an ended job stays as it is");

    scene.command(delete(2)).await;
    scene.add(vec![unique(4, "other", A_MINUTE)]).await;

    scene.clock.advance(MINUTE);
    scene.add(vec![unique(3, "key", A_MINUTE)]).await;
    assert_eq!(scene.job(1).await.life.state.name(), StateName::Completed);
}

/// A waiting job gets the fields of the new one that were named, and no others.
pub async fn a_waiting_job_is_replaced(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let in_an_hour = Some(scene.now().plus(HOUR));
    scene.add(vec![NewJob { run_at: in_an_hour, ..replacing(1, Replace::default()) }]).await;
    let tags = vec![Arc::from("new")];
    let fields = |number: u128, replace| {
        let mut new = replacing(number, replace);
        new.extras.tags.clone_from(&tags);
        let run_at = Some(scene.now().plus(MINUTE));
        NewJob { priority: 7, max_attempts: 3, timeout_ms: Some(1_000), run_at, ..new }
    };
    let before = scene.job(1).await;

    let only_args = Replace { args: true, ..Replace::default() };
    assert_eq!(scene.is_duplicate(fields(2, only_args), 1).await, (StateName::Available, true));
    let after = scene.job(1).await;
    assert_eq!(after.args, Some(Json::from_trusted("2")));
    assert_eq!(taskwright_core::Job { args: before.args.clone(), ..after }, before);

    let all = Replace {
        args: true,
        priority: true,
        run_at: true,
        max_attempts: true,
        timeout: true,
        tags: true,
        ..Replace::default()
    };
    assert!(scene.is_duplicate(fields(3, all), 1).await.1);
    let after = scene.job(1).await;
    let due_at = scene.now().plus(MINUTE);
    assert_eq!((after.id, after.seq, after.created_at), (id(1), before.seq, before.created_at));
    assert_eq!((after.priority, after.timeout_ms, after.run_at), (7, Some(1_000), due_at));
    assert_eq!((after.life.max_attempts, &after.extras.tags), (3, &tags));
    assert_eq!(after.life.state, State::Available(Place::Until(due_at)));
    assert_eq!(
        scene.insert_one(unique(1, "key", FINISHED)).await,
        Inserted::Existing { seq: before.seq, state: StateName::Available }
    );
    let tagged = Filter { tag: Some("new".into()), ..everything() };
    assert_eq!(scene.list(tagged).await.jobs.len(), 1, "lists find it by its new tag");

    scene.clock.advance(MINUTE);
    scene.sweep().await;
    let mut worker = Hand::new(1);
    let claimed = scene.take_one(&mut worker).await;
    let given = (claimed.args.as_str(), claimed.priority, claimed.max_attempts, claimed.timeout_ms);
    assert_eq!(given, ("3", 7, 3, Some(1_000)));
    assert_eq!(scene.is_duplicate(fields(4, all), 1).await, (StateName::Running, false));
    scene.report(&claimed, Outcome::Released).await;
    assert_eq!(
        scene.is_duplicate(fields(4, all), 1).await,
        (StateName::Available, false),
        "it was claimed once"
    );
}

/// A stream of jobs becomes one run when it pauses, or at the latest when it was said.
pub async fn a_debounce_waits_for_a_pause(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let debounce = Replace::debounce(Some(150_000));
    let first = scene.now();
    let ask = |number: u128| NewJob {
        run_at: Some(scene.now().plus(MINUTE)),
        ..replacing(number, debounce)
    };
    scene.add(vec![ask(1)]).await;
    for (number, due_after) in [(2, 110), (3, 150), (4, 150)] {
        scene.clock.advance(50 * SECOND);
        scene.sweep().await;
        if number == 4 {
            break;
        }
        assert!(scene.is_duplicate(ask(number), 1).await.1);
        assert_eq!(scene.job(1).await.run_at, first.plus(SECOND * due_after), "after {number}");
    }
    let mut worker = Hand::new(1);
    assert_eq!(scene.take_one(&mut worker).await.args.as_str(), "3");
}

/// A job that is ready can be pushed back, and one that waits be made ready at once.
pub async fn a_replaced_job_changes_its_place(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let push = Replace { run_at: true, ..Replace::default() };
    scene.add(vec![replacing(1, push)]).await;
    let scheduled_only = Replace { scheduled_only: true, ..push };
    let later = |number, replace| NewJob {
        run_at: Some(scene.now().plus(HOUR)),
        ..replacing(number, replace)
    };
    assert!(!scene.is_duplicate(later(2, scheduled_only), 1).await.1, "it is ready");
    assert!(scene.is_duplicate(later(2, push), 1).await.1);
    let mut worker = Hand::new(1);
    assert_eq!(numbers(&scene.take(&mut worker, 1).await), [] as [u128; 0]);
    assert_eq!(scene.counts("default").await.scheduled, 1);

    let store = Arc::clone(&scene.store);
    let claim = Claim { wait: MINUTE, ..worker.next_claim(1) };
    let waiting = tokio::spawn(async move { store.claim(claim).await });
    assert!(scene.is_duplicate(replacing(3, push), 1).await.1);
    let claimed = waiting.await.expect("no panic").expect("a claim");
    assert_eq!(numbers(&claimed), [1], "a waiting claim is fed");
}

/// A redrive does not take a key from its new holder.
pub async fn a_redrive_needs_its_key(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![unique(1, "key", FINISHED)]).await;
    scene.command(cancel(1, "not now")).await;
    scene.add(vec![unique(2, "key", FINISHED)]).await;
    assert_eq!(scene.command(redrive(1, 0)).await, Controlled::Taken { holder: id(2) });
    assert_eq!(scene.state(1).await, StateName::Cancelled);
    scene.command(cancel(2, "not now")).await;
    assert_eq!(scene.command(redrive(1, 0)).await, done(StateName::Available));
    assert_eq!(scene.command(redrive(2, 0)).await, Controlled::Taken { holder: id(1) });
    assert_eq!(scene.is_duplicate(unique(3, "key", FINISHED), 1).await.0, StateName::Available);
}

/// Who holds which key outlives the process.
pub async fn unique_keys_survive_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    let until_claimed = unique(4, "early", Until::Claimed);
    scene.add(vec![unique(1, "ended", FINISHED), unique(2, "ended for a time", A_MINUTE)]).await;
    scene.add(vec![until_claimed, unique(3, "waits", FINISHED)]).await;
    for job in scene.take(&mut worker, 3).await.iter().take(2) {
        scene.report(job, completed()).await;
    }
    assert!(scene.is_duplicate(replacing_key(9, "waits"), 3).await.1);
    let Some(scene) = scene.restarted().await else { return };

    scene.add(vec![unique(5, "ended", FINISHED), unique(6, "early", Until::Claimed)]).await;
    let ended = (StateName::Completed, false);
    assert_eq!(scene.is_duplicate(unique(7, "ended for a time", A_MINUTE), 2).await, ended);
    let waiting = (StateName::Available, false);
    assert_eq!(scene.is_duplicate(unique(7, "waits", FINISHED), 3).await, waiting);
    assert_eq!(scene.job(3).await.args, Some(Json::from_trusted("9")), "what was replaced, too");
    scene.clock.advance(MINUTE);
    scene.add(vec![unique(7, "ended for a time", A_MINUTE)]).await;
}

fn replacing_key(number: u128, key: &str) -> NewJob {
    let on_conflict = OnConflict::Replace(Replace::throttle());
    NewJob { on_conflict, ..unique(number, key, FINISHED) }
}

/// An import does not take a key from its holder.
pub async fn an_import_needs_its_key(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let origin = crate::model::NaiveStore::new(Arc::clone(&scene.clock) as Arc<_>);
    let origin = scene.beside(Arc::new(origin));
    origin.add(vec![unique(1, "key", FINISHED), unique(2, "other", FINISHED)]).await;
    origin.command(cancel(2, "not now")).await;
    scene.add(vec![unique(3, "key", FINISHED), unique(4, "other", FINISHED)]).await;
    let records = origin.store.export(None, 10).await.expect("an export").records;

    let answers = scene.store.import(records).await.expect("an import");

    let taken = Refusal::UniqueTaken { key: "key".into(), holder: id(3) };
    assert_eq!(answers[0], crate::moving::Imported::Refused(taken));
    let is_new = matches!(answers[1], crate::moving::Imported::New { .. });
    assert!(is_new, "an ended job holds no such key: {answers:?}");
    let ids: Vec<JobId> = scene.list(everything()).await.jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), 3);
}

/// People change how urgent a waiting job is, and when it runs.
pub async fn a_waiting_job_is_adjusted(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(jobs(1..=4)).await;
    assert_eq!(scene.command(adjust(3, Some(10), None)).await, done(StateName::Available));
    assert_eq!(scene.peek(4).await, [3, 1, 2, 4]);
    assert_eq!(scene.job(3).await.priority, 10);
    let later = scene.now().plus(HOUR);
    assert_eq!(scene.command(adjust(1, None, Some(later))).await, done(StateName::Available));
    assert_eq!(scene.job(1).await.run_at, later);
    assert_eq!(scene.counts("default").await.scheduled, 1);
    assert_eq!(scene.peek(4).await, [3, 2, 4]);

    let mut worker = Hand::new(1);
    let first = scene.take_one(&mut worker).await;
    assert_eq!((first.id, first.priority), (id(3), 10));
    let running = Controlled::Refused { state: StateName::Running };
    assert_eq!(scene.command(adjust(3, Some(0), None)).await, running);
    assert_eq!(scene.command(adjust(9, Some(0), None)).await, Controlled::NotFound);
    scene.report(&first, completed()).await;
    let ended = Controlled::Refused { state: StateName::Completed };
    assert_eq!(scene.command(adjust(3, Some(0), None)).await, ended);

    let long_ago = Some(scene.now().minus(HOUR));
    assert_eq!(scene.command(adjust(1, Some(-1), long_ago)).await, done(StateName::Available));
    assert_eq!(scene.job(1).await.run_at, scene.now(), "no earlier than now");
    assert_eq!(numbers(&scene.take(&mut worker, 3).await), [2, 4, 1]);
}
