//! What processes saw, as lines of one file that they all append to: what is sent is noted before,
//! what arrives is noted after. A process that is killed leaves what it noted.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use taskwright_core::{JobId, Token, WorkerId};

/// One thing that somebody saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// These jobs are sent.
    Asked(Vec<JobId>),
    /// They were acknowledged.
    Stored(Vec<JobId>),
    /// A claim or a heartbeat that was sent at this time was answered.
    Alive { worker: WorkerId, sent: Duration },
    /// A worker was given a job.
    Given { worker: WorkerId, id: JobId, token: Token },
    /// A report is sent.
    Reporting { id: JobId, token: Token, outcome: String },
    /// A report was answered.
    Reported { id: JobId, token: Token, outcome: String, answer: String },
}

/// The time, for all processes of a machine.
pub fn now() -> Duration {
    UNIX_EPOCH.elapsed().unwrap()
}

/// The file.
pub struct History {
    file: File,
    path: PathBuf,
}

impl History {
    pub fn at(path: &Path) -> History {
        let file = File::options().create(true).append(true).open(path).unwrap();
        History { file, path: path.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes facts, in one write: a line is there or not.
    pub fn note(&self, facts: impl IntoIterator<Item = Fact>) {
        let at = now().as_micros();
        let lines: String =
            facts.into_iter().map(|fact| format!("{at} {}\n", written(&fact))).collect();
        (&self.file).write_all(lines.as_bytes()).unwrap();
    }

    pub fn facts(&self) -> Vec<(Duration, Fact)> {
        fs::read_to_string(&self.path).unwrap().lines().map(read).collect()
    }
}

fn written(fact: &Fact) -> String {
    let ids = |ids: &[JobId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match fact {
        Fact::Asked(of) => format!("asked {}", ids(of)),
        Fact::Stored(of) => format!("stored {}", ids(of)),
        Fact::Alive { worker, sent } => format!("alive {worker} {}", sent.as_micros()),
        Fact::Given { worker, id, token } => format!("given {worker} {id} {token}"),
        Fact::Reporting { id, token, outcome } => format!("reporting {id} {token} {outcome}"),
        Fact::Reported { id, token, outcome, answer } => {
            format!("reported {id} {token} {outcome} {answer}")
        }
    }
}

fn read(line: &str) -> (Duration, Fact) {
    let words: Vec<&str> = line.split(' ').collect();
    let time = |word: &str| Duration::from_micros(word.parse().unwrap());
    let ids = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect();
    let fact = match words[1..] {
        ["asked", ref of @ ..] => Fact::Asked(ids(of)),
        ["stored", ref of @ ..] => Fact::Stored(ids(of)),
        ["alive", worker, sent] => {
            Fact::Alive { worker: worker.parse().unwrap(), sent: time(sent) }
        }
        ["given", worker, id, token] => Fact::Given {
            worker: worker.parse().unwrap(),
            id: id.parse().unwrap(),
            token: token.parse().unwrap(),
        },
        ["reporting", id, token, outcome] => Fact::Reporting {
            id: id.parse().unwrap(),
            token: token.parse().unwrap(),
            outcome: outcome.to_owned(),
        },
        ["reported", id, token, outcome, answer] => Fact::Reported {
            id: id.parse().unwrap(),
            token: token.parse().unwrap(),
            outcome: outcome.to_owned(),
            answer: answer.to_owned(),
        },
        _ => panic!("no fact: {line}"),
    };
    (time(words[0]), fact)
}
