//! Limits, placement, and changes of jobs that wait.

use taskwright_core::{JobId, Policy, Subject};
use taskwright_engine::{
    Error, ErrorCode, JobRequest, PlaceRequest, Placement, Result, Start, Why,
};
use taskwright_store::{Command, Controlled};

use crate::adjust::Adjust;
use crate::app::Taskwright;
use crate::job::Job;
use crate::limit::Limit;

impl Taskwright {
    /// The limits of the namespace: those of queues, of tasks, of groups, of keys.
    pub async fn limits(&self) -> Result<Vec<Limit>> {
        let policies = self.retrying(|| self.shared.api.policies(&self.shared.namespace)).await?;
        Ok(policies.into_iter().map(|(subject, policy)| Limit::set(subject, policy)).collect())
    }

    /// Sets what may start from now on, in place of what was set for the same queue, task, group or
    /// key. What runs already goes on, and counts. Refused where 10,000 others are set.
    pub async fn set_limit(&self, limit: Limit) -> Result<()> {
        let (subject, policy) = limit.into_policy()?;
        if policy.is_empty() {
            let message = "cannot set a limit that limits nothing; give a concurrency or a rate, or call remove_limit";
            return Err(Error::new(ErrorCode::Invalid, message));
        }
        self.set_policy(subject, Some(policy)).await
    }

    /// Takes the limit of this queue, task, group or key away, whatever it allowed; where there is
    /// none, nothing changes.
    pub async fn remove_limit(&self, limit: Limit) -> Result<()> {
        let (subject, _) = limit.into_policy()?;
        self.set_policy(subject, None).await
    }

    async fn set_policy(&self, subject: Subject, policy: Option<Policy>) -> Result<()> {
        let namespace = self.shared.namespace.clone();
        match self.control(Command::SetPolicy { namespace, subject, policy }).await? {
            Controlled::PoliciesFull { max } => {
                let message = format!(
                    "cannot set the limit: there are {max}, the most there can be; remove some, or set one for all keys that begin alike with a * at the end"
                );
                Err(Error::new(ErrorCode::OverLimit, message))
            }
            _ => Ok(()),
        }
    }

    /// Which of the workers that are known may run this job now, and what excludes the others. It
    /// only explains: a job that nobody matches can be enqueued all the same, and waits.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use taskwright::{Job, Taskwright};
    /// let app = Taskwright::connect("memory:").await?;
    /// let train: Job<()> = Job::new("train", &7).requires("gpu>=24");
    /// println!("{}", app.place(train).await?.verdict); // no worker is known; start one that …
    /// # Ok(()) }) }
    /// ```
    pub async fn place<T>(&self, job: Job<T>) -> Result<Placement> {
        let JobRequest { queue, task, requires, cost, .. } = job.into_request()?;
        let namespace = self.shared.namespace.clone();
        let requires = requires.with_cost(cost.unwrap_or(1)).map_err(|error| {
            let message = format!("cannot place a job of task {task}: {error}");
            Error::new(ErrorCode::Invalid, message)
        })?;
        let request = PlaceRequest { namespace, queue, task, requires };
        self.retrying(|| self.shared.api.place(request.clone())).await
    }

    /// Why a job does not run yet: all that keeps it from starting, the jobs before it, and when it may
    /// start; `None`: there is no such job.
    pub async fn why(&self, id: JobId) -> Result<Option<Why>> {
        self.retrying(|| self.shared.api.why(&self.shared.namespace, id)).await
    }

    /// Changes the priority or start of a job that waits: for its time, a worker, or in a line. One
    /// that runs or has ended is refused.
    pub async fn adjust(&self, id: JobId, change: Adjust) -> Result<Controlled> {
        let (priority, start) = change.into_parts()?;
        let run_at = match start {
            None => None,
            Some(Start::At(instant)) => Some(instant),
            Some(Start::After(delay)) => Some(self.describe().await?.now.plus(delay)),
            Some(Start::Now) => Some(self.describe().await?.now),
        };
        let namespace = self.shared.namespace.clone();
        self.control(Command::Adjust { namespace, id, priority, run_at }).await
    }
}
