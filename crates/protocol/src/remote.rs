//! The API over any transport that carries a request and brings its reply.

use std::time::Duration;

use async_trait::async_trait;
use taskwright_core::limits::WAIT_MAX;
use taskwright_core::{Job, JobId, Name, Policy, Subject, WorkerId};
use taskwright_engine::{
    Api, Costs, Enqueued, JobRequest, PlaceRequest, Placement, Result, Scheduling, Work, WorkReply,
};
use taskwright_store::{
    Claim, ClaimedJob, Command, Controlled, Description, Filter, Heartbeat, HeartbeatReply,
    NodeView, Page, QueueCounts, Report, Reported, WorkerView,
};

use crate::operation::Operation;
use crate::{
    claim, control, costs, enqueue, fresh, heartbeat, listen, look, place, policy, report, status,
    work,
};

/// Carries requests to a server.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends the request and brings the reply, or the error that the server answered.
    ///
    /// The server may take `wait` before it answers, beyond the time that any answer takes. A
    /// request whose operation [`is_repeatable`](Operation::is_repeatable) may be sent again.
    async fn call(&self, operation: Operation, body: Vec<u8>, wait: Duration) -> Result<Vec<u8>>;
}

/// An [`Api`] that asks a server.
#[derive(Debug)]
pub struct RemoteApi<T>(T);

impl<T: Transport> RemoteApi<T> {
    /// The API at the other end of `transport`.
    pub fn new(transport: T) -> Self {
        RemoteApi(transport)
    }

    pub(crate) async fn call(&self, operation: Operation, body: Vec<u8>) -> Result<Vec<u8>> {
        self.0.call(operation, body, Duration::ZERO).await
    }
}

#[async_trait]
impl<T: Transport> Api for RemoteApi<T> {
    async fn enqueue(&self, mut jobs: Vec<JobRequest>, partial: bool) -> Result<Vec<Enqueued>> {
        fresh::name_jobs(&mut jobs)?;
        let ids: Vec<JobId> = jobs.iter().filter_map(|job| job.id).collect();
        let reply = self.call(Operation::Enqueue, enqueue::encode(&jobs, partial)).await?;
        enqueue::decode_summary(&reply, &ids)
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>> {
        let wait = claim.wait.min(WAIT_MAX);
        let reply = self.0.call(Operation::Claim, claim::encode(&claim), wait).await?;
        claim::decode_reply(&reply)
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Reported>> {
        let reply = self.call(Operation::Report, report::encode(&reports)).await?;
        report::decode_reply(&reply)
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        let reply = self.call(Operation::Heartbeat, heartbeat::encode(&heartbeat)).await?;
        heartbeat::decode_reply(&reply)
    }

    async fn listen(&self, namespace: &Name, worker: WorkerId, wait: Duration) -> Result<bool> {
        let wait = wait.min(WAIT_MAX);
        let body = listen::encode(namespace, worker, wait);
        listen::decode_reply(&self.0.call(Operation::Listen, body, wait).await?)
    }

    async fn work(&self, work: Work) -> Result<WorkReply> {
        let waits = work.claim.as_ref().filter(|_| work.reports.is_empty());
        let wait = waits.map_or(Duration::ZERO, |claim| claim.wait.min(WAIT_MAX));
        let reply = self.0.call(Operation::Work, work::encode(&work), wait).await?;
        work::decode_reply(&reply)
    }

    /// The server knows by itself who asks: `actor` is not sent.
    async fn control(&self, _actor: &str, commands: Vec<Command>) -> Result<Vec<Controlled>> {
        let reply = self.call(Operation::Control, control::encode(&commands)).await?;
        control::decode_reply(&reply)
    }

    async fn get(&self, namespace: &Name, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        let reply = self.call(Operation::Get, look::encode_get(namespace, ids)).await?;
        look::decode_found(&reply)
    }

    async fn wait(&self, namespace: &Name, id: JobId, wait: Duration) -> Result<Option<Job>> {
        let wait = wait.min(WAIT_MAX);
        let body = look::encode_wait(namespace, id, wait);
        look::decode_waited(&self.0.call(Operation::Wait, body, wait).await?)
    }

    async fn list(&self, filter: Filter) -> Result<Page> {
        look::decode_page(&self.call(Operation::List, look::encode_list(&filter)).await?)
    }

    async fn peek(&self, namespace: &Name, queue: &Name, max: usize) -> Result<Vec<Job>> {
        let body = look::encode_peek(namespace, queue, max);
        let page = look::decode_page(&self.call(Operation::Peek, body).await?)?;
        Ok(page.jobs)
    }

    async fn counts(&self, namespace: &Name) -> Result<Vec<QueueCounts>> {
        let body = status::encode_namespace(namespace);
        status::decode_queues(&self.call(Operation::Queues, body).await?)
    }

    async fn workers(&self, namespace: &Name) -> Result<Vec<WorkerView>> {
        let body = status::encode_namespace(namespace);
        status::decode_workers(&self.call(Operation::Workers, body).await?)
    }

    async fn costs(&self, namespace: &Name) -> Result<Costs> {
        let body = status::encode_namespace(namespace);
        costs::decode_reply(&self.call(Operation::Costs, body).await?)
    }

    async fn place(&self, request: PlaceRequest) -> Result<Placement> {
        place::decode_reply(&self.call(Operation::Place, place::encode(&request)).await?)
    }

    async fn policies(&self, namespace: &Name) -> Result<Vec<(Subject, Policy)>> {
        let body = status::encode_namespace(namespace);
        policy::decode_reply(&self.call(Operation::Policies, body).await?)
    }

    fn scheduling(&self) -> Result<&dyn Scheduling> {
        Ok(self)
    }

    async fn nodes(&self) -> Result<Vec<NodeView>> {
        let body = status::encode_namespace(&Name::default_name());
        status::decode_nodes(&self.call(Operation::Nodes, body).await?)
    }

    async fn describe(&self) -> Result<Description> {
        let body = status::encode_namespace(&Name::default_name());
        status::decode_description(&self.call(Operation::Describe, body).await?)
    }
}
