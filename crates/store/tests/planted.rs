//! Bugs planted on purpose: the model test must find each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use taskwright_core::lifecycle::State;
use taskwright_core::{JobId, Labels, Name, Policy, StateName, Subject, Timestamp};
use taskwright_store::conformance::{Harness, random};
use taskwright_store::*;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// A report with an old token counts for the running attempt.
    LateReportAccepted,
    /// A repeated report is answered as if it were the first.
    RepeatedReportApplied,
    /// A repeated insert is answered as if it were the first.
    RepeatedInsertNew,
    /// A repeated claim gives other jobs.
    RepeatedClaimGivesMore,
    /// An insert with one bad job writes the others.
    InsertHalfDone,
    /// What a heartbeat does not name is not released.
    UndeliveredKept,
    /// Attempts that a worker has lost are not named.
    LostUnnamed,
    /// Sweeps stop early and do not say so.
    DueForgotten,
    /// Time follows the clock back.
    TimeGoesBack,
    /// A worker is offered what its labels do not match.
    LabelsIgnored,
    /// A worker is offered jobs that it has not the slots for.
    SlotsIgnored,
    /// A worker is given jobs that take more than is free of its resources.
    ResourcesIgnored,
    /// Jobs that take one slot overtake one that does not fit.
    LargeJobOvertaken,
    /// A pause is forgotten.
    PauseIgnored,
    /// A page leaves out its last job.
    PageCut,
    /// Completed jobs are missing in the counters.
    CountsDrift,
    /// A redrive gives one attempt, whatever was asked for.
    RedriveStingy,
    /// Leases are not granted afresh at an opening: time goes on while the store is down.
    OpeningSkipped,
    /// A tick counts whatever revision the document has.
    TickBlind,
}

struct BuggyStore {
    bug: Bug,
    inner: Arc<NaiveStore>,
    clock: Arc<ManualClock>,
    paused: Mutex<BTreeMap<(Name, Name), ()>>,
    claims: Mutex<BTreeMap<(Name, taskwright_core::WorkerId), u64>>,
    /// What workers said that they serve, where something else may be passed on.
    told: Mutex<BTreeMap<(Name, taskwright_core::WorkerId), Arc<Profile>>>,
}

impl BuggyStore {
    async fn current(&self, report: Report) -> Result<Report> {
        let jobs = self.inner.get(&report.namespace, &[report.id]).await?;
        match jobs[0].as_ref().map(|job| job.life.state) {
            Some(State::Running(token)) => Ok(Report { token, ..report }),
            _ => Ok(report),
        }
    }
}

#[async_trait]
impl Store for BuggyStore {
    async fn insert(&self, insert: Insert) -> Result<Vec<Inserted>> {
        let partial = insert.partial || self.bug == Bug::InsertHalfDone;
        let mut answers = self.inner.insert(Insert { partial, ..insert }).await?;
        if self.bug == Bug::RepeatedInsertNew {
            for answer in &mut answers {
                if let Inserted::Existing { seq, .. } = *answer {
                    *answer = Inserted::New { seq };
                }
            }
        }
        Ok(answers)
    }

    async fn claim(&self, mut claim: Claim) -> Result<Vec<ClaimedJob>> {
        if self.bug == Bug::RepeatedClaimGivesMore {
            let mut claims = self.claims.lock().expect("the claims");
            let last = claims.entry((claim.namespace.clone(), claim.worker)).or_insert(0);
            *last += 1;
            claim.seq = *last;
        }
        let key = (claim.namespace.clone(), claim.worker);
        self.told.lock().expect("the profiles").insert(key, Arc::clone(&claim.profile));
        let with = |labels: Labels| Arc::new(Profile { labels, ..(*claim.profile).clone() });
        let mut labels = claim.profile.labels.clone();
        match self.bug {
            Bug::LabelsIgnored => {
                let all = if labels.slots().is_some() { "a=3,b,slots=5" } else { "a=3,b" };
                claim.profile = with(all.parse().expect("valid labels"));
            }
            Bug::SlotsIgnored => {
                labels.set_slots(9).expect("a label");
                claim.profile = with(labels);
            }
            Bug::ResourcesIgnored => claim.free = labels.capacities(),
            Bug::LargeJobOvertaken => {
                let given = self.inner.claim(claim.clone()).await?;
                if !given.is_empty() {
                    return Ok(given);
                }
                let texts = labels.texts();
                let others = texts.iter().filter(|text| !text.starts_with("slots="));
                claim.profile = with(Labels::parse(others.map(String::as_str)).expect("labels"));
            }
            _ => {}
        }
        self.inner.claim(claim).await
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        let mut answers = Vec::new();
        for report in reports {
            let report = match self.bug {
                Bug::LateReportAccepted => self.current(report).await?,
                _ => report,
            };
            let answer = self.inner.report(vec![report.clone()]).await?.remove(0);
            answers.push(match answer {
                Reported::Already if self.bug == Bug::RepeatedReportApplied => {
                    Reported::Applied { state: StateName::Completed }
                }
                answer => answer,
            });
        }
        Ok(answers)
    }

    async fn heartbeat(&self, mut heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        if self.bug == Bug::UndeliveredKept {
            heartbeat.settled = 0;
        }
        let mut reply = self.inner.heartbeat(heartbeat).await?;
        if self.bug == Bug::LostUnnamed {
            reply.lost.clear();
        }
        Ok(reply)
    }

    async fn sweep(&self, limit: usize) -> Result<Swept> {
        if self.bug == Bug::DueForgotten {
            let swept = self.inner.sweep(1).await?;
            return Ok(Swept { more: false, ..swept });
        }
        self.inner.sweep(limit).await
    }

    async fn tick(&self, ticks: Vec<Tick>) -> Result<Vec<Ticked>> {
        if self.bug != Bug::TickBlind {
            return self.inner.tick(ticks).await;
        }
        let mut ticked = Vec::new();
        for tick in ticks {
            let found = self.inner.documents(Wanted::One(tick.id.clone()), 1).await?;
            let expected = found.first().map(|document| document.revision);
            ticked.extend(self.inner.tick(vec![Tick { expected, ..tick }]).await?);
        }
        Ok(ticked)
    }

    async fn documents(&self, wanted: Wanted, limit: usize) -> Result<Vec<Document>> {
        self.inner.documents(wanted, limit).await
    }

    async fn control(&self, actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>> {
        let commands = commands.into_iter().map(|command| match command {
            Command::Redrive { namespace, id, .. } if self.bug == Bug::RedriveStingy => {
                Command::Redrive { namespace, id, attempts: 1 }
            }
            Command::Pause { namespace, queue } if self.bug == Bug::PauseIgnored => {
                self.paused
                    .lock()
                    .expect("the pauses")
                    .insert((namespace.clone(), queue.clone()), ());
                Command::Resume { namespace, queue }
            }
            Command::Resume { namespace, queue } => {
                self.paused.lock().expect("the pauses").remove(&(namespace.clone(), queue.clone()));
                Command::Resume { namespace, queue }
            }
            command => command,
        });
        self.inner.control(actor, commands.collect()).await
    }

    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        self.inner.get(namespace, ids).await
    }

    async fn list(&self, filter: Filter) -> Result<Page> {
        let mut page = self.inner.list(filter).await?;
        if self.bug == Bug::PageCut && page.next.is_some() {
            page.jobs.pop();
        }
        Ok(page)
    }

    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>> {
        self.inner.peek(namespace, queue, max).await
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        let mut counts = self.inner.counts(namespace).await?;
        let paused = self.paused.lock().expect("the pauses").clone();
        for counts in &mut counts {
            counts.paused |= paused.contains_key(&(namespace.clone(), counts.queue.clone()));
            if self.bug == Bug::CountsDrift {
                counts.completed = counts.completed.saturating_sub(1);
            }
        }
        Ok(counts)
    }

    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        self.inner.policies(namespace).await
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        let mut views = self.inner.workers(namespace).await?;
        let told = self.told.lock().expect("the profiles");
        for view in &mut views {
            if let Some(profile) = told.get(&(namespace.clone(), view.id)) {
                view.profile = view.profile.as_ref().map(|_| Arc::clone(profile));
            }
        }
        Ok(views)
    }

    async fn export(&self, after: Option<u64>, limit: usize) -> Result<Exported> {
        self.inner.export(after, limit).await
    }

    async fn import(&self, records: Vec<Record>) -> Result<Vec<Imported>> {
        self.inner.import(records).await
    }

    fn events(&self) -> Events {
        self.inner.events()
    }

    async fn describe(&self) -> Result<Description> {
        let described = self.inner.describe().await?;
        let now = if self.bug == Bug::TimeGoesBack { self.clock.now() } else { described.now };
        Ok(Description { now, ..described })
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

struct BuggyHarness {
    bug: Bug,
    clock: Arc<ManualClock>,
    inner: Mutex<Option<Arc<NaiveStore>>>,
}

impl BuggyHarness {
    fn new(bug: Bug) -> Self {
        let noon = Timestamp::from_millis(1_767_268_800_000);
        BuggyHarness { bug, clock: Arc::new(ManualClock::new(noon)), inner: Mutex::default() }
    }
}

#[async_trait]
impl Harness for BuggyHarness {
    async fn open(&self, retention: Retention) -> Arc<dyn Store> {
        let inner = Arc::new(NaiveStore::with_retention(self.clock(), retention));
        *self.inner.lock().expect("the store") = Some(Arc::clone(&inner));
        Arc::new(BuggyStore {
            bug: self.bug,
            inner,
            clock: self.clock(),
            paused: Mutex::default(),
            claims: Mutex::default(),
            told: Mutex::default(),
        })
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        if self.bug != Bug::OpeningSkipped {
            let inner = self.inner.lock().expect("the store").clone()?;
            inner.reopened();
        }
        Some(store)
    }
}

fn is_found(bug: Bug) -> bool {
    random::difference(|| BuggyHarness::new(bug), 2_000, 0).is_some()
}

macro_rules! planted {
    ($($name:ident: $bug:ident)+) => {
        $(
            #[test]
            fn $name() {
                assert!(is_found(Bug::$bug), "2,000 random lives do not show {:?}", Bug::$bug);
            }
        )+
    };
}

planted! {
    a_late_report_that_counts_is_found: LateReportAccepted
    a_repeated_report_that_counts_is_found: RepeatedReportApplied
    a_repeated_insert_that_counts_is_found: RepeatedInsertNew
    a_repeated_claim_that_gives_more_is_found: RepeatedClaimGivesMore
    an_insert_half_done_is_found: InsertHalfDone
    undelivered_jobs_kept_are_found: UndeliveredKept
    lost_jobs_unnamed_are_found: LostUnnamed
    due_jobs_forgotten_are_found: DueForgotten
    time_that_goes_back_is_found: TimeGoesBack
    labels_ignored_are_found: LabelsIgnored
    slots_ignored_are_found: SlotsIgnored
    resources_ignored_are_found: ResourcesIgnored
    a_large_job_overtaken_is_found: LargeJobOvertaken
    a_pause_ignored_is_found: PauseIgnored
    a_page_cut_is_found: PageCut
    counts_that_drift_are_found: CountsDrift
    a_redrive_that_gives_less_is_found: RedriveStingy
    an_opening_that_grants_no_leases_is_found: OpeningSkipped
}

#[test]
fn without_a_bug_nothing_is_found() {
    assert_eq!(random::difference(|| BuggyHarness::new(Bug::None), 200, 0), None);
}
