//! Requests about schedules and calendars, and their replies.

use serde::Deserialize;
use taskwright_core::{JobId, Name, Timestamp};
use taskwright_engine::{
    Api, Backfilled, Error, ErrorCode, Result, ScheduleChange, ScheduleSpec, ScheduleView,
};

use crate::instant::Instant;
use crate::read::{Names, Object, Parsed, Text, invalid, name_or_default, read};
use crate::schedule::{ScheduleFields, ViewFields, write_spec, write_view};
use crate::service::ScheduleAction;
use crate::write;

/// Instants that a preview tells where nothing else is said.
const PREVIEW_DEFAULT: usize = 10;

/// Which schedules to show.
pub(crate) struct Look {
    pub namespace: Name,
    /// Only this one.
    pub name: Option<Name>,
    pub after: Option<Name>,
    pub limit: usize,
}

pub(crate) fn decode_look(body: &[u8]) -> Result<Look> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        #[serde(borrow)]
        namespace: Option<Text<'a>>,
        name: Option<Text<'a>>,
        after: Option<Text<'a>>,
        limit: Option<usize>,
    }

    let fields: Fields<'_> = read("schedules request", body)?;
    let mut names = Names::default();
    let mut name =
        |field, text: &Text<'_>| names.name(&text.0).map_err(|cause| invalid(field, cause));
    Ok(Look {
        namespace: name_or_default("namespace", fields.namespace.as_ref())?,
        name: fields.name.as_ref().map(|text| name("name", text)).transpose()?,
        after: fields.after.as_ref().map(|text| name("after", text)).transpose()?,
        limit: fields.limit.unwrap_or(taskwright_core::limits::DOCUMENTS_PAGE_MAX),
    })
}

pub(crate) fn encode_look(look: &Look) -> Vec<u8> {
    write::object(128, |object| {
        object.name("namespace", &look.namespace);
        if let Some(name) = &look.name {
            object.name("name", name);
        }
        if let Some(after) = &look.after {
            object.name("after", after);
        }
        object.number("limit", look.limit as u64);
    })
}

pub(crate) fn encode_views(views: &[ScheduleView]) -> Vec<u8> {
    write::object(512 * views.len() + 32, |object| {
        object.list("schedules", views, write_view);
    })
}

pub(crate) fn encode_view(view: &ScheduleView) -> Vec<u8> {
    write::object(512, |object| write_view(view, object))
}

pub(crate) fn decode_views(body: &[u8], namespace: &Name) -> Result<Vec<ScheduleView>> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        schedules: Vec<Object<ViewFields<'a>>>,
    }

    let fields: Fields<'_> = read("schedules reply", body)?;
    fields.schedules.into_iter().map(|Object(view)| view.view(namespace)).collect()
}

/// What somebody asks of one schedule or calendar.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Set(Box<ScheduleSpec>),
    Remove(Name),
    Pause(Name),
    Resume(Name),
    Trigger(Name),
    Backfill { name: Name, from: Timestamp, to: Timestamp, max: usize },
    Preview { spec: Box<ScheduleSpec>, from: Option<Timestamp>, max: usize },
    Calendars,
    SetCalendar { name: Name, text: Option<String> },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Set,
    Remove,
    Pause,
    Resume,
    Trigger,
    Backfill,
    Preview,
    Calendars,
    SetCalendar,
    RemoveCalendar,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskFields<'a> {
    command: Word,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    name: Option<Text<'a>>,
    #[serde(borrow)]
    schedule: Option<Object<ScheduleFields<'a>>>,
    from: Option<Parsed<Instant>>,
    to: Option<Parsed<Instant>>,
    max: Option<usize>,
    text: Option<Text<'a>>,
}

pub(crate) fn decode(body: &[u8]) -> Result<(Name, Ask)> {
    let fields: AskFields<'_> = read("schedule request", body)?;
    let namespace = name_or_default("namespace", fields.namespace.as_ref())?;
    let name = || {
        let text = fields.name.as_ref().ok_or_else(|| invalid("name", "it is missing"))?;
        Name::new(&text.0).map_err(|cause| invalid("name", cause))
    };
    let instant = |field: &'static str, at: Option<Parsed<Instant>>| {
        at.map(|at| at.0.0).ok_or_else(|| invalid(field, "it is missing; give an instant"))
    };
    let spec = |schedule: Option<Object<ScheduleFields<'_>>>| {
        let fields = schedule.ok_or_else(|| invalid("schedule", "it is missing"))?;
        fields.0.spec(&namespace).map(Box::new)
    };
    let ask = match fields.command {
        Word::Set => Ask::Set(spec(fields.schedule)?),
        Word::Remove => Ask::Remove(name()?),
        Word::Pause => Ask::Pause(name()?),
        Word::Resume => Ask::Resume(name()?),
        Word::Trigger => Ask::Trigger(name()?),
        Word::Backfill => Ask::Backfill {
            name: name()?,
            from: instant("from", fields.from)?,
            to: instant("to", fields.to)?,
            max: fields.max.unwrap_or(taskwright_core::limits::BATCH_MAX),
        },
        Word::Preview => Ask::Preview {
            spec: spec(fields.schedule)?,
            from: fields.from.map(|at| at.0.0),
            max: fields.max.unwrap_or(PREVIEW_DEFAULT),
        },
        Word::Calendars => Ask::Calendars,
        Word::SetCalendar => {
            let text = fields.text.as_ref().ok_or_else(|| invalid("text", "it is missing"))?;
            Ask::SetCalendar { name: name()?, text: Some(text.0.to_string()) }
        }
        Word::RemoveCalendar => Ask::SetCalendar { name: name()?, text: None },
    };
    Ok((namespace, ask))
}

/// What a path and what was sent to it ask for. The path says which one: a body need not.
pub(crate) fn decode_action(
    namespace: &Name,
    name: Name,
    action: ScheduleAction,
    body: &[u8],
) -> Result<Ask> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Stretch {
        from: Parsed<Instant>,
        to: Parsed<Instant>,
        max: Option<usize>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Calendar<'a> {
        #[serde(borrow)]
        text: Text<'a>,
    }

    Ok(match action {
        ScheduleAction::Set => {
            let spec = read::<ScheduleFields<'_>>("schedule", body)?.spec(namespace)?;
            if spec.name != name {
                let message = format!("it is {:?}, and the path says {name}", spec.name.as_str());
                return Err(invalid("name", message));
            }
            Ask::Set(Box::new(spec))
        }
        ScheduleAction::Remove => Ask::Remove(name),
        ScheduleAction::Pause => Ask::Pause(name),
        ScheduleAction::Resume => Ask::Resume(name),
        ScheduleAction::Trigger => Ask::Trigger(name),
        ScheduleAction::Backfill => {
            let Stretch { from, to, max } = read("backfill request", body)?;
            let max = max.unwrap_or(taskwright_core::limits::BATCH_MAX);
            Ask::Backfill { name, from: from.0.0, to: to.0.0, max }
        }
        ScheduleAction::SetCalendar => {
            let Calendar { text } = read("calendar request", body)?;
            Ask::SetCalendar { name, text: Some(text.0.into_owned()) }
        }
        ScheduleAction::RemoveCalendar => Ask::SetCalendar { name, text: None },
    })
}

pub(crate) fn encode(namespace: &Name, ask: &Ask) -> Vec<u8> {
    write::object(512, |object| {
        object.name("namespace", namespace);
        let mut of = |command, name: &Name| {
            object.word("command", command);
            object.name("name", name);
        };
        match ask {
            Ask::Remove(name) => of("remove", name),
            Ask::Pause(name) => of("pause", name),
            Ask::Resume(name) => of("resume", name),
            Ask::Trigger(name) => of("trigger", name),
            Ask::SetCalendar { name, text: None } => of("remove_calendar", name),
            Ask::SetCalendar { name, text: Some(text) } => {
                of("set_calendar", name);
                object.text("text", text);
            }
            Ask::Calendars => object.word("command", "calendars"),
            Ask::Set(spec) => {
                object.word("command", "set");
                object.object("schedule", |fields| write_spec(spec, fields));
            }
            Ask::Backfill { name, from, to, max } => {
                of("backfill", name);
                object.instant("from", *from);
                object.instant("to", *to);
                object.number("max", *max as u64);
            }
            Ask::Preview { spec, from, max } => {
                object.word("command", "preview");
                object.object("schedule", |fields| write_spec(spec, fields));
                if let Some(from) = from {
                    object.instant("from", *from);
                }
                object.number("max", *max as u64);
            }
        }
    })
}

/// What became of it: each command fills in the parts that it has an answer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub change: Option<ScheduleChange>,
    pub removed: Option<bool>,
    pub id: Option<JobId>,
    pub backfilled: Option<Backfilled>,
    pub instants: Option<Vec<Timestamp>>,
    pub calendars: Option<Vec<Name>>,
}

/// Does what is asked.
pub(crate) async fn carry_out(
    api: &dyn Api,
    namespace: &Name,
    ask: Ask,
    actor: &str,
) -> Result<Answer> {
    let api = api.scheduling()?;
    let mut answer = Answer::default();
    match ask {
        Ask::Set(spec) => answer.change = Some(api.set_schedule(actor, *spec).await?),
        Ask::Remove(name) => {
            answer.removed = Some(api.remove_schedule(actor, namespace, &name).await?);
        }
        Ask::Pause(name) => api.pause_schedule(actor, namespace, &name).await?,
        Ask::Resume(name) => api.resume_schedule(actor, namespace, &name).await?,
        Ask::Trigger(name) => answer.id = Some(api.trigger(namespace, &name).await?),
        Ask::Backfill { name, from, to, max } => {
            answer.backfilled = Some(api.backfill(namespace, &name, from, to, max).await?);
        }
        Ask::Preview { spec, from, max } => {
            answer.instants = Some(api.preview(&spec, from, max).await?);
        }
        Ask::Calendars => answer.calendars = Some(api.calendars(namespace).await?),
        Ask::SetCalendar { name, text } => {
            api.set_calendar(actor, namespace, &name, text.as_deref()).await?;
        }
    }
    Ok(answer)
}

pub(crate) fn encode_answer(answer: &Answer) -> Vec<u8> {
    write::object(128, |object| {
        if let Some(change) = answer.change {
            object.word(
                "change",
                match change {
                    ScheduleChange::Created => "created",
                    ScheduleChange::Changed => "changed",
                    ScheduleChange::Unchanged => "unchanged",
                },
            );
        }
        if let Some(removed) = answer.removed {
            object.flag("removed", removed);
        }
        if let Some(id) = answer.id {
            object.id("id", id);
        }
        if let Some(Backfilled { made, existing, until }) = answer.backfilled {
            object.number("made", made as u64);
            object.number("existing", existing as u64);
            if let Some(until) = until {
                object.instant("until", until);
            }
        }
        if let Some(instants) = &answer.instants {
            object.instants("instants", instants);
        }
        if let Some(calendars) = &answer.calendars {
            object.names("calendars", calendars);
        }
    })
}

pub(crate) fn decode_answer(body: &[u8]) -> Result<Answer> {
    #[derive(Clone, Copy, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum ChangeWord {
        Created,
        Changed,
        Unchanged,
    }

    #[derive(Deserialize)]
    struct Fields<'a> {
        change: Option<ChangeWord>,
        removed: Option<bool>,
        id: Option<Parsed<JobId>>,
        made: Option<usize>,
        existing: Option<usize>,
        until: Option<Parsed<Instant>>,
        instants: Option<Vec<Parsed<Instant>>>,
        #[serde(borrow)]
        calendars: Option<Vec<Text<'a>>>,
    }

    let fields: Fields<'_> = read("schedule reply", body)?;
    let mut names = Names::default();
    let calendars = fields.calendars.map(|list| {
        let named = list.iter().map(|text| names.name(&text.0));
        named.collect::<Result<Vec<_>, _>>().map_err(|cause| invalid("calendars", cause))
    });
    Ok(Answer {
        change: fields.change.map(|word| match word {
            ChangeWord::Created => ScheduleChange::Created,
            ChangeWord::Changed => ScheduleChange::Changed,
            ChangeWord::Unchanged => ScheduleChange::Unchanged,
        }),
        removed: fields.removed,
        id: fields.id.map(|id| id.0),
        backfilled: fields.made.zip(fields.existing).map(|(made, existing)| Backfilled {
            made,
            existing,
            until: fields.until.map(|at| at.0.0),
        }),
        instants: fields.instants.map(|list| list.iter().map(|at| at.0.0).collect()),
        calendars: calendars.transpose()?,
    })
}

/// The part of an answer that a command must have.
pub(crate) fn told<T>(part: Option<T>) -> Result<T> {
    part.ok_or_else(|| {
        let message = "the reply of the server lacks its answer; is it of another version?";
        Error::new(ErrorCode::Unavailable, message)
    })
}

/// Reads a schedule as a file or a request describes it, in this namespace.
pub fn read_schedule(body: &[u8], namespace: &Name) -> Result<ScheduleSpec> {
    read::<ScheduleFields<'_>>("schedule", body)?.spec(namespace)
}

/// Writes a schedule as [`read_schedule`] reads it.
pub fn write_schedule(spec: &ScheduleSpec) -> Vec<u8> {
    write::object(512, |object| write_spec(spec, object))
}

/// Writes a schedule and where it stands.
pub fn write_schedule_view(view: &ScheduleView) -> Vec<u8> {
    encode_view(view)
}
