//! What a task can know and say: its attempt, cancellation, progress, checkpoints, and errors that
//! decide what follows. `cargo run -p taskwright --example context`

use std::time::Duration;

use taskwright::{BoxError, Context, NoResult, TaskError, Taskwright, task};

/// Imports rows, and goes on after the last one that an earlier attempt had imported.
#[task(queue = "imports", retry = ["10ms", "1s"], timeout = "1h")]
async fn import(ctx: &Context, rows: Vec<String>) -> Result<usize, BoxError> {
    let done = ctx.last_checkpoint::<usize>()?.unwrap_or(0);
    for (number, row) in rows.iter().enumerate().skip(done) {
        if ctx.is_cancelled() {
            return Err(TaskError::release().into());
        }
        if row.is_empty() {
            return Err(TaskError::fatal(format!("row {number} is empty")).into());
        }
        ctx.checkpoint(&(number + 1)).await?;
        ctx.progress(&format!("{} of {}", number + 1, rows.len()))?;
        if number == 1 && ctx.attempt() == 1 {
            return Err("the network is away".into());
        }
    }
    Ok(rows.len())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = Taskwright::connect("memory:").await?;
    let worker = app.worker().serve(import).queues(["imports"]).start()?;

    let rows = ["one", "two", "three"].map(String::from).to_vec();
    let good = app.enqueue(import::job(rows)).await?;
    println!("imported {} rows", good.result_timeout(Duration::from_secs(10)).await?);

    let bad = app.enqueue(import::job(vec![String::new()])).await?;
    match bad.result().await {
        Err(NoResult::Dead { message, .. }) => println!("not imported: {message}"),
        other => println!("unexpected: {other:?}"),
    }

    worker.stop().await?;
    app.close().await?;
    Ok(())
}
