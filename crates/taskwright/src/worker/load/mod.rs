//! Measures how loaded a worker is, and decides how many jobs it takes meanwhile. On the thread of its
//! lease, so that job code cannot keep it from being measured.

mod machine;

use std::time::{Duration, Instant};

use taskwright_core::placement::takes_after;
use taskwright_core::{Load, LoadMeasure};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub(crate) use machine::Machine;

/// The time between two measurements; each is of the time since the one before.
const MEASURE_EVERY: Duration = Duration::from_secs(2);
/// So often in that time the lag is looked at: the longest counts.
const LAGS: u32 = 8;

/// Measures what a worker uses of the machine that it runs on, in place of the worker's own meter: see
/// [`Worker::load_meter`](crate::Worker::load_meter).
pub trait LoadMeter: Send + 'static {
    /// What was used since the last call. It is called every two seconds, from a thread that must not
    /// be held up. Where it gives no lag, the worker adds what it has measured itself.
    fn measure(&mut self) -> LoadMeasure;
}

/// What measures one worker.
pub(crate) struct Gauge {
    meter: Box<dyn LoadMeter>,
    max: LoadMeasure,
    slots: u32,
    takes: u32,
    lag: Lag,
    told: watch::Sender<Load>,
}

impl Gauge {
    /// Measures for the first time. Must be called on the runtime of the worker's jobs, whose lag it
    /// measures.
    pub(crate) fn new(meter: Box<dyn LoadMeter>, max: LoadMeasure, slots: usize) -> Gauge {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        let told = watch::Sender::new(Load::default());
        let lag = Lag { runtime: Handle::current(), probe: None };
        let mut gauge = Gauge { meter, max, slots, takes: slots, lag, told };
        gauge.measure(None);
        gauge
    }

    /// Where the load can be seen as it was measured last. Who waits for a change is woken when
    /// another number of jobs is taken.
    pub(crate) fn load(&self) -> watch::Receiver<Load> {
        self.told.subscribe()
    }

    /// Measures for as long as it is polled.
    pub(crate) async fn run(mut self) {
        loop {
            let mut longest = None;
            for _ in 0..LAGS {
                self.lag.probe();
                tokio::time::sleep(MEASURE_EVERY / LAGS).await;
                longest = longest.max(self.lag.look());
            }
            self.measure(longest);
        }
    }

    fn measure(&mut self, lag: Option<Duration>) {
        let mut measured = self.meter.measure();
        measured.lag = measured.lag.or(lag);
        self.takes = takes_after(self.takes, self.slots, &measured, &self.max);
        let takes = (self.takes < self.slots).then_some(self.takes);
        let load = Load { measured, max: self.max, takes };
        self.told.send_if_modified(|told| {
            let is_other = told.takes != takes;
            *told = load;
            is_other
        });
    }
}

/// How late a runtime runs what is ready to run.
struct Lag {
    runtime: Handle,
    /// When the newest probe was sent, and where it says how late it was.
    probe: Option<(Instant, oneshot::Receiver<Duration>)>,
}

impl Lag {
    /// Sends a probe, unless one is still on its way.
    fn probe(&mut self) {
        if self.probe.is_some() {
            return;
        }
        let (late, came) = oneshot::channel();
        let sent_at = Instant::now();
        self.runtime.spawn(async move {
            // Nobody may be waiting any more.
            let _ = late.send(sent_at.elapsed());
        });
        self.probe = Some((sent_at, came));
    }

    /// How late the newest probe was; of one that still waits, how late it is.
    fn look(&mut self) -> Option<Duration> {
        let (sent_at, mut came) = self.probe.take()?;
        match came.try_recv() {
            Ok(late) => Some(late),
            Err(oneshot::error::TryRecvError::Empty) => {
                let late = sent_at.elapsed();
                self.probe = Some((sent_at, came));
                Some(late)
            }
            // The runtime ends.
            Err(oneshot::error::TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
#[path = "../../tests/lag.rs"]
mod tests;
