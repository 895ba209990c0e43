//! The loop of a worker: claims for free slots, starts attempts, reports how they went.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::limits::BATCH_MAX;
use taskwright_core::placement::Cost;
use taskwright_core::{Load, LoadMeasure, Name, Token, WorkerId};
use taskwright_engine::{Error, ErrorCode, Result, Work, WorkReply};
use taskwright_store::{Claim, ClaimedJob, Outcome, Profile, Report};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::attempt::{Limits, supervise};
use super::held::{Held, Key};
use super::lease::{Lease, Tenant};
use super::load::{Gauge, LoadMeter};
use super::reports::{Batch, Outbox, Then};
use super::slots::{Slot, Slots};
use super::{Hook, Stop};
use crate::app::{CALL_DEADLINE, Taskwright};
use crate::context::{Context, Saving};
use crate::handler::Handler;
use crate::retrying::retrying;

/// How long a claim waits for jobs.
const CLAIM_WAIT: Duration = Duration::from_secs(20);
/// How long after the stop deadline reports may take to be delivered.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);
/// A worker that cannot get rid of so many reports claims no more.
const OUTBOX_MAX: usize = 4 * BATCH_MAX;
/// The longest that a worker does not claim while the next job takes more than is free.
const REST: Duration = Duration::from_secs(1);
/// Calls of a worker are tried for as long as it runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

pub(crate) struct Settings {
    pub(crate) app: Taskwright,
    pub(crate) worker: WorkerId,
    pub(crate) handlers: HashMap<Name, Arc<dyn Handler>>,
    pub(crate) profile: Arc<Profile>,
    /// What jobs may take of it together.
    pub(crate) all: Cost,
    pub(crate) name: Arc<str>,
    pub(crate) stop_grace: Duration,
    pub(crate) stop_deadline: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) heartbeat_every: Duration,
    pub(crate) max_load: LoadMeasure,
    pub(crate) hooks: Vec<Hook>,
}

/// An attempt that ended, with what it took unless a thread still has it.
struct Ended {
    key: Key,
    task: Name,
    queue: Name,
    duration: Duration,
    outcome: Outcome,
    slot: Option<Slot>,
}

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What came back of a call with reports, and perhaps the claim with this number.
struct Answer {
    batch: Batch,
    claim: Option<u64>,
    reply: Result<WorkReply>,
}

struct Loop {
    settings: Settings,
    held: Arc<Held>,
    lease: Lease,
    slots: Arc<Slots>,
    /// Attempts without an outcome.
    attempts: usize,
    outbox: Outbox,
    /// The number of the newest claim.
    seq: u64,
    /// Whether that claim is still to be answered, so that it must be repeated or settled.
    claim_open: bool,
    /// What it has free for them.
    claim_free: Cost,
    /// When that claim was made, if it waits for jobs.
    claimed_at: Option<Instant>,
    /// Until then it claims only if more is free than was not enough for the next job.
    resting: Option<(Instant, Cost)>,
    /// How loaded the worker is.
    load: watch::Receiver<Load>,
    reporting: Option<Call<Answer>>,
    claiming: Option<Call<Result<Vec<ClaimedJob>>>>,
    ended: (mpsc::UnboundedSender<Ended>, mpsc::UnboundedReceiver<Ended>),
    savings: (mpsc::UnboundedSender<Saving>, mpsc::UnboundedReceiver<Saving>),
    /// Ends all attempts.
    end_all: watch::Sender<Stop>,
    phase: Phase,
}

/// Where a worker is on its way to its end.
#[derive(Copy, Clone)]
enum Phase {
    Working,
    /// No more claims; the rest at these instants.
    Stopping {
        cancel_at: Option<Instant>,
        end_at: Option<Instant>,
        give_up_at: Instant,
    },
}

impl Phase {
    fn next_at(&self) -> Option<Instant> {
        match *self {
            Phase::Working => None,
            Phase::Stopping { cancel_at, end_at, give_up_at } => {
                Some(cancel_at.or(end_at).unwrap_or(give_up_at))
            }
        }
    }
}

/// Starts the worker's lease and gives its loop, to be run.
pub(crate) fn run(
    settings: Settings,
    meter: Box<dyn LoadMeter>,
    stop: watch::Receiver<Stop>,
) -> Result<impl Future<Output = Result<()>>> {
    let held = Arc::new(Held::default());
    let tenant = Tenant {
        app: settings.app.clone(),
        worker: settings.worker,
        name: Arc::clone(&settings.name),
        slots: settings.all.slots,
        every: settings.heartbeat_every,
    };
    let gauge = Gauge::new(meter, settings.max_load, settings.all.slots);
    let load = gauge.load();
    let lease = Lease::start(tenant, Arc::clone(&held), Some(gauge))?;
    let worker = Loop {
        settings,
        held,
        lease,
        slots: Arc::default(),
        attempts: 0,
        outbox: Outbox::default(),
        seq: 0,
        claim_open: false,
        claim_free: Cost::default(),
        claimed_at: None,
        resting: None,
        load,
        reporting: None,
        claiming: None,
        ended: mpsc::unbounded_channel(),
        savings: mpsc::unbounded_channel(),
        end_all: watch::channel(Stop::No).0,
        phase: Phase::Working,
    };
    Ok(worker.run(stop))
}

impl Loop {
    async fn run(mut self, mut stop: watch::Receiver<Stop>) -> Result<()> {
        let ended = self.work(&mut stop).await;
        // Whatever still runs is of no use any more.
        self.end_all.send_replace(Stop::Now);
        if ended.is_ok() {
            self.lease.farewell().await;
        }
        ended
    }

    async fn work(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<()> {
        let slots = Arc::clone(&self.slots);
        let mut finished = Vec::new();
        let mut is_stoppable = true;
        loop {
            self.start_calls();
            if self.is_done() {
                return Ok(());
            }
            let phase_at = self.phase.next_at();
            let rest_at = self.resting.as_ref().map(|(until, _)| *until);
            tokio::select! {
                _ = self.ended.1.recv_many(&mut finished, BATCH_MAX) => {
                    // Attempts that are about to end are reported in the same call.
                    tokio::task::yield_now().await;
                    while let Ok(more) = self.ended.1.try_recv() {
                        finished.push(more);
                    }
                    finished.drain(..).for_each(|ended| self.attempt_ended(ended));
                }
                Some(saving) = self.savings.1.recv() => self.save(saving),
                answer = answer_of(&mut self.reporting) => self.reported(answer)?,
                claimed = answer_of(&mut self.claiming) => {
                    let seq = self.seq;
                    self.claimed(seq, claimed?);
                }
                () = slots.freed() => {}
                Ok(()) = self.load.changed() => self.load_changed(),
                changed = stop.changed(), if is_stoppable => {
                    // Without anybody who could stop it, a worker works on.
                    is_stoppable = changed.is_ok();
                    let wish = *stop.borrow_and_update();
                    self.stop(wish);
                }
                () = super::at(rest_at), if rest_at.is_some() => self.resting = None,
                () = super::at(phase_at) => self.next_phase()?,
            }
        }
    }

    fn is_working(&self) -> bool {
        matches!(self.phase, Phase::Working)
    }

    fn is_done(&self) -> bool {
        !self.is_working()
            && self.attempts == 0
            && self.outbox.is_empty()
            && self.reporting.is_none()
    }

    /// What more it takes now. One that holds nothing takes the next job whatever its load is and that
    /// job costs, so that nothing stands still.
    fn free(&self) -> Cost {
        let takes = self.load.borrow().takes.map_or(usize::MAX, |takes| takes as usize);
        let (mut all, taken) = (self.settings.all.clone(), self.slots.taken());
        if taken.slots > 0 || self.resting.is_none() {
            all.slots = all.slots.min(takes);
        }
        all.minus(&taken)
    }

    /// A claim that waits for more jobs than the worker takes now is given up, and another made.
    fn load_changed(&mut self) {
        self.load.mark_unchanged();
        if self.claiming.is_some() && self.claim_free.slots > self.free().slots {
            self.give_up_claim();
            self.lease.renew_now();
        }
    }

    /// Gives up the claim that waits. What it took and could not deliver is given back by the next
    /// heartbeat.
    fn give_up_claim(&mut self) {
        self.claiming = None;
        self.claim_open = false;
        self.held.settle(self.seq);
    }

    /// The claim to make now, if there is anything to claim for.
    fn next_claim(&mut self, wait: Duration) -> Option<Claim> {
        let mut free = self.free();
        let is_stuck = self.outbox.len() >= OUTBOX_MAX;
        let is_resting = self.resting.as_ref().is_some_and(|(_, too_few)| free.fits(too_few));
        if free.slots == 0 || is_stuck || is_resting || !self.is_working() {
            return None;
        }
        self.resting = None;
        if !self.claim_open {
            self.seq += 1;
            self.claim_open = true;
        }
        free.slots = free.slots.min(BATCH_MAX);
        self.claim_free = free.clone();
        self.claimed_at = (!wait.is_zero()).then(Instant::now);
        Some(Claim {
            namespace: self.settings.app.namespace().clone(),
            worker: self.settings.worker,
            seq: self.seq,
            profile: Arc::clone(&self.settings.profile),
            max: free.slots,
            free: free.resources,
            wait,
            in_process: self.settings.app.shared.in_process,
        })
    }

    /// Reports travel with a claim that does not wait; only where there is nothing to report, a
    /// claim waits for jobs. At most one claim is under way.
    fn start_calls(&mut self) {
        let app = self.settings.app.clone();
        if self.reporting.is_none() && !self.outbox.is_empty() {
            // A report that may be refused travels alone, so that its error is its own.
            let may_claim = self.claiming.is_none() && !self.outbox.is_careful();
            let batch = self.outbox.next_batch();
            let claim = if may_claim { self.next_claim(Duration::ZERO) } else { None };
            self.reporting = Some(Box::pin(async move {
                let seq = claim.as_ref().map(|claim| claim.seq);
                let call = || {
                    let work = Work {
                        reports: batch.reports.clone(),
                        heartbeat: None,
                        claim: claim.clone(),
                    };
                    app.shared.api.work(work)
                };
                let reply = retrying(&app.shared.ids, CALL_DEADLINE, FOREVER, call).await;
                Answer { batch, claim: seq, reply }
            }));
        } else if self.claiming.is_none() && self.reporting.is_none() {
            let Some(claim) = self.next_claim(CLAIM_WAIT) else { return };
            self.claiming = Some(Box::pin(async move {
                let call = || app.shared.api.claim(claim.clone());
                let each = CLAIM_WAIT + CALL_DEADLINE;
                retrying(&app.shared.ids, each, FOREVER, call).await
            }));
        }
    }

    fn reported(&mut self, answer: Answer) -> Result<()> {
        let Answer { batch, claim, reply } = answer;
        let hooks = &self.settings.hooks;
        match reply {
            Ok(reply) => {
                self.held.remove(batch.over());
                batch.answered(Ok(reply.reported), hooks);
                if let Some(seq) = claim {
                    self.claimed(seq, reply.claimed);
                }
                Ok(())
            }
            // One report is at fault. What the claim took is answered when it is repeated.
            Err(error) if is_refusal(error.code) => {
                if let Some(batch) = self.outbox.take_back(batch, &error) {
                    tracing::error!(worker = %self.settings.worker, %error, "a report was refused");
                    self.held.remove(batch.over());
                    batch.answered(Err(error), hooks);
                }
                Ok(())
            }
            Err(error) => {
                batch.answered(Err(error.clone()), hooks);
                Err(error)
            }
        }
    }

    fn claimed(&mut self, seq: u64, jobs: Vec<ClaimedJob>) {
        self.claim_open = false;
        let waited = self.claimed_at.take().map(|claimed_at| claimed_at.elapsed());
        if jobs.is_empty() && waited.is_some_and(|waited| waited < CLAIM_WAIT / 2) {
            // There is a next job, or the store would have waited for one.
            self.resting = Some((Instant::now() + REST, self.claim_free.clone()));
        }
        let settings = &self.settings;
        let savings = &self.savings.0;
        let arrived = self.held.arrived(seq, jobs, |job| {
            let handler = settings.handlers.get(&job.task).map(Arc::clone);
            let stops_with_lease = handler.as_ref().is_some_and(|h| h.stops_with_lease());
            let cost = job.extras.whole_cost();
            let (context, args) = Context::of(job, Some(savings.clone()));
            (context.clone(), stops_with_lease, (context, args, handler, cost))
        });
        for (context, args, handler, cost) in arrived {
            match handler {
                Some(handler) if self.is_working() => {
                    let slot = self.slots.take(cost);
                    self.start(context, args, handler, slot);
                }
                // It came too late, or is none of ours: others may run it.
                _ => self.give_back(&context),
            }
        }
    }

    fn start(
        &mut self,
        context: Context,
        args: taskwright_core::Json,
        handler: Arc<dyn Handler>,
        slot: Slot,
    ) {
        self.attempts += 1;
        let ended = self.ended.0.clone();
        let limits = Limits {
            timeout: context.timeout(),
            grace: self.settings.cancel_grace,
            stop: self.end_all.subscribe(),
        };
        tokio::spawn(async move {
            let began = std::time::Instant::now();
            let (outcome, slot) = supervise(handler, args, context.clone(), limits, slot).await;
            let attempt = Ended {
                key: (context.job_id(), context.token()),
                task: context.task().clone(),
                queue: context.queue().clone(),
                duration: began.elapsed(),
                outcome,
                slot,
            };
            // Without a loop there is nobody to tell: the lease ends the attempt.
            let _ = ended.send(attempt);
        });
    }

    fn report(
        &mut self,
        (id, token): (taskwright_core::JobId, Token),
        outcome: Outcome,
        then: Then,
    ) {
        let namespace = self.settings.app.namespace().clone();
        self.outbox.push(Report { namespace, id, token, outcome }, then);
    }

    fn give_back(&mut self, context: &Context) {
        let key = (context.job_id(), context.token());
        let (task, queue) = (context.task().clone(), context.queue().clone());
        let then = Then::End { task, queue, duration: Duration::ZERO };
        self.report(key, Outcome::Released, then);
    }

    fn attempt_ended(&mut self, ended: Ended) {
        self.attempts -= 1;
        if let Some(slot) = ended.slot {
            slot.give_back();
        }
        let then = Then::End { task: ended.task, queue: ended.queue, duration: ended.duration };
        self.report(ended.key, ended.outcome, then);
    }

    fn save(&mut self, saving: Saving) {
        self.report((saving.id, saving.token), saving.outcome, Then::Saved(saving.saved));
    }

    fn stop(&mut self, wish: Stop) {
        let now = Instant::now();
        match (wish, self.phase) {
            (Stop::No, _) | (Stop::Graceful, Phase::Stopping { .. }) => return,
            (Stop::Graceful, Phase::Working) => {
                let end_at = now + self.settings.stop_deadline;
                self.phase = Phase::Stopping {
                    cancel_at: Some(now + self.settings.stop_grace),
                    end_at: Some(end_at),
                    give_up_at: end_at + FLUSH_DEADLINE,
                };
            }
            (Stop::Now, _) => {
                self.phase = Phase::Stopping {
                    cancel_at: Some(now),
                    end_at: Some(now),
                    give_up_at: now + FLUSH_DEADLINE,
                };
            }
        }
        if self.claiming.is_some() {
            self.give_up_claim();
        }
        self.lease.set_stopping();
    }

    fn next_phase(&mut self) -> Result<()> {
        let Phase::Stopping { cancel_at, end_at, give_up_at } = self.phase else { return Ok(()) };
        if cancel_at.is_some() {
            self.held.stop_all();
            self.phase = Phase::Stopping { cancel_at: None, end_at, give_up_at };
        } else if end_at.is_some() {
            self.end_all.send_replace(Stop::Now);
            self.phase = Phase::Stopping { cancel_at: None, end_at: None, give_up_at };
        } else {
            // A call that still tries to report has its reports, and not the outbox.
            return Err(undelivered(self.held.count()));
        }
        Ok(())
    }
}

fn undelivered(jobs: usize) -> Error {
    let s = if jobs == 1 { "" } else { "s" };
    let message = format!(
        "the worker stopped without delivering the outcome of {jobs} job{s}, because the store or server cannot be reached; what did not arrive is run again after its lease"
    );
    Error::new(ErrorCode::Unavailable, message)
}

/// Whether an error means that one of the reports makes no sense, rather than that nothing works.
fn is_refusal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Invalid | ErrorCode::OverLimit | ErrorCode::Conflict | ErrorCode::NotFound
    )
}

/// The answer of a call, once it is there; waits for ever where there is no call.
async fn answer_of<T>(call: &mut Option<Call<T>>) -> T {
    let answer = match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    };
    *call = None;
    answer
}
