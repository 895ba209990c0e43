//! `taskwright jobs`

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;
use taskwright_core::limits::PAGE_MAX;
use taskwright_core::{Job, Name, StateName};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::{JobLine, line};
use crate::{connect, show};

/// Longest error in a table, in characters.
const ERROR_SHOWN: usize = 50;

/// List jobs, the newest first
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only of this queue
    #[arg(long, short, value_name = "NAME")]
    queue: Option<Name>,
    /// Only of this task
    #[arg(long, short, value_name = "NAME")]
    task: Option<Name>,
    /// Only in this state: blocked, available, running, completed, dead, cancelled, expired
    #[arg(long, short, value_parser = show::parse_state)]
    state: Option<StateName>,
    /// Only with this tag
    #[arg(long, value_name = "WORD")]
    tag: Option<String>,
    /// The most to list
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: usize,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Only jobs before this number: the next page
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
}

/// Lists them, page by page.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let mut left = if arguments.all { usize::MAX } else { arguments.limit };
    let mut filter = app.filter();
    filter.queue = arguments.queue;
    filter.task = arguments.task;
    filter.state = arguments.state;
    filter.tag = arguments.tag.as_deref().map(Into::into);
    filter.before = arguments.before;
    let mut is_first = true;
    let next = loop {
        filter.limit = left.min(PAGE_MAX);
        let page = app.list(filter.clone()).await?;
        print(global, &page.jobs, is_first)?;
        left -= page.jobs.len().min(left);
        is_first = false;
        filter.before = page.next;
        if left == 0 || page.next.is_none() {
            break page.next;
        }
    };
    if let Some(next) = next
        && !global.json
    {
        eprintln!("There are more: --before {next} shows the next page, --all shows all.");
    }
    app.close().await?;
    Ok(Exit::Done)
}

fn print(global: &Global, jobs: &[Job], is_first: bool) -> Result<()> {
    if global.json {
        for job in jobs {
            show::print(line(&JobLine::from(job)))?;
        }
        return Ok(());
    }
    if jobs.is_empty() {
        if is_first {
            eprintln!("There are no such jobs.");
        }
        return Ok(());
    }
    show::print(show::rendered(&table(jobs)))?;
    Ok(())
}

/// A table of jobs.
pub fn table(jobs: &[Job]) -> comfy_table::Table {
    let heads = ["ID", "TASK", "QUEUE", "STATE", ">ATTEMPT", "CREATED", "ERROR"];
    let mut table = show::table(&std::io::stdout(), &heads);
    for job in jobs {
        let error = job.error.as_ref().map(|error| show::short(&error.message, ERROR_SHOWN));
        table.add_row([
            Cell::new(job.id),
            Cell::new(&job.task),
            Cell::new(&job.queue),
            show::state_cell(job),
            Cell::new(format!("{}/{}", job.life.attempt, job.life.max_attempts)),
            Cell::new(show::relative(job.created_at)),
            Cell::new(error.unwrap_or_default()),
        ]);
    }
    table
}
