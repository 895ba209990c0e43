//! Workers that say they live.

use std::collections::HashSet;

use taskwright_core::limits::HEARTBEAT_EVERY;
use taskwright_core::{JobId, Token};
use taskwright_store::{CancelOrder, Heartbeat, HeartbeatReply, Result};

use super::Ledger;
use crate::change::{More, Seq, WorkerNumber};

impl Ledger {
    /// See `Store::heartbeat`.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        let number = self.worker_or_new(&heartbeat.namespace, heartbeat.worker, false)?;
        self.renew(number, Some(heartbeat.info));
        self.release_undelivered(number, heartbeat.settled, &heartbeat.held);
        for (id, token, progress) in heartbeat.progress {
            if let Some(seq) = self.find(&heartbeat.namespace, id)
                && self.token_of(seq) == Some(token)
            {
                let vital = self.jobs[&seq].vital();
                let more = More { progress: Some(progress), ..More::default() };
                self.set(seq, vital, Some(Box::new(more)));
            }
        }
        let mut reply = HeartbeatReply::default();
        for (id, token) in heartbeat.held {
            let held = self.find(&heartbeat.namespace, id);
            match held.filter(|&seq| self.token_of(seq) == Some(token)) {
                None => reply.lost.push((id, token)),
                Some(seq) => reply.cancel.extend(self.cancel_order(seq, token)),
            }
        }
        Ok(reply)
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

    fn cancel_order(&self, seq: Seq, token: Token) -> Option<CancelOrder> {
        let entry = self.jobs.get(&seq)?;
        let vital = entry.vital();
        let id = entry.fixed.id;
        if vital.life.cancel_requested {
            let asked = entry.rare.as_ref().and_then(|rare| rare.cancel_reason.clone());
            let reason = asked.unwrap_or_else(|| "cancelled".into());
            return Some(CancelOrder { id, token, reason, timed_out: false });
        }
        let limit_ms = entry.fixed.timeout_ms?;
        let over_at = vital.run?.started_at.plus(std::time::Duration::from_millis(limit_ms));
        (over_at <= self.now).then(|| CancelOrder {
            id,
            token,
            reason: format!("ran longer than its timeout of {limit_ms} ms").into(),
            timed_out: true,
        })
    }
}

/// After its timeout an attempt has one renewal's time to say how it ended.
pub(super) const TIMEOUT_GRACE: std::time::Duration = HEARTBEAT_EVERY;
