//! Schedules as people see them.

use anyhow::Result;
use comfy_table::{Cell, Color};
use taskwright::{Overlap, PausedBy, Recurrence, ScheduleView, SkipReason, Skipped};
use taskwright_core::schedule::{CatchUp, Zone};
use taskwright_core::{Name, Timestamp, format_duration};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::json::in_a_line;
use crate::{connect, show};

pub async fn list(global: &Global) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let listed = app.schedules().await;
    app.close().await?;
    let schedules = listed?;
    if global.json {
        for view in &schedules {
            show::print(in_a_line(&taskwright_protocol::write_schedule_view(view)))?;
        }
    } else if schedules.is_empty() {
        eprintln!("There are no schedules; make one with `taskwright schedules set`.");
    } else {
        let heads = ["NAME", "WHEN", "ZONE", "TASK", "NEXT", ">MADE", ">SKIPPED", "STATE"];
        let mut table = show::table(&std::io::stdout(), &heads);
        for view in &schedules {
            table.add_row([
                Cell::new(&view.spec.name),
                Cell::new(show::short(&when(&view.spec.when), 40)),
                Cell::new(show::short(&view.spec.zone, 30)),
                Cell::new(&view.spec.job.task),
                Cell::new(view.next_at.map(show::relative).unwrap_or_default()),
                Cell::new(show::count(view.standing.made)),
                Cell::new(show::count(view.standing.skipped)),
                state(view),
            ]);
        }
        show::print(show::rendered(&table))?;
    }
    Ok(Exit::Done)
}

pub async fn one(global: &Global, name: &Name) -> Result<Exit> {
    let app = connect::connect(global).await?;
    let found = app.schedule(name.as_str()).await;
    app.close().await?;
    let Some(view) = found? else {
        eprintln!("There is no schedule {name}.");
        return Ok(Exit::Nothing);
    };
    if global.json {
        show::print(in_a_line(&taskwright_protocol::write_schedule_view(&view)))?;
        return Ok(Exit::Done);
    }
    let mut table = show::table(&std::io::stdout(), &["SCHEDULE", name.as_str()]);
    for (what, text) in rows(&view) {
        table.add_row([Cell::new(what), Cell::new(show::short(&text, 400))]);
    }
    show::print(show::rendered(&table))?;
    Ok(Exit::Done)
}

fn rows(view: &ScheduleView) -> Vec<(&'static str, String)> {
    let (spec, standing) = (&view.spec, &view.standing);
    let zone = Zone::named(&spec.zone).unwrap_or_else(|_| Zone::utc());
    let mut rows = vec![("when", when(&spec.when)), ("zone", spec.zone.clone())];
    let mut add = |what, text: Option<String>| rows.extend(text.map(|text| (what, text)));
    add("start", spec.start.map(|at| zone.show(at)));
    add("end", spec.end.map(|at| zone.show(at)));
    add("jitter", (!spec.jitter.is_zero()).then(|| format!("up to {}", whole(spec.jitter))));
    add("windows", (!spec.windows.is_empty()).then(|| spec.windows.join(", ")));
    let excluded: Vec<&str> = spec.exclude.iter().map(Name::as_str).collect();
    add("not on days of", (!excluded.is_empty()).then(|| excluded.join(", ")));
    add("overlap", Some(overlap(spec.policy.overlap).to_owned()));
    add("catch up", Some(catch_up(spec.policy.catch_up)));
    add("at most late by", spec.policy.catch_up_window.map(whole));
    add("pauses after", spec.policy.pause_after.map(|n| show::counted(n.into(), "failure")));
    add("task", Some(format!("{} in queue {}", spec.job.task, spec.job.queue)));
    add("args", Some(show::short(spec.job.args.as_str(), 200)));
    let next = |at: Timestamp| format!("{} ({})", zone.show(at), show::relative(at));
    add("next", view.next_at.map(next));
    add("state", Some(word(view).to_owned()));
    add("trouble", standing.trouble.as_ref().map(ToString::to_string));
    add("queued instant", standing.state.queued.map(|at| zone.show(at)));
    let failures = u64::from(standing.state.failures);
    add("failed in a row", (failures > 0).then(|| show::counted(failures, "job")));
    add("made", Some(show::counted(standing.made, "job")));
    add("last job", standing.last_job.map(|id| id.to_string()));
    let refused = standing.refused;
    add("not taken", (refused > 0).then(|| show::counted(refused, "job")));
    add("skipped", Some(show::counted(standing.skipped, "instant")));
    for skipped in standing.skips.iter().rev().take(5) {
        add("", Some(skip(skipped, &zone)));
    }
    add("its jobs", Some(format!("taskwright jobs --tag {}", spec.tag())));
    rows
}

fn whole(duration: std::time::Duration) -> String {
    format_duration(duration).replace(".0s", "s")
}

pub fn when(when: &Recurrence) -> String {
    match when {
        Recurrence::Cron(text) => text.clone(),
        Recurrence::Every { every, .. } => format!("every {}", whole(*every)),
        Recurrence::At(instants) => {
            format!("at {}", show::counted(instants.len() as u64, "instant"))
        }
    }
}

fn overlap(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Skip => "skip the instant while a job of it is live",
        Overlap::Allow => "allow",
        Overlap::QueueOne => "queue one instant until the live job has ended",
        Overlap::CancelRunning => "cancel the live job",
    }
}

fn catch_up(catch_up: CatchUp) -> String {
    match catch_up {
        CatchUp::Once => "one job for all that was missed".to_owned(),
        CatchUp::Skip => "skip what was missed".to_owned(),
        CatchUp::All { max } => format!("the newest {max} of what was missed"),
    }
}

fn word(view: &ScheduleView) -> &'static str {
    match (view.standing.state.paused, view.next_at) {
        (Some(PausedBy::Operator), _) => "paused",
        (Some(PausedBy::Failures), _) => "paused after failures",
        (None, _) if view.standing.trouble.is_some() => "trouble",
        (None, None) => "over",
        (None, Some(_)) => "on",
    }
}

fn state(view: &ScheduleView) -> Cell {
    let word = word(view);
    Cell::new(word).fg(match word {
        "on" => Color::Green,
        "trouble" | "paused after failures" => Color::Red,
        _ => Color::DarkGrey,
    })
}

fn skip(skipped: &Skipped, zone: &Zone) -> String {
    let why = match skipped.reason {
        SkipReason::Paused => "paused",
        SkipReason::Missed => "missed",
        SkipReason::TooOld => "too old",
        SkipReason::MadeUpFor => "made up for by a later one",
        SkipReason::Overlap => "a job was live",
    };
    match skipped.instants {
        1 => format!("{}: {why}", zone.show(skipped.first)),
        _ => format!("{} to {}: {why}", zone.show(skipped.first), zone.show(skipped.until)),
    }
}
