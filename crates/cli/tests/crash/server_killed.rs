//! `kill -9` of a loaded server, again and again, on the same data.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Signal;
use taskwright::JobId;

use crate::history::{Fact, contradictions};
use crate::load::Load;
use crate::random::Random;
use crate::server::{Client, Server};
use crate::support::Sandbox;

/// Kills of a test, `TASKWRIGHT_ROUNDS`.
fn rounds() -> u64 {
    let given = std::env::var("TASKWRIGHT_ROUNDS").ok();
    given.and_then(|rounds| rounds.parse().ok()).unwrap_or(100)
}

#[test]
fn a_loaded_server_loses_nothing_and_accepts_nothing_twice_however_often_it_is_killed() {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    let sandbox = Sandbox::new();
    let load = Load::default();
    std::thread::scope(|scope| {
        let producers: Vec<_> = [40, 200, 1, 1]
            .map(|batch_max| {
                let (load, random) = (&load, random.fork());
                scope.spawn(move || load.produce(random, batch_max))
            })
            .into();
        for _ in 0..3 {
            let (load, random) = (&load, random.fork());
            scope.spawn(move || load.work(random));
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            kill_again_and_again(&sandbox, &load, &mut random);
            let mut server = Server::start(&sandbox);
            load.move_to(server.address);
            load.is_draining.store(true, Ordering::Relaxed);
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            let mut client = server.client();
            load.wait_until_done(&mut client);
            load.is_over.store(true, Ordering::Relaxed);
            look_at_all(&load, &mut client);
            server.process.signal(Signal::TERM);
            assert_eq!(server.process.ended(), Some(0));
        }));
        load.is_draining.store(true, Ordering::Relaxed);
        load.is_over.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    judge(&load, seed);
}

fn kill_again_and_again(sandbox: &Sandbox, load: &Load, random: &mut Random) {
    let mut unended = Unended::default();
    for _ in 0..rounds() {
        if random.one_in(8) {
            // Killed while it starts, perhaps inside recovery.
            let mut starting = Server::launch(sandbox);
            std::thread::sleep(Duration::from_millis(random.below(60)));
            starting.kill();
        }
        let mut server = Server::start(sandbox);
        let mut client = server.client();
        unended.look(load, &mut client);
        load.move_to(server.address);
        std::thread::sleep(Duration::from_micros(random.below(120_000)));
        server.process.kill();
    }
}

/// Jobs that were acknowledged and had not ended when they were last looked at.
#[derive(Default)]
struct Unended {
    jobs: HashSet<JobId>,
    noted: usize,
}

impl Unended {
    fn look(&mut self, load: &Load, client: &mut Client) {
        let facts = load.facts();
        for fact in &facts[self.noted..] {
            if let Fact::Stored(ids) = fact {
                self.jobs.extend(ids);
            }
        }
        self.noted = facts.len();
        drop(facts);
        let jobs: Vec<_> = self.jobs.iter().copied().collect();
        for ended in load.look(client, &jobs) {
            self.jobs.remove(&ended);
        }
    }
}

/// Looks at every job that was ever sent.
fn look_at_all(load: &Load, client: &mut Client) {
    let mut all = Vec::new();
    for fact in load.facts().iter() {
        if let Fact::Asked(ids) = fact {
            all.extend(ids);
        }
    }
    load.look(client, &all);
}

fn judge(load: &Load, seed: u64) {
    let facts = load.facts();
    let found = contradictions(&facts);
    let (stored, completed) = (&load.stored, &load.completed);
    let (stored, completed) = (stored.load(Ordering::Relaxed), completed.load(Ordering::Relaxed));
    let cut = load.cut.load(Ordering::Relaxed);
    println!("{} facts: {stored} jobs stored, {completed} completed, {cut} calls cut", facts.len());
    assert!(
        found.is_empty(),
        "seed {seed}: {} contradictions: {:#?}",
        found.len(),
        &found[..found.len().min(20)]
    );
    assert!(completed >= stored, "not all jobs were completed");
    assert!(
        stored as u64 > 10 * rounds() && cut as u64 > rounds(),
        "there was no load to speak of"
    );
}
