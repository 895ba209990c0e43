//! Figures: one JSON object a line.

use std::time::Duration;

use serde_json::json;

/// Prints a figure with the latencies of the calls behind it.
pub fn print(measure: &str, jobs: usize, seconds: f64, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let percentile = |percent: usize| {
        let index = (latencies.len().saturating_sub(1) * percent + 50) / 100;
        latencies.get(index).map(|latency| latency.as_micros() as f64 / 1_000.0)
    };
    let figure = json!({
        "peer": "apalis-postgres",
        "measure": measure,
        "value": (jobs as f64 / seconds.max(1e-9)).round(),
        "unit": "jobs/s",
        "p50_ms": percentile(50),
        "p99_ms": percentile(99),
    });
    println!("{figure}");
}
