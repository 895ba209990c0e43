//! What is in a store before a move, and the mark that a move leaves in its source.
//!
//! The mark is the pause of a queue that nobody uses, in a namespace of its own: every store can
//! keep it, it is on record with who asked, and no version of Taskwright stumbles over it.

use taskwright_core::limits::NAME_BYTES_MAX;
use taskwright_core::{Name, Policy, StateName, Subject};
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::{Command, Filter, Outcome, QueueSettings, Report, Settings};
use xxhash_rust::xxh3::xxh3_64;

use super::{PAGE_JOBS, Patient, Plan};

/// The namespace of the mark.
const MARK_NAMESPACE: &str = "taskwright";
/// How the name of the mark begins; then comes the destination.
const MARK: &str = "moved-to:";
/// Commands in one call: all of them are one write.
const COMMANDS_AT_ONCE: usize = 500;

/// A store as it stood when a move began.
pub(super) struct Source {
    queues: Vec<QueueSettings>,
    policies: Vec<(Name, Subject, Policy)>,
    /// The name of the mark, where there is one.
    mark: Option<Name>,
    /// All jobs, of all namespaces.
    pub jobs: u64,
}

impl Source {
    pub async fn look(store: &Patient<'_>) -> Result<Source> {
        let Settings { mut queues, policies } =
            store.export(None).await?.settings.unwrap_or_default();
        let mut mark = None;
        queues.retain(|settings| {
            let is_mark = is_mark(settings);
            if is_mark && settings.paused {
                mark = Some(settings.queue.clone());
            }
            !is_mark
        });
        let mut source = Source { queues, policies, mark, jobs: 0 };
        for namespace in source.namespaces() {
            for counts in store.counts(&namespace).await? {
                source.jobs +=
                    StateName::ALL.into_iter().map(|state| counts.of(state)).sum::<u64>();
            }
        }
        Ok(source)
    }

    fn namespaces(&self) -> Vec<Name> {
        let mut names: Vec<_> = self.queues.iter().map(|queue| queue.namespace.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a move from here has begun.
    pub fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    /// Refuses a second destination: the jobs would run twice.
    pub fn refuse_other_destination(&self, plan: &Plan) -> Result<()> {
        match &self.mark {
            Some(mark) if *mark != mark_of(&plan.place) => {
                let there = mark.as_str().trim_start_matches(MARK);
                let message = format!(
                    "the source was moved before, to {there}: its jobs would run in two places; \
                     name that destination again, or move them on from there"
                );
                Err(Error::new(ErrorCode::Conflict, message))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a destination whose own jobs have moved away: they could not be told from those that
    /// come.
    pub fn refuse_moved_destination(&self) -> Result<()> {
        let Some(mark) = &self.mark else { return Ok(()) };
        let there = mark.as_str().trim_start_matches(MARK);
        let message = format!(
            "the destination was itself moved, to {there}, and still has its old jobs; name a place \
             that is empty"
        );
        Err(Error::new(ErrorCode::Conflict, message))
    }

    /// Refuses to move jobs from under their workers.
    pub async fn refuse_running(&self, store: &Patient<'_>, releases: bool) -> Result<()> {
        let mut running = 0;
        for namespace in self.namespaces() {
            running +=
                store.counts(&namespace).await?.iter().map(|counts| counts.running).sum::<u64>();
        }
        if running == 0 || releases {
            return Ok(());
        }
        let message = format!(
            "jobs are running in the source ({running}); let their workers finish, or have their \
             attempts given back unspent (--running=release)"
        );
        Err(Error::new(ErrorCode::Conflict, message))
    }

    /// Gives back every attempt that runs; how many those were.
    pub async fn release_running(&self, store: &Patient<'_>) -> Result<u64> {
        let mut released = 0;
        for namespace in self.namespaces() {
            let mut filter = Filter {
                namespace: namespace.clone(),
                queue: None,
                task: None,
                state: Some(StateName::Running),
                tag: None,
                before: None,
                limit: PAGE_JOBS,
            };
            loop {
                let page = store.list(&filter).await?;
                let release = |job: taskwright_core::Job| {
                    let token = job.life.token()?;
                    let (namespace, outcome) = (namespace.clone(), Outcome::Released);
                    Some(Report { namespace, id: job.id, token, outcome })
                };
                let reports: Vec<_> = page.jobs.into_iter().filter_map(release).collect();
                released += reports.len() as u64;
                if !reports.is_empty() {
                    store.report(&reports).await?;
                }
                filter.before = page.next;
                if page.next.is_none() {
                    break;
                }
            }
        }
        Ok(released)
    }

    /// Sets in the destination the policies that hold here, and pauses what people have paused; how
    /// many queues those are.
    pub async fn pause_there(&self, to: &Patient<'_>, plan: &Plan) -> Result<u64> {
        let paused = self.queues.iter().filter(|queue| queue.paused);
        let pauses: Vec<_> = paused.map(pause).collect();
        let count = pauses.len() as u64;
        let policies = self.policies.iter().cloned();
        let policies = policies.map(|(namespace, subject, policy)| Command::SetPolicy {
            namespace,
            subject,
            policy: Some(policy),
        });
        let commands: Vec<_> = policies.chain(pauses).collect();
        let actor = format!("{} (moving)", plan.actor);
        for commands in commands.chunks(COMMANDS_AT_ONCE) {
            to.control(&actor, commands).await?;
        }
        Ok(count)
    }

    /// Pauses every queue for good, the mark first: whoever finds it knows that the pauses are none
    /// that people asked for.
    pub async fn mark(&self, from: &Patient<'_>, plan: &Plan) -> Result<()> {
        let mark = QueueSettings {
            namespace: Name::new(MARK_NAMESPACE).unwrap_or_else(|_| Name::default_name()),
            queue: mark_of(&plan.place),
            paused: true,
        };
        let running = self.queues.iter().filter(|queue| !queue.paused);
        let marks = (!self.is_marked()).then_some(&mark);
        let commands: Vec<_> = marks.into_iter().chain(running).map(pause).collect();
        let actor = format!("{} (moving to {})", plan.actor, plan.place);
        for commands in commands.chunks(COMMANDS_AT_ONCE) {
            from.control(&actor, commands).await?;
        }
        Ok(())
    }
}

/// Whether these are not settings of people, but the mark of a move.
pub(super) fn is_mark(settings: &QueueSettings) -> bool {
    settings.namespace.as_str() == MARK_NAMESPACE && settings.queue.as_str().starts_with(MARK)
}

fn pause(settings: &QueueSettings) -> Command {
    let QueueSettings { namespace, queue, .. } = settings.clone();
    Command::Pause { namespace, queue }
}

/// The destination as a name: as much of it as fits, and a digest of the whole.
pub(super) fn mark_of(place: &str) -> Name {
    let digest = format!(".{:016x}", xxh3_64(place.as_bytes()));
    let room = NAME_BYTES_MAX - MARK.len() - digest.len();
    let readable = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | ':' | '/' | '-') => c,
        _ => '-',
    };
    let readable: String = place.chars().map(readable).collect();
    let tail = &readable[readable.len().saturating_sub(room)..];
    Name::new(format!("{MARK}{tail}{digest}")).unwrap_or_else(|_| Name::default_name())
}
