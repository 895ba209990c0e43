//! The `taskwright` command.

mod arguments;
mod commands;
mod connect;
mod each;
mod exit;
mod json;
mod matrix;
mod payload;
mod show;
mod signals;
mod subprocess;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A guard is started for each slot, so it does not even read a command line.
    if std::env::args_os().nth(1).is_some_and(|word| word == subprocess::guard::COMMAND) {
        return subprocess::guard::run();
    }
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::Serve(_) | Command::Bench(_)) {
        // Huge pages make a store of a million small jobs a tenth bigger, and each fresh one stops
        // a thread to be zeroed. Commands that start others must not: those would inherit it.
        let _ = rustix::thread::disable_transparent_huge_pages(true);
    }
    show::set_up(&arguments.global);
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => exit::fail(&error).into(),
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Runtime::new()?;
    let exit = runtime.block_on(dispatch(arguments));
    // Threads that wait for input that never comes do not hold us up.
    runtime.shutdown_background();
    exit
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { global, command } = arguments;
    // A server of a store that a URL names keeps its token in the directory.
    if global.store.is_some() && global.data.is_some() && !matches!(command, Command::Serve(_)) {
        let message = "the argument '--store <URL>' cannot be used with '--data <DIR>' here";
        Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit();
    }
    match command {
        Command::Simulate(arguments) => commands::simulate::run(&global, arguments).await,
        Command::Bench(arguments) => commands::bench::run(&global, arguments).await,
        Command::Each(arguments) => commands::each::run(&global, arguments).await,
        Command::Serve(arguments) => commands::serve::run(&global, arguments).await,
        Command::Worker(arguments) => commands::worker::run(&global, arguments).await,
        Command::Enqueue(arguments) => commands::enqueue::run(&global, *arguments).await,
        Command::Jobs(arguments) => commands::jobs::run(&global, arguments).await,
        Command::Job(arguments) => commands::job::run(&global, arguments).await,
        Command::Queues(arguments) => commands::queues::run(&global, arguments).await,
        Command::Peek(arguments) => commands::peek::run(&global, arguments).await,
        Command::Size(arguments) => commands::size::run(&global, arguments).await,
        Command::Workers(arguments) => commands::workers::run(&global, arguments).await,
        Command::Costs(arguments) => commands::costs::run(&global, arguments).await,
        Command::Why(arguments) => commands::why::run(&global, arguments).await,
        Command::Place(arguments) => commands::place::run(&global, arguments).await,
        Command::Nodes(arguments) => commands::nodes::run(&global, arguments).await,
        Command::Limits(arguments) => commands::limits::run(&global, arguments).await,
        Command::Limit(arguments) => commands::limit::run(&global, arguments).await,
        Command::Schedules(arguments) => commands::schedules::run(&global, arguments).await,
        Command::Calendars(arguments) => commands::calendars::run(&global, arguments).await,
        Command::Adjust(arguments) => commands::adjust::run(&global, arguments).await,
        Command::Cancel(arguments) => commands::cancel::run(&global, arguments).await,
        Command::Redrive(arguments) => commands::redrive::run(&global, arguments).await,
        Command::Delete(arguments) => commands::delete::run(&global, arguments).await,
        Command::Pause(arguments) => commands::pause::run(&global, arguments).await,
        Command::Resume(arguments) => commands::resume::run(&global, arguments).await,
        Command::Claim(arguments) => commands::claim::run(&global, arguments).await,
        Command::Report(arguments) => commands::report::run(&global, arguments).await,
        Command::Doctor(arguments) => commands::doctor::run(&global, arguments).await,
        Command::Move(arguments) => commands::moving::run(&global, arguments).await,
        Command::Migrate(arguments) => commands::migrate::run(&global, arguments).await,
        Command::Fsck(arguments) => commands::fsck::run(&global, &arguments),
    }
}
