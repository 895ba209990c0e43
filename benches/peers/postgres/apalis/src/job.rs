//! The job that everybody gets: 200 bytes of JSON, with a number by which it is found again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use apalis::prelude::TaskBuilder;
use apalis_postgres::PgTask;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

const LENGTH: usize = 200;
const DIGITS: usize = 8;

/// The args of a job.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Job {
    number: String,
    text: String,
}

impl Job {
    /// The job with this number (below 10⁸).
    pub fn new(number: u32) -> Job {
        let bare = r#"{"number":"","text":""}"#.len() + DIGITS;
        Job { number: format!("{number:0DIGITS$}"), text: "x".repeat(LENGTH - bare) }
    }

    /// The same as apalis stores it.
    pub fn task(&self) -> Result<PgTask> {
        Ok(TaskBuilder::new(serde_json::to_vec(self)?).build())
    }
}

/// Which jobs ran, and when the last did.
#[derive(Debug)]
pub struct Marks {
    jobs: Vec<AtomicBool>,
    ran: AtomicU32,
    wrong: AtomicU32,
    last: watch::Sender<Option<Instant>>,
}

impl Marks {
    /// None of so many jobs ran yet.
    pub fn new(count: u32) -> Marks {
        Marks {
            jobs: (0..count).map(|_| AtomicBool::new(false)).collect(),
            ran: AtomicU32::new(0),
            wrong: AtomicU32::new(0),
            last: watch::Sender::new(None),
        }
    }

    /// Says that this job runs now.
    pub fn ran(&self, job: &Job) {
        let number = job.number.parse::<usize>().ok();
        let mark = number.and_then(|number| self.jobs.get(number));
        if mark.is_none_or(|mark| mark.swap(true, Ordering::Relaxed)) {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
        let before = self.ran.fetch_add(1, Ordering::Relaxed) as usize;
        if before + 1 == self.jobs.len() {
            self.last.send_replace(Some(Instant::now()));
        }
    }

    /// Resolves when as many ran as there are.
    pub async fn all(&self) -> Result<()> {
        self.last.subscribe().wait_for(Option::is_some).await?;
        Ok(())
    }

    /// When the last ran.
    ///
    /// # Errors
    /// When not each ran once.
    pub fn last(&self) -> Result<Instant> {
        let (wrong, ran) = (self.wrong.load(Ordering::Relaxed), self.ran.load(Ordering::Relaxed));
        match *self.last.borrow() {
            Some(last) if wrong == 0 && ran as usize == self.jobs.len() => Ok(last),
            _ => bail!("of {} jobs {ran} ran, {wrong} of them twice", self.jobs.len()),
        }
    }
}
