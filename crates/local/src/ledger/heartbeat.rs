//! Workers that say they live.

use std::collections::HashSet;

use taskwright_core::limits::HEARTBEAT_EVERY;
use taskwright_core::{JobError, JobId, Name, Token};
use taskwright_store::{CancelOrder, Heartbeat, HeartbeatReply, Result};

use super::Ledger;
use crate::change::{More, Seq, WorkerNumber};

impl Ledger {
    /// See `Store::heartbeat`.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        let number = self.worker_or_new(&heartbeat.namespace, heartbeat.worker);
        self.renew(number, Some(heartbeat.info));
        self.release_undelivered(number, heartbeat.settled, &heartbeat.held);
        for (id, token, progress) in heartbeat.progress {
            if let Some(seq) = self.runs(number, &heartbeat.namespace, id, token) {
                let vital = self.jobs[&seq].vital();
                let more = More { progress: Some(progress), ..More::default() };
                self.set(seq, vital, Some(Box::new(more)));
            }
        }
        let is_lost = |&(id, token): &(JobId, Token)| {
            self.runs(number, &heartbeat.namespace, id, token).is_none()
        };
        let lost = heartbeat.held.iter().copied().filter(is_lost).collect();
        let running = self.workers.get(number).map(|worker| &worker.held);
        let cancel = running.into_iter().flatten().filter_map(|&seq| self.cancel_order(seq));
        Ok(HeartbeatReply { lost, cancel: cancel.collect() })
    }

    /// The number of a job, where this worker runs this attempt of it.
    fn runs(&self, number: WorkerNumber, namespace: &Name, id: JobId, token: Token) -> Option<Seq> {
        let seq = self.find(namespace, id)?;
        let vital = self.jobs.get(&seq)?.vital();
        let is_own = vital.run.is_some_and(|run| run.worker == number);
        (is_own && vital.life.token() == Some(token)).then_some(seq)
    }

    /// Gives back what a worker was handed but never got.
    fn release_undelivered(&mut self, number: WorkerNumber, settled: u64, held: &[(JobId, Token)]) {
        let Some(worker) = self.workers.get(number) else { return };
        if worker.held.is_empty() {
            return;
        }
        let named: HashSet<_> = held.iter().copied().collect();
        let is_undelivered = |seq: &Seq| {
            let Some(entry) = self.jobs.get(seq) else { return false };
            let vital = entry.vital();
            let (Some(token), Some(run)) = (vital.life.token(), vital.run) else { return false };
            run.claim <= settled && !named.contains(&(entry.fixed.id, token))
        };
        let undelivered: Vec<Seq> = worker.held.iter().copied().filter(is_undelivered).collect();
        for seq in undelivered {
            if let Some(token) = self.token_of(seq) {
                self.release(seq, token);
            }
        }
    }

    fn cancel_order(&self, seq: Seq) -> Option<CancelOrder> {
        let entry = self.jobs.get(&seq)?;
        let vital = entry.vital();
        let (id, token) = (entry.fixed.id, vital.life.token()?);
        if vital.life.cancel_requested {
            let asked = entry.rare.as_ref().and_then(|rare| rare.cancel_reason.clone());
            let reason = asked.unwrap_or_else(|| "".into());
            return Some(CancelOrder { id, token, reason, timed_out: false });
        }
        let timeout = std::time::Duration::from_millis(entry.fixed.timeout_ms?);
        let ran = self.now.since(vital.run?.started_at);
        let reason = JobError::timed_out(ran).message;
        (ran >= timeout).then_some(CancelOrder { id, token, reason, timed_out: true })
    }
}

/// After its timeout an attempt has one renewal's time to say how it ended.
pub(super) const TIMEOUT_GRACE: std::time::Duration = HEARTBEAT_EVERY;
