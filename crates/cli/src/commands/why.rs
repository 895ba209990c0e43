//! `taskwright why`

use anyhow::Result;
use clap::Args;
use taskwright::Why;
use taskwright_core::JobId;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::in_a_line;
use crate::{connect, show};

/// Tell why a job does not run yet, with figures
#[derive(Debug, Args)]
#[command(after_help = "Exit code 3: there is no such job

Example:
  taskwright why 019aa2f4-7d31-7c51-8f0e-2b1c6d9e0a42")]
pub struct Arguments {
    /// The job
    #[arg(value_name = "JOB")]
    id: JobId,
}

/// Tells.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let asked = app.why(arguments.id).await;
    app.close().await?;
    let Some(why) = asked? else {
        eprintln!("There is no job {}; it may have been deleted or pruned.", arguments.id);
        return Ok(Exit::Nothing);
    };
    if global.json {
        show::print(in_a_line(&taskwright_protocol::write_why(&why)))?;
    } else {
        for line in lines(&why) {
            show::print(show::harmless(&line))?;
        }
    }
    Ok(Exit::Done)
}

fn lines(why: &Why) -> Vec<String> {
    let mut lines = vec![format!("{}.", why.verdict)];
    lines.extend(why.blockers.iter().skip(1).map(|blocker| format!("Also: {}.", blocker.detail)));
    if let Some(ahead) = why.ahead {
        let jobs = show::counted(ahead.jobs as u64, "job");
        let at_least = if ahead.is_exact { "" } else { "At least " };
        lines.push(format!("{at_least}{jobs} of its queue come first."));
    }
    if let Some((soon, late)) = why.start {
        lines.push(format!(
            "It may start {} to {}, by the running times seen so far.",
            show::relative(soon),
            show::relative(late)
        ));
    }
    lines
}
