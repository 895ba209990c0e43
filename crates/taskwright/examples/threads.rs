//! A thread pool that survives a crash: blocking tasks, no async code, jobs in files.
//!
//! Run it twice, and stop it in between with Ctrl-C: what was not done is done then.
//! `cargo run -p taskwright --example threads -- ./example-data`

use std::time::Duration;

use taskwright::{Taskwright, task};

#[task(max_attempts = 3, timeout = "1m")]
fn count_primes(below: u32) -> usize {
    std::thread::sleep(Duration::from_millis(200));
    (2..below).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "./example-data".to_owned());
    let app = Taskwright::connect_blocking(&format!("file:{directory}"))?;
    let left = app.size("default")?;
    if left > 0 {
        println!("{left} jobs are left from the last run");
    } else {
        app.enqueue_all((1..=50).map(|n| count_primes::job(n * 1_000)).collect())?;
    }

    let worker = app.start_worker(|worker| {
        worker.serve(count_primes).slots(4).on_complete(|ended| {
            println!("job {} ended after {:?}: {:?}", ended.id, ended.duration, ended.outcome);
        })
    })?;
    app.join("default")?;
    worker.stop()?;
    app.close()?;
    Ok(())
}
