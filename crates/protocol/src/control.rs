//! What operators ask, and what became of it.

use std::sync::Arc;

use serde::Deserialize;
use taskwright_core::{JobId, Name, Ordered, Policy, Rate, StateName, Subject, Timestamp};
use taskwright_engine::Result;
use taskwright_store::{Command, Controlled};

use crate::instant::Instant;
use crate::policy::{Named, OrderedWord, RateFields, write_policy};
use crate::read::{At, Names, Object, Parsed, Text, invalid, read};
use crate::write;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControlRequest<'a> {
    #[serde(borrow)]
    commands: Vec<Object<CommandFields<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandFields<'a> {
    command: CommandWord,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    id: Option<Parsed<JobId>>,
    queue: Option<Text<'a>>,
    reason: Option<Text<'a>>,
    attempts: Option<u32>,
    task: Option<Text<'a>>,
    group: Option<Text<'a>>,
    key: Option<Text<'a>>,
    concurrency: Option<u32>,
    rate: Option<RateFields>,
    fair: Option<bool>,
    strict: Option<bool>,
    weight: Option<u32>,
    retries: Option<RateFields>,
    waiting: Option<u32>,
    ordered: Option<OrderedWord>,
    priority: Option<i8>,
    run_at: Option<Parsed<Instant>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CommandWord {
    Cancel,
    Redrive,
    Adjust,
    SetPolicy,
    Delete,
    Pause,
    Resume,
}

pub(crate) fn decode(body: &[u8]) -> Result<Vec<Command>> {
    let request: ControlRequest<'_> = read("control request", body)?;
    let mut names = Names::default();
    let commands = request.commands.into_iter().enumerate().map(|(item, Object(fields))| {
        fields.into_command(At { list: "commands", item }, &mut names)
    });
    commands.collect()
}

/// Reads the body of a cancel; it may be empty.
pub(crate) fn decode_reason(body: &[u8]) -> Result<Arc<str>> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        reason: Option<Text<'a>>,
    }

    let fields = if body.is_empty() { Fields::default() } else { read("cancel request", body)? };
    Ok(Arc::from(fields.reason.as_ref().map_or("", |reason| &*reason.0)))
}

/// Reads the body of a redrive; it may be empty.
pub(crate) fn decode_attempts(body: &[u8]) -> Result<u32> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        attempts: Option<u32>,
    }

    let fields = if body.is_empty() { Fields::default() } else { read("redrive request", body)? };
    Ok(fields.attempts.unwrap_or(0))
}

/// Reads the body of an adjust: the new priority, the new `run_at`, or both.
pub(crate) fn decode_adjust(body: &[u8]) -> Result<(Option<i8>, Option<Timestamp>)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        priority: Option<i8>,
        run_at: Option<Parsed<Instant>>,
    }

    let fields: Fields = read("adjust request", body)?;
    if fields.priority.is_none() && fields.run_at.is_none() {
        return Err(invalid("priority", "give a priority, a run_at, or both"));
    }
    Ok((fields.priority, fields.run_at.map(|instant| instant.0.0)))
}

impl CommandFields<'_> {
    fn into_command(self, at: At, names: &mut Names) -> Result<Command> {
        let namespace = match &self.namespace {
            Some(text) => names.name(&text.0).map_err(|cause| at.invalid("namespace", cause))?,
            None => Name::default_name(),
        };
        self.refuse_misplaced(at)?;
        let job = || self.id.map(|id| id.0).ok_or_else(|| at.invalid("id", "name the job"));
        let mut queue = || match &self.queue {
            Some(text) => names.name(&text.0).map_err(|cause| at.invalid("queue", cause)),
            None => Err(at.invalid("queue", "name the queue")),
        };
        Ok(match self.command {
            CommandWord::Cancel => {
                let reason = self.reason.as_ref().map_or("", |reason| &*reason.0);
                Command::Cancel { namespace, id: job()?, reason: Arc::from(reason) }
            }
            CommandWord::Redrive => {
                let attempts = self.attempts.unwrap_or(0);
                Command::Redrive { namespace, id: job()?, attempts }
            }
            CommandWord::Adjust => {
                let (priority, run_at) = (self.priority, self.run_at.map(|instant| instant.0.0));
                if priority.is_none() && run_at.is_none() {
                    return Err(at.invalid("priority", "give a priority, a run_at, or both"));
                }
                Command::Adjust { namespace, id: job()?, priority, run_at }
            }
            CommandWord::SetPolicy => {
                let (subject, policy) = self.policy(at, names)?;
                Command::SetPolicy { namespace, subject, policy }
            }
            CommandWord::Delete => Command::Delete { namespace, id: job()? },
            CommandWord::Pause => Command::Pause { namespace, queue: queue()? },
            CommandWord::Resume => Command::Resume { namespace, queue: queue()? },
        })
    }

    /// What a policy is set for, and the policy; none of its fields: there is to be none.
    fn policy(&self, at: At, names: &mut Names) -> Result<(Subject, Option<Policy>)> {
        let named = Named {
            queue: self.queue.as_ref(),
            task: self.task.as_ref(),
            group: self.group.as_ref(),
            key: self.key.as_ref(),
        };
        let subject = named.subject(|field, cause| at.invalid(field, cause), names)?;
        let policy = Policy {
            concurrency: self.concurrency,
            rate: self.rate.map(Rate::from),
            fair: self.fair.unwrap_or(false),
            strict: self.strict.unwrap_or(false),
            weight: self.weight,
            retries: self.retries.map(Rate::from),
            waiting: self.waiting,
            ordered: self.ordered.map(Ordered::from),
        };
        Ok((subject, (!policy.is_empty()).then_some(policy)))
    }

    fn refuse_misplaced(&self, at: At) -> Result<()> {
        use CommandWord::{Adjust, Cancel, Delete, Pause, Redrive, Resume, SetPolicy};
        let fields: [(_, _, &[CommandWord]); 17] = [
            ("id", self.id.is_some(), &[Cancel, Redrive, Adjust, Delete]),
            ("queue", self.queue.is_some(), &[Pause, Resume, SetPolicy]),
            ("task", self.task.is_some(), &[SetPolicy]),
            ("group", self.group.is_some(), &[SetPolicy]),
            ("key", self.key.is_some(), &[SetPolicy]),
            ("concurrency", self.concurrency.is_some(), &[SetPolicy]),
            ("rate", self.rate.is_some(), &[SetPolicy]),
            ("fair", self.fair.is_some(), &[SetPolicy]),
            ("strict", self.strict.is_some(), &[SetPolicy]),
            ("weight", self.weight.is_some(), &[SetPolicy]),
            ("retries", self.retries.is_some(), &[SetPolicy]),
            ("waiting", self.waiting.is_some(), &[SetPolicy]),
            ("ordered", self.ordered.is_some(), &[SetPolicy]),
            ("reason", self.reason.is_some(), &[Cancel]),
            ("attempts", self.attempts.is_some(), &[Redrive]),
            ("priority", self.priority.is_some(), &[Adjust]),
            ("run_at", self.run_at.is_some(), &[Adjust]),
        ];
        let is_misplaced = |&(_, given, commands): &(_, bool, &[CommandWord])| {
            given && !commands.contains(&self.command)
        };
        match fields.into_iter().find(is_misplaced) {
            None => Ok(()),
            Some((field, ..)) => Err(at.invalid(field, "it does not go with this command")),
        }
    }
}

pub(crate) fn encode(commands: &[Command]) -> Vec<u8> {
    write::object(128 * commands.len() + 16, |object| {
        object.list("commands", commands, write_command);
    })
}

fn write_command(command: &Command, object: &mut write::Object<'_>) {
    match command {
        Command::Cancel { namespace, id, reason } => {
            object.word("command", "cancel");
            object.name("namespace", namespace);
            object.id("id", *id);
            object.text("reason", reason);
        }
        Command::Redrive { namespace, id, attempts } => {
            object.word("command", "redrive");
            object.name("namespace", namespace);
            object.id("id", *id);
            object.number("attempts", u64::from(*attempts));
        }
        Command::Adjust { namespace, id, priority, run_at } => {
            object.word("command", "adjust");
            object.name("namespace", namespace);
            object.id("id", *id);
            if let Some(priority) = priority {
                object.signed("priority", i64::from(*priority));
            }
            if let Some(run_at) = run_at {
                object.instant("run_at", *run_at);
            }
        }
        Command::SetPolicy { namespace, subject, policy } => {
            object.word("command", "set_policy");
            object.name("namespace", namespace);
            write_policy(subject, policy.as_ref(), object);
        }
        Command::Delete { namespace, id } => {
            object.word("command", "delete");
            object.name("namespace", namespace);
            object.id("id", *id);
        }
        Command::Pause { namespace, queue } => {
            object.word("command", "pause");
            object.name("namespace", namespace);
            object.name("queue", queue);
        }
        Command::Resume { namespace, queue } => {
            object.word("command", "resume");
            object.name("namespace", namespace);
            object.name("queue", queue);
        }
    }
}

pub(crate) fn encode_reply(controlled: &[Controlled]) -> Vec<u8> {
    write::object(48 * controlled.len() + 16, |object| {
        object.list("commands", controlled, write_controlled);
    })
}

pub(crate) fn encode_one(controlled: &Controlled) -> Vec<u8> {
    write::object(48, |object| write_controlled(controlled, object))
}

fn write_controlled(controlled: &Controlled, object: &mut write::Object<'_>) {
    let (status, state) = match controlled {
        Controlled::Done { state } => ("done", *state),
        Controlled::NotFound => ("not_found", None),
        Controlled::Refused { state } => ("refused", Some(*state)),
        Controlled::Taken { .. } => ("taken", None),
        Controlled::PoliciesFull { .. } => ("policies_full", None),
    };
    object.word("status", status);
    if let Some(state) = state {
        object.word("state", state.as_str());
    }
    if let Controlled::Taken { holder } = controlled {
        object.id("holder", *holder);
    }
    if let Controlled::PoliciesFull { max } = controlled {
        object.number("max", *max as u64);
    }
}

#[derive(Deserialize)]
struct ControlReply {
    commands: Vec<Object<ControlledFields>>,
}

#[derive(Deserialize)]
struct ControlledFields {
    status: StatusWord,
    state: Option<Parsed<StateName>>,
    holder: Option<Parsed<JobId>>,
    max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusWord {
    Done,
    NotFound,
    Refused,
    Taken,
    PoliciesFull,
}

pub(crate) fn decode_reply(body: &[u8]) -> Result<Vec<Controlled>> {
    let reply: ControlReply = read("control reply", body)?;
    let controlled = reply.commands.into_iter().map(|Object(fields)| {
        let state = fields.state.map(|state| state.0);
        match (fields.status, state) {
            (StatusWord::Done, state) => Ok(Controlled::Done { state }),
            (StatusWord::NotFound, _) => Ok(Controlled::NotFound),
            (StatusWord::Refused, Some(state)) => Ok(Controlled::Refused { state }),
            (StatusWord::PoliciesFull, _) => match fields.max {
                Some(max) => Ok(Controlled::PoliciesFull { max }),
                None => Err(invalid("max", "the reply to a command lacks it")),
            },
            (StatusWord::Taken, _) => match fields.holder {
                Some(holder) => Ok(Controlled::Taken { holder: holder.0 }),
                None => Err(invalid("holder", "the reply to a command lacks it")),
            },
            (StatusWord::Refused, None) => Err(invalid("state", "the reply to a command lacks it")),
        }
    });
    controlled.collect()
}
