//! Claims: who comes first of what may start.

use std::sync::Arc;

use taskwright_core::lifecycle::{self, Event as E};
use taskwright_core::limits::{CLAIM_LOOKS_MAX, PROMOTIONS_MAX};
use taskwright_core::rank::{self, AGING_DEFAULT};
use taskwright_core::{Job, JobId, Json, Name, Place, Token, WorkerId, retry};

use super::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::request::*;

impl State {
    /// What the claim gets; `None`: nothing is ready.
    pub fn claim(&mut self, claim: &Claim) -> Result<Option<Vec<ClaimedJob>>> {
        let worker = self.greet(&claim.namespace, claim.worker);
        worker.in_process = claim.in_process;
        worker.profile = Some(Arc::clone(&claim.profile));
        if claim.seq == worker.last_claim && claim.seq > 0 {
            let given = worker.last_claimed.clone();
            return Ok(Some(self.claimed_again(&claim.namespace, &given)));
        }
        if claim.seq < worker.last_claim || claim.seq == 0 {
            let message = format!(
                "claim {} of worker {} comes after claim {}; number claims upwards from 1",
                claim.seq, claim.worker, worker.last_claim
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let (given, is_over) = self.given(claim);
        if given.is_empty() && claim.max > 0 && !is_over {
            return Ok(None);
        }
        if !given.is_empty() {
            let worker = self.greet(&claim.namespace, claim.worker);
            worker.last_claim = claim.seq;
            worker.last_claimed = given.iter().map(|job| (job.id, job.token)).collect();
        }
        Ok(Some(given))
    }

    fn claimed_again(&self, namespace: &Name, given: &[(JobId, Token)]) -> Vec<ClaimedJob> {
        let running = |&(id, token): &(JobId, Token)| {
            let job = &self.records[self.find(namespace, id)?].job;
            (job.life.token() == Some(token)).then(|| claimed_job(job, token))
        };
        given.iter().filter_map(running).collect()
    }

    /// Gives jobs one after another, smallest rank first, and puts aside those whose keys have no
    /// room; then those that this made ready. Also says whether the next one costs more than is left.
    fn given(&mut self, claim: &Claim) -> (Vec<ClaimedJob>, bool) {
        let mut given = Vec::new();
        let (mut left, mut looks, mut is_over) = (claim.room(), CLAIM_LOOKS_MAX, false);
        loop {
            let mut calls_next = false;
            while left.slots > 0
                && !calls_next
                && let Some(index) = self.next_for(claim)
            {
                let cost = self.records[index].job.extras.requires.cost();
                match self.key_without_room(&self.records[index].job) {
                    None if !cost.fits(&left) => {
                        is_over = true;
                        break;
                    }
                    None => {
                        left = left.minus(&cost);
                        given.extend(self.give(index, claim));
                        calls_next = self.was_last_of_group(index);
                    }
                    Some(_) if looks == 0 => break,
                    Some(key) => {
                        looks -= 1;
                        self.park(index, key);
                    }
                }
            }
            let nobody_came = self.settle(PROMOTIONS_MAX) == 0 && !calls_next;
            if nobody_came || is_over || left.slots == 0 || looks == 0 {
                given.sort_by_key(|job: &ClaimedJob| {
                    (rank::fifo(job.run_at, job.priority, AGING_DEFAULT), job.seq)
                });
                return (given, is_over);
            }
        }
    }

    /// The next ready job that the worker may take now.
    fn next_for(&self, claim: &Claim) -> Option<usize> {
        let serves = |job: &Job| {
            claim.profile.matches(&job.queue, &job.task, &job.extras.requires)
                && !self.is_paused(&claim.namespace, &job.queue)
        };
        let holds_suspect = self
            .running_of(&claim.namespace, claim.worker)
            .any(|index| self.records[index].job.life.is_suspect());
        let mut ready = self.claimable(&claim.namespace);
        ready.retain(|&index| {
            let job = &self.records[index].job;
            let is_free = !(job.life.is_suspect() && holds_suspect);
            serves(job) && is_free && self.lane_has_room(job)
        });
        self.first_of(&ready)
    }

    /// Jobs that could start now, smallest rank first, ties by `seq`.
    pub fn claimable(&self, namespace: &Name) -> Vec<usize> {
        let mut ready: Vec<_> = (0..self.records.len())
            .filter_map(|index| {
                let job = &self.records[index].job;
                match job.life.state {
                    lifecycle::State::Available(Place::Ready(rank))
                        if !self.is_out_of_time(job) && job.namespace == *namespace =>
                    {
                        Some((rank, job.seq, index))
                    }
                    _ => None,
                }
            })
            .collect();
        ready.sort_unstable();
        ready.into_iter().map(|(_, _, index)| index).collect()
    }

    /// The jobs that a worker runs.
    pub fn running_of(&self, namespace: &Name, worker: WorkerId) -> impl Iterator<Item = usize> {
        (0..self.records.len()).filter(move |&index| {
            let job = &self.records[index].job;
            job.life.token().is_some() && job.worker == Some(worker) && job.namespace == *namespace
        })
    }

    fn give(&mut self, index: usize, claim: &Claim) -> Option<ClaimedJob> {
        let Job { id, seq, life, run_at, .. } = self.records[index].job;
        let nonce = retry::seed(id, life.attempt).wrapping_add(seq);
        let token = life.next_token(self.epoch, nonce);
        self.take_tokens(index);
        self.take_turn(index);
        self.change(index, &E::Claim { token }, run_at, None).ok()?;
        let record = &mut self.records[index];
        record.claim_seq = claim.seq;
        record.job.worker = Some(claim.worker);
        record.job.started_at = Some(self.now);
        Some(claimed_job(&record.job, token))
    }
}

fn claimed_job(job: &Job, token: Token) -> ClaimedJob {
    ClaimedJob {
        id: job.id,
        seq: job.seq,
        queue: job.queue.clone(),
        task: job.task.clone(),
        args: job.args.clone().unwrap_or_else(Json::null),
        token,
        failures: job.life.failures,
        max_attempts: job.life.max_attempts,
        timeout_ms: job.timeout_ms,
        priority: job.priority,
        created_at: job.created_at,
        run_at: job.run_at,
        started_at: job.started_at.unwrap_or(job.created_at),
        checkpoint: job.checkpoint.clone(),
        extras: job.extras.clone(),
    }
}
