//! How fast workloads are played: `cargo run --release -p taskwright-simulate --example pace -- FILE`.
//! Without a file: a million jobs on ten thousand workers.

use std::time::Instant;

const MILLION: &str = r#"
    seed = 1
    jobs = 1_000_000
    [[task]]
    name = "work"
    arrivals = { poisson = "9500/s" }
    runs = { exponential = "1s" }
    fails = 0.01
    [[worker]]
    name = "worker"
    count = 10_000
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => MILLION.to_owned(),
    };
    for (name, workload) in taskwright_simulate::read(&text)? {
        let began = Instant::now();
        let outcome = taskwright_simulate::simulate(&workload)?;
        let took = began.elapsed();
        let rate = outcome.jobs as f64 / took.as_secs_f64();
        let name = name.unwrap_or_default();
        println!("{name} {} jobs in {took:.2?}: {rate:.0} jobs a second", outcome.jobs);
        println!(
            "  {} attempts, {} dead, makespan {:.1?}, waiting mean {:.1?}, p99 {:.1?}",
            outcome.attempts,
            outcome.dead,
            outcome.makespan,
            outcome.waiting.mean,
            outcome.waiting.p99
        );
    }
    Ok(())
}
