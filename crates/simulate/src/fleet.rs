//! The workers: who is there, who waits for jobs, who must say that it lives.

use std::collections::VecDeque;
use std::time::Duration;

use taskwright_core::limits::HEARTBEAT_EVERY;
use taskwright_core::{Timestamp, WorkerId};

use crate::outcome::WorkerOutcome;
use crate::plan::{Fleet, Plan};

/// The number of a worker.
pub type WorkerIndex = u32;
/// The number of a running attempt.
pub type AttemptIndex = u32;

/// One life of a worker.
#[derive(Debug)]
pub struct Worker {
    pub fleet: usize,
    pub id: WorkerId,
    pub presence: Presence,
    pub free: usize,
    /// The number of its last claim that gave jobs.
    pub claims: u64,
    pub running: Vec<AttemptIndex>,
    joined_at: Timestamp,
    waits: bool,
    beats: bool,
}

/// Whether a worker is there.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    Here,
    /// It finishes what it runs.
    Leaving,
    Gone,
}

/// All workers.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    /// By class: those that wait for jobs, each with the number of its wait.
    waiting: Vec<VecDeque<(u64, WorkerIndex)>>,
    waits: u64,
    /// Those that run something, by the served time of their last heartbeat.
    beats: VecDeque<(Duration, WorkerIndex)>,
    tallies: Vec<Tally>,
}

/// What a class of workers did.
#[derive(Clone, Debug, Default)]
struct Tally {
    joined: u64,
    lost: u64,
    /// Of all slots together.
    present: Duration,
    busy: Duration,
}

impl Workers {
    /// None yet.
    pub fn new(plan: &Plan) -> Workers {
        let classes = plan.fleets.len();
        Workers {
            workers: Vec::new(),
            waiting: vec![VecDeque::new(); classes],
            waits: 0,
            beats: VecDeque::new(),
            tallies: vec![Tally::default(); classes],
        }
    }

    pub fn get(&self, index: WorkerIndex) -> &Worker {
        &self.workers[index as usize]
    }

    pub fn get_mut(&mut self, index: WorkerIndex) -> &mut Worker {
        &mut self.workers[index as usize]
    }

    /// A worker of a class joins; and how many of it did before.
    pub fn join(&mut self, fleet: usize, slots: u32, now: Timestamp) -> (WorkerIndex, u64) {
        let index = self.workers.len() as WorkerIndex;
        self.workers.push(Worker {
            fleet,
            id: WorkerId::from_u128(u128::from(index) + 1),
            presence: Presence::Here,
            free: slots as usize,
            claims: 0,
            running: Vec::new(),
            joined_at: now,
            waits: false,
            beats: false,
        });
        let before = self.tallies[fleet].joined;
        self.tallies[fleet].joined += 1;
        (index, before)
    }

    /// A worker is gone.
    pub fn gone(&mut self, index: WorkerIndex, slots: u32, is_lost: bool, now: Timestamp) {
        let worker = &mut self.workers[index as usize];
        worker.presence = Presence::Gone;
        let tally = &mut self.tallies[worker.fleet];
        tally.present += now.since(worker.joined_at) * slots;
        tally.lost += u64::from(is_lost);
    }

    /// A slot of the worker ran something for so long.
    pub fn was_busy(&mut self, index: WorkerIndex, ran: Duration) {
        self.tallies[self.workers[index as usize].fleet].busy += ran;
    }

    /// The worker waits for jobs, behind others; it keeps its place where it waits already.
    pub fn wait(&mut self, index: WorkerIndex) {
        let worker = &mut self.workers[index as usize];
        if !std::mem::replace(&mut worker.waits, true) {
            self.waits += 1;
            self.waiting[worker.fleet].push_back((self.waits, index));
        }
    }

    /// The one that waits longest, of the classes that are not passed over.
    pub fn next_waiting(&mut self, pass_over: &[bool]) -> Option<WorkerIndex> {
        for waiting in &mut self.waiting {
            while let Some(&(_, index)) = waiting.front() {
                let worker = &mut self.workers[index as usize];
                if worker.presence == Presence::Here && worker.free > 0 {
                    break;
                }
                worker.waits = false;
                waiting.pop_front();
            }
        }
        let heads = self.waiting.iter().zip(pass_over).filter(|&(_, &pass)| !pass);
        heads.filter_map(|(waiting, _)| waiting.front()).min().map(|&(_, index)| index)
    }

    /// The worker that waits longest of its class waits no longer.
    pub fn waits_no_longer(&mut self, index: WorkerIndex) {
        let worker = &mut self.workers[index as usize];
        worker.waits = false;
        self.waiting[worker.fleet].pop_front();
    }

    /// The worker runs something since this much time was served.
    pub fn must_beat(&mut self, index: WorkerIndex, served: Duration) {
        let worker = &mut self.workers[index as usize];
        if !std::mem::replace(&mut worker.beats, true) {
            self.beats.push_back((served, index));
        }
    }

    /// Those whose heartbeat is due when this much time will have been served.
    pub fn due_beats(&mut self, served: Duration) -> Vec<WorkerId> {
        let mut due = Vec::new();
        while let Some(&(at, index)) = self.beats.front()
            && at + HEARTBEAT_EVERY <= served
        {
            self.beats.pop_front();
            let worker = &mut self.workers[index as usize];
            let lives = worker.presence != Presence::Gone && !worker.running.is_empty();
            if lives {
                due.push(worker.id);
                self.beats.push_back((served, index));
            }
            worker.beats = lives;
        }
        due
    }

    /// What the classes did until `now`.
    pub fn outcome(mut self, fleets: &[Fleet], now: Timestamp) -> Vec<WorkerOutcome> {
        for worker in &self.workers {
            if worker.presence != Presence::Gone {
                let tally = &mut self.tallies[worker.fleet];
                tally.present += now.since(worker.joined_at) * fleets[worker.fleet].slots;
            }
        }
        let outcome = |(fleet, tally): (&Fleet, &Tally)| WorkerOutcome {
            name: fleet.name.clone(),
            count: fleet.count,
            slots: fleet.slots,
            joined: tally.joined,
            lost: tally.lost,
            utilisation: match tally.present.as_secs_f64() {
                0.0 => 0.0,
                present => tally.busy.as_secs_f64() / present,
            },
        };
        fleets.iter().zip(&self.tallies).map(outcome).collect()
    }
}
