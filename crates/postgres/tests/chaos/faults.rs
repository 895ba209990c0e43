//! What goes wrong in a round.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use taskwright_testbed::{Error, Postgres, Proxy, Stop, available};

use crate::process::{Process, Role};
use crate::support::jobs::url_in;
use crate::support::random::Random;

const ROLES: [Role; 4] = [Role::Node, Role::Node, Role::Worker, Role::Worker];

/// One of the things that can go wrong.
#[derive(Copy, Clone, Debug)]
pub enum Fault {
    /// A process is killed, and another one started.
    Kill,
    /// All processes are killed.
    KillAll,
    /// The server crashes.
    Crash,
    /// The server is restarted as one does.
    Restart,
    /// Some backends are terminated, one after the other.
    TerminateSome,
    /// All backends are terminated at once.
    TerminateAll,
    /// The network of one process or of all is cut.
    Cut,
    /// The network of one process falls silent.
    Freeze,
    /// Replies no longer reach one process.
    FreezeReplies,
    /// All connections are reset.
    Disconnect,
}

/// A crash and a kill are more likely than the rest.
const FAULTS: [Fault; 13] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::KillAll,
    Fault::Crash,
    Fault::Crash,
    Fault::Restart,
    Fault::TerminateSome,
    Fault::TerminateAll,
    Fault::Cut,
    Fault::Freeze,
    Fault::FreezeReplies,
    Fault::Disconnect,
];

/// A server, and processes that reach it each through a network of its own.
pub struct World {
    pub server: Postgres,
    proxies: Vec<Proxy>,
    processes: Vec<Process>,
    history: std::path::PathBuf,
    pub random: Random,
}

impl World {
    /// `None`, with a word about it, where there is no PostgreSQL.
    pub fn new(history: &Path) -> Option<World> {
        let server = Postgres::options().durable().setting("shared_buffers", "64MB").start();
        let server = available("postgres_chaos", server)?;
        let proxies: Result<Vec<_>, Error> =
            ROLES.iter().map(|_| Proxy::to(server.address())).collect();
        let proxies = proxies.unwrap();
        let random = Random::seeded();
        let history = history.to_owned();
        let mut world = World { server, proxies, processes: Vec::new(), history, random };
        world.processes = (0..ROLES.len()).map(|place| world.started(place)).collect();
        Some(world)
    }

    /// The store's URL, straight to the server.
    pub fn url(&self) -> String {
        url_in(&self.server.url("postgres"), "taskwright")
    }

    fn started(&mut self, place: usize) -> Process {
        let url = self.proxies[place].url(&self.server.url("postgres")).unwrap();
        let url = format!("{}&pool=4", url_in(&url, "taskwright"));
        Process::start(ROLES[place], &url, &self.history, self.random.bits())
    }

    /// Kills all processes, for good.
    pub fn end(&mut self) {
        self.processes.clear();
    }

    /// Nobody may end but by a kill.
    pub fn assert_all_run(&mut self) {
        let ended: Vec<_> = self.processes.iter_mut().filter_map(Process::has_ended).collect();
        assert!(ended.is_empty(), "ended by themselves: {ended:?}");
    }

    /// Lets something go wrong, and go right again.
    pub fn suffer(&mut self) -> Fault {
        let fault = self.random.pick(&FAULTS);
        let place = usize::try_from(self.random.below(ROLES.len() as u64)).unwrap();
        let length = Duration::from_millis(50 + self.random.below(900));
        match fault {
            Fault::Kill => self.processes[place] = self.started(place),
            Fault::KillAll => {
                self.processes.clear();
                self.processes = (0..ROLES.len()).map(|place| self.started(place)).collect();
            }
            Fault::Crash => self.server.restart(Stop::Immediate).unwrap(),
            Fault::Restart => self.server.restart(Stop::Fast).unwrap(),
            Fault::TerminateSome => {
                let until = Instant::now() + length;
                while Instant::now() < until {
                    self.terminate("order by random() limit 1");
                    sleep(Duration::from_millis(1 + self.random.below(60)));
                }
            }
            Fault::TerminateAll => self.terminate(""),
            Fault::Cut if place == 0 => self.all(Proxy::cut, length),
            Fault::Cut => self.one(place, Proxy::cut, length),
            Fault::Freeze => self.one(place, Proxy::freeze, length),
            Fault::FreezeReplies => self.one(place, Proxy::freeze_replies, length),
            Fault::Disconnect => {
                self.proxies.iter().for_each(|proxy| proxy.disconnect().unwrap());
            }
        }
        fault
    }

    fn one(&self, place: usize, fail: fn(&Proxy) -> Result<(), Error>, length: Duration) {
        fail(&self.proxies[place]).unwrap();
        sleep(length); // tidy: allow sleep: so long is the outage
        self.proxies[place].heal().unwrap();
    }

    fn all(&self, fail: fn(&Proxy) -> Result<(), Error>, length: Duration) {
        self.proxies.iter().for_each(|proxy| fail(proxy).unwrap());
        sleep(length); // tidy: allow sleep: so long is the outage
        self.proxies.iter().for_each(|proxy| proxy.heal().unwrap());
    }

    fn terminate(&self, which: &str) {
        let sql = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'postgres' \
             and application_name = 'taskwright' {which}"
        );
        self.server.psql(&sql).unwrap();
    }
}
