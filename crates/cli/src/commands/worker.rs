//! `taskwright worker`

use std::ffi::OsString;
use std::num::NonZero;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taskwright::{Attempt, Completion, Context, Handler, RunningWorker, Worker};
use taskwright_core::limits::PAYLOAD_BYTES_MAX;
use taskwright_core::{Json, Labels, Name, Resources, format_duration, parse_duration};
use taskwright_store::{Outcome, Reported, Retry};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::signals::Signals;
use crate::subprocess::{self, Meaning, Slots, Template};
use crate::{connect, show};

/// Run the jobs of a task with a command, in any language
#[derive(Debug, Args)]
#[command(
    after_help = "The command gets the args of a job as JSON on its standard input, and prints the result: \
JSON, or a text. Exit codes: 0 completed, 65 failed for good, 75 run again later, else failed. It is \
killed, with all that it started, when the job times out or is cancelled and when the worker dies.
It finds TASKWRIGHT_JOB_ID, TASKWRIGHT_ATTEMPT, TASKWRIGHT_TASK and TASKWRIGHT_QUEUE in its environment; \
where the job is a shard also TASKWRIGHT_SHARD_INDEX, from 0, and TASKWRIGHT_SHARD_TOTAL.

Examples:
  taskwright worker --queue mail --task mail.send --exec 'python3 send.py'
  taskwright worker --task train --exec ./train --label gpu=24 --label region=eu"
)]
pub struct Arguments {
    /// The task to run
    #[arg(long, short, value_name = "NAME")]
    task: Name,
    /// The queues to take jobs from
    #[arg(long = "queue", short, value_name = "NAME", default_value = "default")]
    queues: Vec<Name>,
    /// The command, split as a shell splits words; no shell runs it
    #[arg(long, short, value_name = "CMD")]
    exec: OsString,
    /// How many jobs to run at once; one that costs several slots takes as many [default: the number of processors]
    #[arg(long, short = 'n', value_name = "N")]
    slots: Option<NonZero<u16>>,
    /// When a job runs again whose command exited with 75
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    snooze: Duration,
    /// How long running jobs may go on when the worker is asked to stop, before they get SIGTERM
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    grace: Duration,
    /// A label, like gpu=24 or spot; repeat it for others. Jobs that require labels go to workers
    /// that match
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// A resource and how much of it there is in all, like memory=64; repeat it for others. The jobs
    /// that run never take more of it together
    #[arg(long = "resource", value_name = "NAME=AMOUNT")]
    resources: Vec<String>,
    /// Take fewer jobs over so much of the processors in use, like 90%; see docs/placement.md
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_cpu: Option<u32>,
    /// Take fewer jobs over so much of the memory in use, like 90%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_memory: Option<u32>,
    /// Take fewer jobs when the worker itself is later than this with what it has to do, like 250ms
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    max_lag: Option<Duration>,
    /// A name for people [default: host and process id]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Say how each attempt went, not only those that failed
    #[arg(long, short)]
    verbose: bool,
}

/// How long jobs have between SIGTERM and SIGKILL when the worker stops.
const END_GRACE: Duration = Duration::from_secs(5);

/// Runs jobs until the process is asked to end.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let template = Template::split("--exec", &arguments.exec)?;
    subprocess::check_program(&String::from_utf8_lossy(&template.words()[0]))?;
    let slots = arguments.slots.map_or_else(processors, |slots| usize::from(slots.get()));
    let mut signals = Signals::listen()?;
    let labels = labels_of(&arguments.labels)?;
    let resources = Resources::parse(arguments.resources.iter().map(String::as_str))?;
    let app = connect::connect(global).await?;
    let handler = CommandHandler { template, slots: Slots::default(), snooze: arguments.snooze };
    let (is_json, is_verbose) = (global.json, arguments.verbose);
    let worker = limited(app.worker(), &arguments);
    let worker = labels.iter().fold(worker, |worker, (name, value)| worker.label(name, value));
    let worker = resources
        .iter()
        .fold(worker, |worker, (name, amount)| worker.resource(name.as_str(), amount));
    let running = worker
        .queues(arguments.queues.iter().map(Name::as_str))
        .slots(slots)
        .name(&arguments.name.unwrap_or_else(name))
        .handler(arguments.task.as_str(), handler)
        .stop_grace(arguments.grace)
        .stop_deadline(arguments.grace + END_GRACE)
        .on_complete(move |completion| tell(completion, is_json, is_verbose))
        .start()?;
    let queues: Vec<&str> = arguments.queues.iter().map(Name::as_str).collect();
    if is_json {
        show::print(json!({"worker": running.id().to_string(), "slots": slots}))?;
    } else {
        eprintln!(
            "Worker {} serves task {} of queue {} with {}; Ctrl-C stops.",
            running.id(),
            arguments.task,
            queues.join(", "),
            show::counted(slots as u64, "slot")
        );
    }
    until_stopped(running, &mut signals, arguments.grace).await?;
    app.close().await?;
    Ok(Exit::Done)
}

/// The worker with the maxima of its load.
fn limited(mut worker: Worker, arguments: &Arguments) -> Worker {
    if let Some(percent) = arguments.max_cpu {
        worker = worker.max_cpu_percent(percent);
    }
    if let Some(percent) = arguments.max_memory {
        worker = worker.max_memory_percent(percent);
    }
    match arguments.max_lag {
        Some(lag) => worker.max_lag(lag),
        None => worker,
    }
}

/// Reads a share such as `90%`.
fn percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse();
    let percent = number.ok().filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| "write a share from 1% to 100%".to_owned())
}

/// Names and values of labels; a label without a value has an empty one.
fn labels_of(texts: &[String]) -> Result<Vec<(String, String)>> {
    let labels = Labels::parse(texts.iter().map(String::as_str))?;
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    Ok(labels.texts().iter().map(pair).collect())
}

/// As many slots as there are processors.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn name() -> String {
    let host = rustix::system::uname();
    format!("{}:{}", host.nodename().to_string_lossy(), std::process::id())
}

async fn until_stopped(
    running: RunningWorker,
    signals: &mut Signals,
    grace: Duration,
) -> Result<()> {
    let stopper = running.stopper();
    let mut ended = std::pin::pin!(running.ended());
    let mut asked = 0;
    loop {
        tokio::select! {
            ended = &mut ended => return Ok(ended?),
            _ = signals.next() => {
                asked += 1;
                if asked == 1 {
                    let grace = show::format_whole(grace);
                    eprintln!("Stopping; running jobs have {grace}, once more gives them back at once.");
                    stopper.stop();
                } else {
                    stopper.stop_now();
                }
            }
        }
    }
}

/// Says how an attempt went.
fn tell(completion: &Completion, is_json: bool, is_verbose: bool) {
    let (word, error) = match &completion.outcome {
        Outcome::Completed { .. } => ("completed", None),
        Outcome::Failed { error, .. } => ("failed", Some(&*error.message)),
        Outcome::TimedOut => ("timed_out", None),
        Outcome::Snoozed { .. } => ("snoozed", None),
        Outcome::Released => ("released", None),
        Outcome::Cancelled { .. } => ("cancelled", None),
        Outcome::Checkpoint { .. } => return,
    };
    let counts = matches!(completion.reported, Some(Reported::Applied { .. } | Reported::Already));
    if is_json {
        let line = json!({
            "id": completion.id.to_string(),
            "task": completion.task.as_str(),
            "queue": completion.queue.as_str(),
            "attempt": completion.attempt,
            "verdict": word,
            "error": error,
            "running_ms": completion.duration.as_secs_f64() * 1e3,
            "accepted": counts,
        });
        // Where stdout is gone there is nobody to tell.
        let _ = show::print(line);
    } else if is_verbose || !counts || matches!(word, "failed" | "timed_out") {
        let ran = format_duration(completion.duration);
        let error = error.map(|error| format!(": {}", show::short(error, 300))).unwrap_or_default();
        let refused = if counts { "" } else { " (refused: the attempt had been given up)" };
        let word = word.replace('_', " ");
        eprintln!(
            "Job {} attempt {} {word} after {ran}{error}{refused}",
            completion.id, completion.attempt
        );
    }
}

/// Runs a command for each job of a task.
struct CommandHandler {
    template: Template,
    slots: Slots,
    snooze: Duration,
}

impl Handler for CommandHandler {
    fn start(&self, args: Json, context: Context) -> Attempt {
        let (words, slots, snooze) = (self.template.plain(), self.slots.clone(), self.snooze);
        Attempt::future(async move {
            let mut slot = slots.take();
            let input = Some(args.as_str().as_bytes().to_vec());
            let ran = subprocess::run(words, input, &context, &mut slot).await;
            slot.free();
            match subprocess::meaning(&ran, PAYLOAD_BYTES_MAX) {
                Meaning::Completed => completed(&ran.stdout),
                Meaning::Snoozed => Outcome::Snoozed { delay: snooze },
                Meaning::Failed { error, is_final } => {
                    let retry = if is_final { Retry::Never } else { Retry::ByPolicy };
                    Outcome::Failed { error, retry }
                }
                Meaning::Stopped => subprocess::stopped(&context),
            }
        })
    }

    fn stops_with_lease(&self) -> bool {
        true
    }
}

/// The output as a result: JSON as it is, any other text as a JSON string, nothing as none.
fn completed(output: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(output);
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Outcome::Completed { result: None };
    }
    let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
    let result = if is_json { text.to_owned() } else { json!(text).to_string() };
    if result.len() > PAYLOAD_BYTES_MAX {
        let error = subprocess::too_much_output(PAYLOAD_BYTES_MAX);
        return Outcome::Failed { error, retry: Retry::Never };
    }
    Outcome::Completed { result: Some(Json::from_trusted(result)) }
}

#[cfg(test)]
#[path = "../tests/worker.rs"]
mod tests;
