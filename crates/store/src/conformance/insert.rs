//! Insert.

use std::sync::Arc;

use taskwright_core::limits::{BATCH_MAX, ID_WINDOW, LANES_MAX};
use taskwright_core::{
    Extras, Json, Name, NewJob, RetryPolicy, Shard, StateName, Timestamp, Unique, Until,
};

use super::Harness;
use super::scene::*;
use crate::request::*;

/// One refused job keeps the whole call out, and the answer says which one it was.
pub async fn s2_insert_is_all_or_nothing(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let other = NewJob { fingerprint: 99, ..job(1) };

    let answers = scene.insert(vec![job(2), other, job(1), job(3)]).await;

    let refused = Inserted::Refused(Refusal::IdConflict(id(1)));
    assert_eq!(answers, [Inserted::Skipped, refused, Inserted::Skipped, Inserted::Skipped]);
    assert_eq!(scene.find(2).await, None);
    assert_eq!(scene.find(3).await, None);
    assert_eq!(scene.counts("default").await.ready, 1);
    scene.add(vec![job(2), job(3)]).await;
}

/// With `partial` each job stands for itself.
pub async fn s2_a_partial_insert_writes_what_it_can(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let other = NewJob { fingerprint: 99, ..job(1) };
    let insert = Insert { jobs: vec![job(2), other, job(1), job(3)], partial: true };

    let answers = scene.store.insert(insert).await.expect("an insert");

    assert!(matches!(answers[0], Inserted::New { .. }), "{answers:?}");
    assert_eq!(answers[1], Inserted::Refused(Refusal::IdConflict(id(1))));
    assert!(matches!(answers[2], Inserted::Existing { .. }), "{answers:?}");
    assert!(matches!(answers[3], Inserted::New { .. }), "{answers:?}");
    assert_eq!(scene.counts("default").await.ready, 3);
}

/// A repeated insert changes nothing and says what became of the job.
pub async fn s4_a_repeated_insert_answers_existing(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let first = scene.insert(jobs(1..=3)).await;
    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, 2).await;
    scene.report(&claimed[0], completed()).await;

    let again = scene.insert(jobs(1..=4)).await;

    let states = [StateName::Completed, StateName::Running, StateName::Available];
    for ((first, again), state) in first.iter().zip(&again).zip(states) {
        let Inserted::New { seq } = *first else { panic!("new at first: {first:?}") };
        assert_eq!(*again, Inserted::Existing { seq, state });
    }
    assert!(matches!(again[3], Inserted::New { .. }), "{again:?}");
    assert_eq!(scene.list(everything()).await.jobs.len(), 4);
}

/// The same id with another fingerprint is refused, and the first job stays as it was.
pub async fn s4_an_id_with_another_body_is_a_conflict(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    let before = scene.job(1).await;
    let other = NewJob { fingerprint: 99, args: Json::from_trusted("[]"), ..job(1) };

    let answers = scene.insert(vec![other]).await;

    assert_eq!(answers, [Inserted::Refused(Refusal::IdConflict(id(1)))]);
    assert_eq!(scene.job(1).await, before);
}

/// Two items of one call with the same id are a repetition or a conflict, too.
pub async fn s4_items_of_one_call_know_each_other(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let answers = scene.insert(vec![job(1), job(2), job(1)]).await;
    let Inserted::New { seq } = answers[0] else { panic!("new: {answers:?}") };
    assert_eq!(answers[2], Inserted::Existing { seq, state: StateName::Available });
    assert_eq!(scene.counts("default").await.ready, 2);

    let other = NewJob { fingerprint: 99, ..job(3) };
    let answers = scene.insert(vec![job(3), other]).await;
    assert_eq!(answers, [Inserted::Skipped, Inserted::Refused(Refusal::IdConflict(id(3)))]);
    assert_eq!(scene.find(3).await, None);
}

/// Of callers that insert the same job at the same time, one writes it and all learn its number.
pub async fn s4_inserts_at_the_same_time_agree(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let inserts = (0..8).map(|_| {
        let store = Arc::clone(&scene.store);
        let insert = Insert { jobs: jobs(1..=5), partial: false };
        tokio::spawn(async move { store.insert(insert).await.expect("an insert") })
    });
    let mut new = 0;
    for insert in inserts.collect::<Vec<_>>() {
        for (number, answer) in (1..).zip(insert.await.expect("a caller")) {
            let (Inserted::New { seq } | Inserted::Existing { seq, .. }) = answer else {
                panic!("job {number} is written: {answer:?}")
            };
            assert_eq!(scene.job(number).await.seq, seq);
            new += usize::from(matches!(answer, Inserted::New { .. }));
        }
    }
    assert_eq!(new, 5);
    assert_eq!(scene.counts("default").await.ready, 5);
}

/// A deleted job cannot come back through a late repetition of its insert.
pub async fn s4_a_deleted_id_is_known_for_the_window(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.add(vec![job(1)]).await;
    scene.command(cancel(1, "not needed")).await;
    assert_eq!(scene.command(delete(1)).await, Controlled::Done { state: None });

    scene.clock.advance(ID_WINDOW - SECOND);
    scene.sweep().await;
    let again = scene.insert(vec![job(1)]).await;
    assert!(
        matches!(again[..], [Inserted::Existing { state: StateName::Cancelled, .. }]),
        "{again:?}"
    );
    let other = NewJob { fingerprint: 99, ..job(1) };
    let refused = scene.insert(vec![other.clone()]).await;
    assert_eq!(refused, [Inserted::Refused(Refusal::IdConflict(id(1)))]);
    assert_eq!(scene.find(1).await, None);

    scene.clock.advance(2 * SECOND);
    scene.sweep().await;
    scene.add(vec![other]).await;

    // The window counts from the end, not from the deletion.
    scene.add(vec![job(2)]).await;
    scene.command(cancel(2, "not needed")).await;
    scene.clock.advance(ID_WINDOW);
    scene.command(delete(2)).await;
    scene.add(vec![job(2)]).await;
}

/// The same id in two namespaces is two jobs.
pub async fn ids_belong_to_their_namespace(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let elsewhere = NewJob { namespace: name("elsewhere"), fingerprint: 99, ..job(1) };
    scene.add(vec![job(1)]).await;
    scene.add(vec![elsewhere]).await;
    scene.command(cancel(1, "not needed")).await;

    let jobs = scene.store.get(&name("elsewhere"), &[id(1)]).await.expect("a get");
    let other = jobs[0].as_ref().expect("the other job");
    assert_eq!(other.life.state.name(), StateName::Available);
    assert_eq!(scene.state(1).await, StateName::Cancelled);
}

/// Later jobs have higher numbers, within a call and over calls.
pub async fn seq_grows_in_input_order(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut answers = scene.insert(vec![job(9), job(3), job(7)]).await;
    answers.extend(scene.insert(vec![job(1), job(8)]).await);
    let seqs = answers.iter().map(|answer| match answer {
        Inserted::New { seq } => *seq,
        other => panic!("new: {other:?}"),
    });
    let seqs: Vec<_> = seqs.collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    assert_eq!(scene.job(7).await.seq, seqs[2]);
}

/// The largest batch goes in, comes out and ends, each in one call.
pub async fn a_batch_of_a_thousand_is_one_call(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let all = 1..=BATCH_MAX as u128;
    scene.add(jobs(all.clone())).await;
    assert_eq!(scene.counts("default").await.ready, BATCH_MAX as u64);

    let mut worker = Hand::new(1);
    let claimed = scene.take(&mut worker, BATCH_MAX).await;
    assert_eq!(numbers(&claimed), all.collect::<Vec<_>>());
    let reports = claimed.iter().map(|job| (job, completed())).collect();
    let answers = scene.report_all(reports).await;
    assert!(answers.iter().all(|answer| *answer == applied(StateName::Completed)));
    assert_eq!(scene.counts("default").await.completed, BATCH_MAX as u64);
}

/// There is room for so many lanes; a job of a known lane still goes in when they are taken.
pub async fn s11_lanes_are_limited(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let lane = |number: u128| NewJob { queue: name(&format!("queue-{number}")), ..job(number) };
    let all: Vec<_> = (1..=LANES_MAX as u128).map(lane).collect();
    for batch in all.chunks(BATCH_MAX) {
        scene.add(batch.to_vec()).await;
    }
    let beyond = LANES_MAX as u128 + 1;

    let answers = scene.insert(vec![lane(beyond)]).await;

    assert_eq!(answers, [Inserted::Refused(Refusal::LanesFull { max: LANES_MAX })]);
    assert_eq!(scene.find(beyond).await, None);
    scene.add(vec![NewJob { queue: name("queue-1"), ..job(beyond) }]).await;
}

/// A job whose `run_at` lies ahead is given after a sweep at or after that instant, not before.
pub async fn a_future_job_waits_until_it_is_due(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let run_at = scene.now().plus(HOUR);
    scene.add(vec![NewJob { run_at: Some(run_at), ..job(1) }]).await;
    assert_eq!(scene.job(1).await.run_at, run_at);
    assert_eq!(scene.counts("default").await.scheduled, 1);

    let mut worker = Hand::new(1);
    scene.clock.advance(HOUR - SECOND);
    assert_eq!(scene.sweep().await.due, 0);
    assert_eq!(scene.take(&mut worker, 1).await, []);

    scene.clock.advance(SECOND);
    assert_eq!(scene.sweep().await.due, 1);
    assert_eq!(scene.counts("default").await.ready, 1);
    assert_eq!(scene.take_one(&mut worker).await.run_at, run_at);
}

/// A `run_at` in the past gives no head start.
pub async fn a_past_run_at_is_due_now(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let long_ago = Some(scene.now().minus(HOUR));
    scene.add(vec![job(1), NewJob { run_at: long_ago, ..job(2) }]).await;
    assert_eq!(scene.job(2).await.run_at, scene.now());
    let mut worker = Hand::new(1);
    assert_eq!(numbers(&scene.take(&mut worker, 2).await), [1, 2]);
}

/// What was inserted is what is shown.
pub async fn all_fields_come_back(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let now = scene.now();
    let extras = Extras {
        retry: Some(RetryPolicy::List { delays_ms: vec![1, 20, 300] }),
        expires_at: Some(now.plus(2 * HOUR)),
        tags: vec!["red".into(), "größe".into()],
        group: Some("customer 7".into()),
        limit_keys: vec!["disk".into(), "net".into()],
        unique: Some(Unique { key: "only one".into(), until: Until::Elapsed { ms: 9 } }),
        requires: "gpu>=24,region in (eu us)".parse().expect("a valid requirement"),
        cost: 3,
        parents: Vec::new(),
        alias: Some("task-id-elsewhere".into()),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        shard: Some(Shard { index: 2, total: 8 }),
    };
    let new = NewJob {
        task: name("mail:send"),
        queue: name("mail/slow"),
        args: Json::from_trusted(r#"{"to":"ä@example.org","n":[1,2.5,null]}"#),
        priority: -10,
        run_at: Some(now.plus(HOUR)),
        max_attempts: 7,
        timeout_ms: Some(1_500),
        extras: extras.clone(),
        ..job(u128::MAX)
    };
    scene.add(vec![new.clone()]).await;

    let shown = scene.job(u128::MAX).await;

    assert_eq!((shown.namespace, shown.id), (Name::default_name(), new.id));
    assert_eq!((shown.task, shown.queue), (new.task, new.queue));
    assert_eq!(shown.args, Some(new.args));
    assert_eq!((shown.priority, shown.timeout_ms), (-10, Some(1_500)));
    assert_eq!((shown.run_at, shown.created_at), (now.plus(HOUR), now));
    assert_eq!((shown.life.max_attempts, shown.life.attempt), (7, 0));
    assert_eq!(shown.extras, extras);
    let nothing: (Option<Timestamp>, Option<Timestamp>) = (None, None);
    assert_eq!((shown.started_at, shown.finished_at), nothing);
    assert_eq!((shown.worker, shown.error, shown.result), (None, None, None));
    assert_eq!((shown.progress, shown.checkpoint, shown.cancel_reason), (None, None, None));
    assert_eq!(shown.attempts, []);
}
