//! One life of a run, from opening its store to its summary.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use taskwright::{Stopper, Taskwright};
use taskwright_core::{Name, StateName, WorkerId};
use taskwright_store::{Command, QueueCounts};
use tokio::sync::Notify;

use super::console::Console;
use super::cost::Costs;
use super::feed::{Recipe, feed};
use super::handler::Runner;
use super::place::Place;
use super::print::Printer;
use super::progress::{Progress, Seen};
use super::roster::Roster;
use super::source::Source;
use super::store;
use super::summary::Summary;
use crate::exit::{self, Exit};
use crate::show;
use crate::signals::Signals;
use crate::subprocess::{Slots, Template};

/// The task of all jobs.
pub const TASK: &str = "each";
/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long commands have between SIGTERM and SIGKILL when the run is stopped.
const END_GRACE: Duration = Duration::from_secs(3);
/// What a run is asked to do.
#[derive(Debug)]
pub struct Settings {
    /// Its name and where it is kept.
    pub place: Place,
    /// The namespace of its jobs, where it is kept in a store that others use as well.
    pub namespace: Name,
    /// The command.
    pub template: Template,
    /// The inputs; `None`: those that the run has.
    pub source: Option<Source>,
    /// How many commands run at once.
    pub jobs: usize,
    /// How often an input is tried again.
    pub retries: u32,
    /// The longest a command may run.
    pub timeout: Option<Duration>,
    /// Whether to stop at the first input that fails for good.
    pub fail_fast: bool,
    /// Whether outputs are printed in the order of inputs.
    pub in_order: bool,
    /// Whether JSON is wanted.
    pub is_json: bool,
    /// Whether only errors are told.
    pub is_quiet: bool,
}

/// The end of a worker.
type Ended = Pin<Box<dyn Future<Output = taskwright::Result<()>> + Send>>;

/// How the work of one life ended.
enum End {
    /// Every input has ended, and is printed.
    Done,
    /// One failed, and that was to end it.
    FailedFast,
    /// A signal with this number.
    Asked(u8),
    /// The worker cannot go on.
    WorkerEnded(taskwright::Result<()>),
    /// Something else broke.
    Broken(anyhow::Error),
}

/// Runs it until every input has ended or somebody stops it.
pub async fn run(settings: Settings) -> Result<Exit> {
    let signals = Signals::listen()?;
    Signals::listen()?.exit_at(3);
    let console = Console::new(settings.is_quiet);
    let app = store::open(&settings.place, settings.namespace.as_str()).await?;
    let run = store::current_run(&app, &settings.place).await?;
    let queue = store::queue_of(&run)?;
    restart_failed(&app, &queue, settings.retries + 1).await?;
    let before = app.counts_of(queue.as_str()).await?;
    greet(&console, &settings, &before);

    let roster = Roster::new(&run);
    let (life, worker) = Life::begin(settings, app, queue, roster, before, console)?;
    life.live(worker, signals).await
}

/// What failed in an earlier life is tried again.
async fn restart_failed(app: &Taskwright, queue: &Name, attempts: u32) -> Result<()> {
    let redrive = |id| Command::Redrive { namespace: app.namespace().clone(), id, attempts };
    for state in [StateName::Dead, StateName::Cancelled, StateName::Expired] {
        store::control_all(app, queue, state, redrive).await?;
    }
    Ok(())
}

fn greet(console: &Console, settings: &Settings, before: &QueueCounts) {
    let known = before.completed + before.live();
    if known > 0 {
        let (completed, known) = (show::count(before.completed), show::count(known));
        let name = &settings.place.name;
        console.tell(format_args!("Resuming run {name}: {completed} of {known} inputs are done."));
    }
}

/// One life of a run.
struct Life {
    settings: Settings,
    app: Taskwright,
    queue: Name,
    before: QueueCounts,
    console: Console,
    roster: Roster,
    costs: Costs,
    failed: Arc<Notify>,
    worker: WorkerId,
    stopper: Stopper,
    began: Instant,
}

impl Life {
    fn begin(
        settings: Settings,
        app: Taskwright,
        queue: Name,
        roster: Roster,
        before: QueueCounts,
        console: Console,
    ) -> Result<(Life, Ended)> {
        let (costs, failed) = (Costs::default(), Arc::new(Notify::new()));
        let runner = Runner {
            template: Arc::new(settings.template.clone()),
            slots: Slots::default(),
            costs: costs.clone(),
            console: console.clone(),
            failed: Arc::clone(&failed),
        };
        let worker = app
            .worker()
            .queues([queue.as_str()])
            .slots(settings.jobs)
            .handler(TASK, runner)
            .stop_grace(Duration::ZERO)
            .stop_deadline(END_GRACE)
            .start()?;
        let life = Life {
            settings,
            app,
            queue,
            before,
            console,
            roster,
            costs,
            failed,
            worker: worker.id(),
            stopper: worker.stopper(),
            began: Instant::now(),
        };
        Ok((life, Box::pin(worker.ended())))
    }

    async fn live(mut self, mut worker: Ended, mut signals: Signals) -> Result<Exit> {
        let end = self.work(&mut worker, &mut signals).await;
        self.console.clear();
        if !matches!(end, End::WorkerEnded(_)) {
            self.stopper.stop();
            loop {
                tokio::select! {
                    stopped = &mut worker => break stopped?,
                    _ = signals.next() => self.stopper.stop_now(),
                }
            }
        }
        let counts = self.app.counts_of(self.queue.as_str()).await?;
        let retried = self.costs.retried();
        let name = &self.settings.place.name;
        let summary = Summary::new(name, &counts, &self.before, retried, self.began.elapsed());
        let is_done = matches!(end, End::Done) && summary.is_all_completed();
        report(&self.settings, &self.console, &summary, &self.costs, is_done)?;
        self.app.close().await?;
        if is_done {
            self.settings.place.remove()?;
        }
        match end {
            End::Done if is_done => Ok(Exit::Done),
            End::Done | End::FailedFast => Ok(Exit::Failed),
            End::Asked(signal) => Ok(Exit::Signal(signal)),
            End::WorkerEnded(Err(error)) => Err(error.into()),
            End::WorkerEnded(Ok(())) => Ok(Exit::Failed),
            // Its reader has seen enough, but not everything was done.
            End::Broken(error) if exit::is_broken_pipe(&error) => Ok(Exit::Failed),
            End::Broken(error) => Err(error),
        }
    }

    /// Feeds, works and prints until one of the ends is there.
    async fn work(&mut self, worker: &mut Ended, signals: &mut Signals) -> End {
        let inputs = match self.settings.source.take().map(Source::start).transpose() {
            Ok(inputs) => inputs,
            Err(error) => return End::Broken(error),
        };
        let recipe = Recipe {
            task: match Name::new(TASK) {
                Ok(task) => task,
                Err(error) => return End::Broken(error.into()),
            },
            queue: self.queue.clone(),
            max_attempts: self.settings.retries + 1,
            timeout: self.settings.timeout,
        };
        let printer = Printer {
            app: self.app.clone(),
            roster: self.roster.clone(),
            worker: self.worker,
            console: self.console.clone(),
            costs: self.costs.clone(),
            is_json: self.settings.is_json,
        };
        let in_order = self.settings.in_order;
        // In a task of its own, because it blocks for as long as nobody reads.
        let printing = tokio::spawn(async move {
            if in_order { printer.in_order().await } else { printer.as_they_come().await }
        });
        let feed_and_print = async {
            let fed = feed(&self.app, &self.roster, &recipe, inputs);
            let printed = async { printing.await.context("cannot go on printing outputs")? };
            tokio::try_join!(fed, printed).map(drop)
        };
        tokio::select! {
            ended = feed_and_print => ended.map_or_else(End::Broken, |()| End::Done),
            () = self.failed.notified(), if self.settings.fail_fast => End::FailedFast,
            signal = signals.next() => End::Asked(signal),
            ended = worker => End::WorkerEnded(ended),
            error = self.watch() => End::Broken(error),
        }
    }

    /// Shows the progress for as long as the store answers.
    async fn watch(&self) -> anyhow::Error {
        let mut progress = Progress::new(self.console.clone());
        let mut look = tokio::time::interval(LOOK_EVERY);
        let grown = self.roster.grown();
        loop {
            look.tick().await;
            let counts = match self.app.counts_of(self.queue.as_str()).await {
                Ok(counts) => counts,
                Err(error) => return error.into(),
            };
            let failed = counts.dead + counts.cancelled + counts.expired;
            let ended = failed + counts.completed;
            let entered = *grown.borrow();
            let seen = Seen {
                ended,
                failed,
                total: (entered.jobs as u64).max(ended + counts.live()),
                is_all: entered.is_complete,
            };
            progress.show(Instant::now(), seen);
        }
    }
}

/// Says what the run comes to, and where it is kept if it is.
fn report(
    settings: &Settings,
    console: &Console,
    summary: &Summary,
    costs: &Costs,
    is_done: bool,
) -> Result<()> {
    if settings.is_json {
        console.print(format!("{}\n", summary.to_json(costs)).as_bytes())?;
    } else if summary.completed + summary.failed + summary.left == 0 {
        console.tell("There were no inputs.");
    } else {
        let tasks = summary.completed + summary.failed;
        if tasks > 0 {
            console.tell(format_args!("\n{}\n", costs.table(tasks)));
        }
        console.tell(summary.line());
    }
    if !is_done {
        let what = if summary.left > 0 { "goes on" } else { "tries what failed again" };
        console
            .tell(format_args!("The same command {what}; the run is kept in {}.", settings.place));
    }
    Ok(())
}
