//! Documents: changed by compare-and-set, with their jobs in the same commit.

use std::time::Duration;

use taskwright_core::limits::{DOCUMENTS_MAX, DOCUMENTS_PAGE_MAX};
use taskwright_core::{Extras, Json, Name, NewJob, StateName, Subject, Timestamp};

use super::Harness;
use super::policies::at_once;
use super::scene::*;
use crate::document::{Document, DocumentId, DocumentKind, Tick, Ticked, Wanted};
use crate::request::{Claim, Inserted};

fn schedule(text: &str) -> DocumentId {
    DocumentId { namespace: Name::default_name(), kind: DocumentKind::Schedule, name: name(text) }
}

fn tick(id: DocumentId, expected: Option<u64>, revision: u64) -> Tick {
    let body = Some(Json::from_trusted(format!("\"{} {revision}\"", id.name)));
    Tick { id, expected, revision, body, wake_at: None, jobs: Vec::new(), asked: None }
}

fn quiet() -> Ticked {
    Ticked::Done { inserted: Vec::new() }
}

impl Scene<'_> {
    async fn ticked(&self, tick: Tick) -> Ticked {
        self.store.tick(vec![tick]).await.expect("a tick").pop().expect("an answer")
    }

    async fn wanted(&self, wanted: Wanted) -> Vec<Document> {
        self.store.documents(wanted, DOCUMENTS_PAGE_MAX).await.expect("documents")
    }

    async fn names(&self, wanted: Wanted) -> Vec<String> {
        let found = self.wanted(wanted).await;
        found.into_iter().map(|document| document.id.name.to_string()).collect()
    }

    async fn revision(&self, id: DocumentId) -> Option<u64> {
        self.wanted(Wanted::One(id)).await.pop().map(|document| document.revision)
    }
}

/// A tick counts only on the revision it expects, and its repetition is recognised.
pub async fn s4_a_tick_counts_once(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let id = || schedule("nightly");
    assert_eq!(scene.ticked(tick(id(), Some(7), 1)).await, Ticked::Conflict, "there is none");
    assert_eq!(scene.ticked(tick(id(), None, 1)).await, quiet());
    assert_eq!(scene.ticked(tick(id(), None, 1)).await, Ticked::Already);
    assert_eq!(scene.ticked(tick(id(), None, 2)).await, Ticked::Conflict, "there is one");
    assert_eq!(scene.ticked(tick(id(), Some(1), u64::MAX)).await, quiet());
    assert_eq!(scene.ticked(tick(id(), Some(1), 3)).await, Ticked::Conflict, "it was changed");
    assert_eq!(scene.revision(id()).await, Some(u64::MAX));

    let removal = Tick { body: None, ..tick(id(), Some(u64::MAX), 4) };
    assert_eq!(scene.ticked(removal.clone()).await, quiet());
    assert_eq!(scene.ticked(removal).await, Ticked::Conflict, "it is gone");
    assert_eq!(scene.revision(id()).await, None);
    assert_eq!(scene.ticked(tick(id(), None, 5)).await, quiet(), "the name is free again");
}

/// Ticks of one call see what the ones before them did; other kinds and namespaces are others.
pub async fn ticks_follow_one_another(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let calendar = DocumentId { kind: DocumentKind::Calendar, ..schedule("a") };
    let elsewhere = DocumentId { namespace: name("elsewhere"), ..schedule("a") };
    let ticks = vec![
        tick(schedule("a"), None, 1),
        tick(schedule("a"), Some(1), 2),
        tick(calendar.clone(), None, 3),
        tick(elsewhere.clone(), None, 4),
        tick(schedule("a"), Some(1), 5),
    ];
    let answers = scene.store.tick(ticks).await.expect("ticks");
    assert_eq!(answers, [quiet(), quiet(), quiet(), quiet(), Ticked::Conflict]);
    assert_eq!(scene.revision(schedule("a")).await, Some(2));
    assert_eq!(scene.revision(calendar).await, Some(3));
    assert_eq!(scene.revision(elsewhere).await, Some(4));
}

/// The jobs of a tick are there if and only if it counted.
pub async fn jobs_come_with_their_tick(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let id = || schedule("nightly");
    let with_jobs = |expected, revision, jobs| Tick { jobs, ..tick(id(), expected, revision) };
    let answer = scene.ticked(with_jobs(None, 1, jobs(1..=2))).await;
    let Ticked::Done { inserted } = answer else { panic!("{answer:?}") };
    assert!(matches!(inserted[..], [Inserted::New { .. }, Inserted::New { .. }]), "{inserted:?}");

    for lost in [with_jobs(None, 1, jobs(3..=3)), with_jobs(Some(9), 2, jobs(3..=3))] {
        scene.ticked(lost).await;
        let found = scene.store.get(&Name::default_name(), &[super::scene::id(3)]).await;
        assert_eq!(found.expect("get"), [None], "no job comes with a tick that does not count");
    }
    let answer = scene.ticked(with_jobs(Some(1), 2, jobs(2..=3))).await;
    let Ticked::Done { inserted } = answer else { panic!("{answer:?}") };
    let is_existing = matches!(inserted[0], Inserted::Existing { state: StateName::Available, .. });
    assert!(is_existing && matches!(inserted[1], Inserted::New { .. }), "{inserted:?}");
    let mut worker = Hand::new(1);
    assert_eq!(numbers(&scene.take(&mut worker, 9).await), [1, 2, 3]);
}

/// At rest no key with room has a line: also after a tick.
pub async fn a2_jobs_of_a_tick_leave_their_line(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.limit(Subject::Key("k".into()), at_once(1)).await;
    let keyed = |number| {
        let extras = Extras { limit_keys: vec!["k".into()], ..Extras::default() };
        NewJob { extras, ..job(number) }
    };
    let jobs = vec![keyed(1), keyed(2)];
    scene.ticked(Tick { jobs, ..tick(schedule("a"), None, 1) }).await;
    let counts = scene.counts("default").await;
    assert_eq!((counts.ready, counts.in_line), (1, 1));
}

/// A claim that waits is fed by a tick.
pub async fn a_waiting_claim_is_fed_by_a_tick(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let mut worker = Hand::new(1);
    let claim = Claim { wait: Duration::from_secs(20), ..worker.next_claim(1) };
    let waiting = scene.store.claim(claim);
    let made = scene.store.tick(vec![Tick { jobs: jobs(1..=1), ..tick(schedule("a"), None, 1) }]);
    let (claimed, ticked) = tokio::join!(waiting, made);
    assert!(matches!(ticked.expect("a tick")[..], [Ticked::Done { .. }]));
    assert_eq!(numbers(&claimed.expect("a claim")), [1]);
}

/// Documents are found by id, by kind, and when they are due.
pub async fn documents_are_found(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let now = scene.store.now().await.expect("the time");
    let wakes =
        |text: &str, wake_at: Option<Timestamp>| Tick { wake_at, ..tick(schedule(text), None, 1) };
    let elsewhere = DocumentId { namespace: name("elsewhere"), ..schedule("e") };
    let ticks = vec![
        wakes("c", Some(now.plus(MINUTE))),
        wakes("a", None),
        wakes("b", Some(now.plus(SECOND))),
        wakes("d", Some(now.plus(SECOND))),
        Tick { wake_at: Some(now.plus(SECOND)), ..tick(elsewhere.clone(), None, 1) },
        tick(DocumentId { kind: DocumentKind::Calendar, ..schedule("k") }, None, 1),
    ];
    scene.store.tick(ticks).await.expect("ticks");
    let of = |after: Option<&str>| {
        Wanted::Of(Name::default_name(), DocumentKind::Schedule, after.map(name))
    };
    assert_eq!(scene.names(of(None)).await, ["a", "b", "c", "d"]);
    assert_eq!(scene.names(of(Some("b"))).await, ["c", "d"]);
    let page = scene.store.documents(of(None), 3).await.expect("a page");
    assert_eq!(page.len(), 3);
    assert_eq!(scene.names(Wanted::All(None)).await, ["a", "b", "c", "d", "k", "e"]);
    assert_eq!(scene.names(Wanted::All(Some(schedule("c")))).await, ["d", "k", "e"]);

    assert_eq!(scene.names(Wanted::Due).await, [] as [&str; 0]);
    scene.clock.advance(SECOND);
    assert_eq!(scene.names(Wanted::Due).await, ["b", "d", "e"]);
    let swept = scene.store.sweep(100).await.expect("a sweep");
    assert_eq!(swept.wake_at, Some(now.plus(SECOND)), "a sweep tells when to look");
    scene.clock.advance(MINUTE);
    assert_eq!(scene.names(Wanted::Due).await, ["b", "d", "e", "c"]);
    let moved = |id: DocumentId| Tick { wake_at: None, ..tick(id, Some(1), 2) };
    for id in [schedule("b"), schedule("d"), elsewhere] {
        assert_eq!(scene.ticked(moved(id)).await, quiet());
    }
    assert_eq!(scene.names(Wanted::Due).await, ["c"]);
    let swept = scene.store.sweep(100).await.expect("a sweep");
    assert_eq!(swept.wake_at, Some(now.plus(MINUTE)));
}

/// Documents survive whole, the newest revision of each.
pub async fn documents_survive_a_restart(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let at = scene.store.now().await.expect("the time").plus(HOUR);
    let body = Json::from_trusted("{\"größe\": [1, \"\\n\"]}".to_owned());
    let second =
        Tick { body: Some(body.clone()), wake_at: Some(at), ..tick(schedule("a"), Some(1), 2) };
    let removal = Tick { body: None, ..tick(schedule("b"), Some(1), 2) };
    let ticks = vec![tick(schedule("a"), None, 1), tick(schedule("b"), None, 1), second, removal];
    scene.store.tick(ticks).await.expect("ticks");
    let expected = [Document { id: schedule("a"), revision: 2, body, wake_at: Some(at) }];
    assert_eq!(scene.wanted(Wanted::All(None)).await, expected);
    let Some(scene) = scene.restarted().await else { return };
    assert_eq!(scene.wanted(Wanted::All(None)).await, expected, "after a restart");
    assert_eq!(scene.ticked(tick(schedule("a"), Some(1), 3)).await, Ticked::Conflict);
    assert_eq!(scene.ticked(tick(schedule("a"), Some(2), 3)).await, quiet());
}

/// There is room for so many documents of a kind and no more.
pub async fn s11_documents_are_limited(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    let numbered = |number: usize| schedule(&format!("s{number}"));
    for from in (0..DOCUMENTS_MAX).step_by(1_000) {
        let ticks = (from..from + 1_000).map(|number| tick(numbered(number), None, 1)).collect();
        let answers = scene.store.tick(ticks).await.expect("ticks");
        assert!(answers.iter().all(|answer| *answer == quiet()));
    }
    let full = Ticked::Full { max: DOCUMENTS_MAX };
    let calendar = DocumentId { kind: DocumentKind::Calendar, ..numbered(0) };
    assert_eq!(scene.ticked(tick(numbered(DOCUMENTS_MAX), None, 1)).await, full);
    assert_eq!(scene.ticked(tick(calendar, None, 1)).await, quiet());
    assert_eq!(scene.ticked(tick(numbered(7), Some(1), 2)).await, quiet());
    let removal = Tick { body: None, ..tick(numbered(8), Some(1), 2) };
    assert_eq!(scene.ticked(removal).await, quiet());
    assert_eq!(scene.ticked(tick(numbered(DOCUMENTS_MAX), None, 1)).await, quiet());
}

/// Of ticks that decide the same at the same time one is done.
pub async fn s4_ticks_at_the_same_time_agree(harness: &dyn Harness) {
    let scene = Scene::open(harness).await;
    scene.ticked(tick(schedule("a"), None, 1)).await;
    let same = |revision: u64| {
        let made = job(u128::from(revision));
        let tick = Tick { jobs: vec![made], ..tick(schedule("a"), Some(1), revision) };
        scene.store.tick(vec![tick])
    };
    let (a, b, c, d) = tokio::join!(same(2), same(3), same(4), same(5));
    let answers = [a, b, c, d].map(|answer| answer.expect("a tick").pop().expect("an answer"));
    let done = answers.iter().filter(|answer| matches!(answer, Ticked::Done { .. })).count();
    let conflicts = answers.iter().filter(|answer| **answer == Ticked::Conflict).count();
    assert_eq!((done, conflicts), (1, 3), "{answers:?}");
    let counts = scene.counts("default").await;
    assert_eq!(counts.ready, 1, "one tick, one job");
}
