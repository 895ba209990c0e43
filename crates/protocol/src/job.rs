//! A job as it is shown.

use serde::Deserialize;
use taskwright_core::{
    AttemptRecord, Cause, Job, JobId, Life, Place, State, StateName, Token, Verdict, WorkerId,
};
use taskwright_engine::Result;

use crate::extras::{reader_with_extras, shared, write_extras};
use crate::instant::Instant;
use crate::read::{Names, Object, Parsed, Payload, Text, invalid};
use crate::report::write_error;
use crate::write;

/// Writes one job as an object of its own.
pub(crate) fn encode(job: &Job) -> Vec<u8> {
    let payload = |json: &Option<_>| json.as_ref().map_or(0, taskwright_core::Json::len);
    write::object(payload(&job.args) + payload(&job.result) + 768, |object| write_job(job, object))
}

pub(crate) fn write_job(job: &Job, object: &mut write::Object<'_>) {
    object.name("namespace", &job.namespace);
    object.id("id", job.id);
    object.number("seq", job.seq);
    object.name("task", &job.task);
    object.name("queue", &job.queue);
    write_life(&job.life, object);
    object.signed("priority", i64::from(job.priority));
    object.instant("run_at", job.run_at);
    if let Some(timeout_ms) = job.timeout_ms {
        object.number("timeout_ms", timeout_ms);
    }
    object.instant("created_at", job.created_at);
    if let Some(started_at) = job.started_at {
        object.instant("started_at", started_at);
    }
    if let Some(finished_at) = job.finished_at {
        object.instant("finished_at", finished_at);
    }
    if let Some(worker) = job.worker {
        object.worker("worker", worker);
    }
    if let Some(reason) = &job.cancel_reason {
        object.text("cancel_reason", reason);
    }
    if let Some(error) = &job.error {
        write_error("error", error, object);
    }
    for (key, json) in [
        ("progress", &job.progress),
        ("checkpoint", &job.checkpoint),
        ("args", &job.args),
        ("result", &job.result),
    ] {
        if let Some(json) = json {
            object.json(key, json);
        }
    }
    write_extras(&job.extras, object);
    if !job.attempts.is_empty() {
        object.list("attempts", &job.attempts, write_attempt);
    }
}

fn write_life(life: &Life, object: &mut write::Object<'_>) {
    object.word("state", life.state.name().as_str());
    match life.state {
        State::Available(Place::Ready(rank)) => {
            object.word("place", "ready");
            object.signed("rank", rank);
        }
        State::Available(Place::Until(until)) => {
            object.word("place", "until");
            object.instant("until", until);
        }
        State::Available(Place::Line(key)) => {
            object.word("place", "line");
            object.number("line", key);
        }
        State::Available(Place::Intake) => object.word("place", "intake"),
        State::Running(token) => object.token("token", token),
        State::Dead(cause) => object.word("cause", cause.as_str()),
        State::Blocked | State::Completed | State::Cancelled | State::Expired => {}
    }
    object.number("attempt", u64::from(life.attempt));
    object.number("failures", u64::from(life.failures));
    object.number("max_attempts", u64::from(life.max_attempts));
    for (key, count) in [
        ("waits_for", life.waits_for),
        ("losses", life.losses),
        ("released", life.released),
        ("snoozed", life.snoozed),
    ] {
        if count > 0 {
            object.number(key, u64::from(count));
        }
    }
    object.number("max_losses", u64::from(life.max_losses));
    if life.cancel_requested {
        object.flag("cancel_requested", true);
    }
    if let Some((token, verdict)) = life.last {
        object.object("last", |fields| {
            fields.token("token", token);
            fields.word("verdict", verdict.as_str());
        });
    }
}

fn write_attempt(attempt: &AttemptRecord, object: &mut write::Object<'_>) {
    object.number("attempt", u64::from(attempt.attempt));
    object.worker("worker", attempt.worker);
    object.instant("started_at", attempt.started_at);
    object.instant("ended_at", attempt.ended_at);
    object.word("verdict", attempt.verdict.as_str());
    if let Some(error) = &attempt.error {
        write_error("error", error, object);
    }
}

reader_with_extras! {
    /// A job as it arrives at a client.
    pub(crate) struct JobView<'a> {
        #[serde(borrow)]
        namespace: Text<'a>,
        id: Parsed<JobId>,
        seq: u64,
        task: Text<'a>,
        queue: Text<'a>,
        state: Parsed<StateName>,
        place: Option<PlaceWord>,
        rank: Option<i64>,
        until: Option<Parsed<Instant>>,
        line: Option<u64>,
        token: Option<Parsed<Token>>,
        cause: Option<CauseWord>,
        attempt: u32,
        failures: u32,
        max_attempts: u32,
        #[serde(default)]
        waits_for: u32,
        #[serde(default)]
        losses: u32,
        #[serde(default)]
        released: u32,
        #[serde(default)]
        snoozed: u32,
        max_losses: u32,
        #[serde(default)]
        cancel_requested: bool,
        last: Option<Object<LastFields>>,
        priority: i8,
        run_at: Parsed<Instant>,
        timeout_ms: Option<u64>,
        created_at: Parsed<Instant>,
        started_at: Option<Parsed<Instant>>,
        finished_at: Option<Parsed<Instant>>,
        worker: Option<Parsed<WorkerId>>,
        cancel_reason: Option<Text<'a>>,
        error: Option<Object<ShownError<'a>>>,
        progress: Option<Payload<'a>>,
        checkpoint: Option<Payload<'a>>,
        args: Option<Payload<'a>>,
        result: Option<Payload<'a>>,
        #[serde(borrow, default)]
        attempts: Vec<Object<AttemptFields<'a>>>,
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlaceWord {
    Ready,
    Until,
    Line,
    Intake,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CauseWord {
    Exhausted,
    Final,
    Quarantined,
    Returned,
}

#[derive(Deserialize)]
struct LastFields {
    token: Parsed<Token>,
    verdict: VerdictWord,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerdictWord {
    Completed,
    Failed,
    Snoozed,
    Released,
    Lost,
    TimedOut,
}

#[derive(Deserialize)]
struct ShownError<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    message: Text<'a>,
}

#[derive(Deserialize)]
struct AttemptFields<'a> {
    attempt: u32,
    worker: Parsed<WorkerId>,
    started_at: Parsed<Instant>,
    ended_at: Parsed<Instant>,
    verdict: VerdictWord,
    #[serde(borrow)]
    error: Option<Object<ShownError<'a>>>,
}

impl JobView<'_> {
    /// The job; `names` are shared by those of one reply.
    pub(crate) fn into_job(mut self, names: &mut Names) -> Result<Job> {
        let mut name =
            |field, text: &Text<'_>| names.name(&text.0).map_err(|cause| invalid(field, cause));
        Ok(Job {
            extras: self.extras(),
            namespace: name("namespace", &self.namespace)?,
            id: self.id.0,
            seq: self.seq,
            task: name("task", &self.task)?,
            queue: name("queue", &self.queue)?,
            life: self.life()?,
            priority: self.priority,
            run_at: self.run_at.0.0,
            timeout_ms: self.timeout_ms,
            created_at: self.created_at.0.0,
            started_at: self.started_at.map(|instant| instant.0.0),
            finished_at: self.finished_at.map(|instant| instant.0.0),
            worker: self.worker.map(|worker| worker.0),
            cancel_reason: shared(self.cancel_reason.as_ref()),
            error: self.error.map(|Object(error)| error.into_error()),
            progress: self.progress.map(|json| json.to_json()),
            checkpoint: self.checkpoint.map(|json| json.to_json()),
            args: self.args.map(|json| json.to_json()),
            result: self.result.map(|json| json.to_json()),
            attempts: self.attempts.into_iter().map(|Object(attempt)| attempt.into()).collect(),
        })
    }

    fn life(&self) -> Result<Life> {
        let state = match self.state.0 {
            StateName::Blocked => Some(State::Blocked),
            StateName::Available => self.place().map(State::Available),
            StateName::Running => self.token.map(|token| State::Running(token.0)),
            StateName::Completed => Some(State::Completed),
            StateName::Dead => self.cause.map(|cause| State::Dead(cause.into())),
            StateName::Cancelled => Some(State::Cancelled),
            StateName::Expired => Some(State::Expired),
        };
        Ok(Life {
            state: state.ok_or_else(|| invalid("state", "what belongs to it is missing"))?,
            waits_for: self.waits_for,
            attempt: self.attempt,
            failures: self.failures,
            losses: self.losses,
            released: self.released,
            snoozed: self.snoozed,
            max_attempts: self.max_attempts,
            max_losses: self.max_losses,
            cancel_requested: self.cancel_requested,
            last: self.last.as_ref().map(|Object(last)| (last.token.0, last.verdict.into())),
        })
    }

    fn place(&self) -> Option<Place> {
        match self.place? {
            PlaceWord::Ready => self.rank.map(Place::Ready),
            PlaceWord::Until => self.until.map(|until| Place::Until(until.0.0)),
            PlaceWord::Line => self.line.map(Place::Line),
            PlaceWord::Intake => Some(Place::Intake),
        }
    }
}

impl ShownError<'_> {
    fn into_error(self) -> taskwright_core::JobError {
        taskwright_core::JobError::new(&self.kind.0, &self.message.0)
    }
}

impl From<AttemptFields<'_>> for AttemptRecord {
    fn from(fields: AttemptFields<'_>) -> Self {
        AttemptRecord {
            attempt: fields.attempt,
            worker: fields.worker.0,
            started_at: fields.started_at.0.0,
            ended_at: fields.ended_at.0.0,
            verdict: fields.verdict.into(),
            error: fields.error.map(|Object(error)| error.into_error()),
        }
    }
}

impl From<CauseWord> for Cause {
    fn from(word: CauseWord) -> Self {
        match word {
            CauseWord::Exhausted => Cause::Exhausted,
            CauseWord::Final => Cause::Final,
            CauseWord::Quarantined => Cause::Quarantined,
            CauseWord::Returned => Cause::Returned,
        }
    }
}

impl From<VerdictWord> for Verdict {
    fn from(word: VerdictWord) -> Self {
        match word {
            VerdictWord::Completed => Verdict::Completed,
            VerdictWord::Failed => Verdict::Failed,
            VerdictWord::Snoozed => Verdict::Snoozed,
            VerdictWord::Released => Verdict::Released,
            VerdictWord::Lost => Verdict::Lapsed,
            VerdictWord::TimedOut => Verdict::TimedOut,
        }
    }
}
