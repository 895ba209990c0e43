//! What a store holds, compared with what its clients were told.

use taskwright_core::{Job, Place, State, StateName};
use taskwright_store::QueueCounts;

use super::history::{Broken, History, Holder, Insertion, ensure};

impl History {
    /// Compares a job with what the store has of it, and believes the store where nobody knows.
    pub fn audit(&mut self, index: usize, found: Option<&Job>) -> Result<(), Broken> {
        let insert = self.jobs[index].insert;
        let Some(job) = found else {
            let is_lost = matches!(insert, Insertion::Yes(_));
            ensure!(!is_lost, "job {index} was acknowledged ({insert:?}) and is lost");
            self.jobs[index].insert = Insertion::No;
            return Ok(());
        };
        match insert {
            Insertion::Yes(seq) => ensure!(job.seq == seq, "job {index} has seq {}", job.seq),
            Insertion::Perhaps => {
                self.last_seq = self.last_seq.max(job.seq);
                self.jobs[index].insert = Insertion::Yes(job.seq);
            }
            Insertion::No => return Err(format!("job {index} was refused and is there")),
        }
        self.jobs[index].given.audit(index, job)?;
        let workers = &self.workers;
        let known = &mut self.jobs[index];
        let state = job.life.state;
        let is_certain = !known.is_shaky;
        let ended = known.ended_as.filter(|_| !known.may_be_redriven);
        let is_kept = ended.is_none_or(|ended| ended == state.name());
        ensure!(is_kept, "job {index} ended as {ended:?} and is {state:?}");
        if ended == Some(StateName::Completed) {
            ensure!(job.result == known.result, "job {index} has another result");
        }
        if let Some(holder) = known.holder.filter(|_| is_certain) {
            let is_held = state == State::Running(holder.token);
            ensure!(is_held, "job {index} is {state:?} while {} runs it", holder.token);
        }
        ensure!(job.life.attempt >= known.attempt, "job {index} counts attempts backwards");
        if let State::Available(Place::Until(at)) = state {
            ensure!(at > self.promoted, "job {index} was due at {at} and is not ready");
        }
        (known.is_shaky, known.may_be_redriven) = (false, false);
        known.attempt = job.life.attempt;
        known.ended_as = state.is_final().then(|| state.name());
        known.result = job.result.clone();
        match state {
            State::Running(token) if known.holder.is_some_and(|holder| holder.token == token) => {}
            State::Running(token) => {
                known.end_attempt();
                let worker = workers.iter().position(|worker| Some(worker.id) == job.worker);
                let worker = worker.ok_or_else(|| format!("nobody runs job {index}"))?;
                known.holder = Some(Holder { worker, token, claim: None });
            }
            _ => known.end_attempt(),
        }
        Ok(())
    }
}

/// Compares what a queue counts with the jobs that it has.
pub fn recount(counts: &QueueCounts, jobs: &[Job]) -> Result<(), Broken> {
    let of_queue = || jobs.iter().filter(|job| job.queue == counts.queue);
    for state in StateName::ALL {
        let there = of_queue().filter(|job| job.state().name() == state).count() as u64;
        let counted = counts.of(state);
        ensure!(there == counted, "{} counts {counted} {state}, not {there}", counts.queue);
    }
    let is_ready = |job: &&Job| matches!(job.state(), State::Available(Place::Ready(_)));
    let ready = of_queue().filter(is_ready).count() as u64;
    ensure!(ready == counts.ready, "{} counts {} ready, not {ready}", counts.queue, counts.ready);
    Ok(())
}
