//! Workers that wait, each with a store of its own as a process would have it.

use std::sync::Arc;
use std::time::Duration;

use taskwright_core::Name;
use taskwright_postgres::{PostgresOptions, PostgresStore};
use taskwright_store::{Error, ErrorKind, Heartbeat, Result, Store, WorkerInfo};
use tokio_postgres::NoTls;

use crate::load::Claimer;

pub async fn run(url: &str, workers: u64, seconds: u64) -> Result<()> {
    let mut stores = Vec::new();
    for _ in 0..workers {
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}pool=1");
        let store = PostgresStore::open(&url, PostgresOptions::default()).await?;
        let (sweeping, waiting) = (Arc::clone(&store), Arc::clone(&store));
        tokio::spawn(async move {
            loop {
                if let Ok(swept) = sweeping.sweep(1_000).await
                    && swept.more
                {
                    continue;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        tokio::spawn(async move {
            let mut claimer = Claimer::new(&waiting, 1);
            loop {
                let _ = claimer.claim(10, Duration::from_secs(30)).await;
            }
        });
        tokio::spawn(beat(Arc::clone(&store)));
        stores.push(store);
    }
    let plain = url.split('?').next().unwrap_or(url);
    let (client, connection) = tokio_postgres::connect(plain, NoTls).await.map_err(failed)?;
    tokio::spawn(connection);
    let commits = async || -> Result<i64> {
        let row = client
            .query_one(
                "select (xact_commit + xact_rollback)::bigint from pg_stat_database \
                 where datname = current_database()",
                &[],
            )
            .await
            .map_err(failed)?;
        row.try_get(0).map_err(failed)
    };
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (before, cpu) = (commits().await?, own_cpu());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let statements = (commits().await? - before) as f64 / seconds as f64;
    println!(
        "{workers} workers: {statements:.0} statements a second, {:.2} each",
        statements / workers as f64
    );
    println!("{:.2} % of a core in this process", (own_cpu() - cpu) / seconds as f64 * 100.0);
    Ok(())
}

async fn beat(store: Arc<PostgresStore>) {
    loop {
        let heartbeat = Heartbeat {
            namespace: Name::default_name(),
            worker: taskwright_core::WorkerId::from_u128(u128::from(std::process::id())),
            settled: 0,
            held: Vec::new(),
            progress: Vec::new(),
            info: WorkerInfo::default(),
        };
        let _ = store.heartbeat(heartbeat).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Seconds of processor time of this process.
fn own_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn failed(error: tokio_postgres::Error) -> Error {
    Error::new(ErrorKind::Unavailable, error.to_string())
}
