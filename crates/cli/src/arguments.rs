//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use taskwright_core::Name;

use crate::commands::{
    adjust, bench, calendars, cancel, claim, costs, delete, doctor, each, enqueue, fsck, job, jobs,
    limit, limits, migrate, moving, nodes, pause, peek, place, queues, redrive, report, resume,
    schedules, serve, simulate, size, why, worker, workers,
};

/// Durable jobs: enqueue them, run them, get results; nothing is lost when anything is killed.
#[derive(Debug, Parser)]
#[command(
    name = "taskwright",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done · 1 error, or a job did not complete · 2 wrong usage · \
3 no such job, nothing to claim, or no worker that matches · 4 the time to wait was over · 130 Ctrl-C"
)]
pub struct Arguments {
    /// What every command knows.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command knows.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The directory of the store [default: ./taskwright-data]
    ///
    /// Where a server or an application has it open, commands talk to it through the socket inside;
    /// where none does, they open the store themselves.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "server")]
    pub data: Option<PathBuf>,
    /// The store, by its URL: postgres://USER@HOST/DATABASE or file:DIR [env: TASKWRIGHT_STORE]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "server")]
    pub store: Option<String>,
    /// Talk to the server at this URL instead [env: TASKWRIGHT_SERVER; its token: TASKWRIGHT_TOKEN]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The tenant whose jobs are meant
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub namespace: Name,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no colours (also: NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command for each input: a durable, resumable `xargs -P`
    Each(each::Arguments),
    /// Serve a store over HTTP
    Serve(serve::Arguments),
    /// Run the jobs of a task with a command
    Worker(worker::Arguments),
    /// Enqueue a job
    Enqueue(Box<enqueue::Arguments>),
    /// List jobs, the newest first
    Jobs(jobs::Arguments),
    /// Show all of a job
    Job(job::Arguments),
    /// List queues with the numbers of their jobs
    Queues(queues::Arguments),
    /// Show the next jobs of a queue
    Peek(peek::Arguments),
    /// Tell how many jobs of a queue have not ended
    Size(size::Arguments),
    /// List workers
    Workers(workers::Arguments),
    /// Show how long which tasks waited for and ran on which workers
    Costs(costs::Arguments),
    /// Tell why a job does not run yet
    Why(why::Arguments),
    /// Tell which workers may run a job, and why the others may not
    Place(place::Arguments),
    /// List the processes that have the store open
    Nodes(nodes::Arguments),
    /// List limits
    Limits(limits::Arguments),
    /// Limit what may start of a queue, task, group or key
    Limit(limit::Arguments),
    /// Jobs made again and again: list, set, preview, pause, plan and apply a file
    Schedules(schedules::Arguments),
    /// Days on which schedules make no job
    Calendars(calendars::Arguments),
    /// Change the priority or start of jobs that wait
    Adjust(adjust::Arguments),
    /// Stop jobs
    Cancel(cancel::Arguments),
    /// Restart jobs that have ended
    Redrive(redrive::Arguments),
    /// Remove jobs that have ended
    Delete(delete::Arguments),
    /// Let no job of a queue start
    Pause(pause::Arguments),
    /// Let jobs of a queue start again
    Resume(resume::Arguments),
    /// Take a job to run by hand
    Claim(claim::Arguments),
    /// Say how a job that was claimed by hand went
    Report(report::Arguments),
    /// Say what the store is, what it promises and how it is
    Doctor(doctor::Arguments),
    /// Check the directory of a closed store
    Fsck(fsck::Arguments),
    /// Move all jobs and settings from one store into another
    Move(moving::Arguments),
    /// Bring the schema of a store in PostgreSQL to the version of this program
    Migrate(migrate::Arguments),
    /// Play a workload against the scheduling code, with a virtual clock
    Simulate(simulate::Arguments),
    /// Measure scheduling, execution, latency and error handling, beside their floors
    Bench(bench::Arguments),
}
