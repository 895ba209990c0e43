//! What people see: tables, colours, times.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use taskwright_core::{
    Job, Labels, LineKey, Place, Resources, State, StateName, Timestamp, format_duration,
};

use crate::arguments::Global;

static COLOURS: AtomicBool = AtomicBool::new(false);

/// Decides once whether colours are wanted.
pub fn set_up(global: &Global) {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    COLOURS.store(!global.no_color && !refused, Ordering::Relaxed);
}

/// Whether colours are wanted on a stream.
pub fn wants_colours(stream: &impl IsTerminal) -> bool {
    COLOURS.load(Ordering::Relaxed) && stream.is_terminal()
}

/// Prints a line on stdout.
pub fn print(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// A table with these column heads; columns whose head begins with `>` are numbers.
pub fn table(stream: &impl IsTerminal, heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if wants_colours(stream) {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(heads.iter().map(|head| {
        let cell = Cell::new(head.trim_start_matches('>')).add_attribute(Attribute::Bold);
        if head.starts_with('>') { cell.set_alignment(CellAlignment::Right) } else { cell }
    }));
    for (index, head) in heads.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if head.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// A table as text, without blanks at the ends of its lines.
pub fn rendered(table: &Table) -> String {
    table.trim_fmt()
}

/// The state of a job, with what people want to know about it.
pub fn state_cell(job: &Job) -> Cell {
    let colour = match job.state() {
        State::Completed => Color::Green,
        State::Running(_) => Color::Cyan,
        State::Dead(_) => Color::Red,
        State::Cancelled | State::Expired => Color::DarkGrey,
        State::Available(_) | State::Blocked => Color::Reset,
    };
    Cell::new(state(job)).fg(colour)
}

/// The state of a job in words.
pub fn state(job: &Job) -> String {
    match job.state() {
        State::Available(Place::Until(until)) if job.life.failures > 0 => {
            format!("retrying {}", relative(until))
        }
        State::Available(Place::Until(until)) => format!("scheduled {}", relative(until)),
        State::Available(Place::Line(number)) => match line_of(job, number) {
            Some(LineKey::Group { group, .. }) => format!("in line of group {}", short(&group, 60)),
            Some(LineKey::Key(key)) => format!("in line of key {}", short(&key, 60)),
            None => "in line".to_owned(),
        },
        State::Dead(cause) => format!("dead ({})", cause.as_str()),
        State::Running(_) if job.life.cancel_requested => "running, to be cancelled".to_owned(),
        other => other.name().as_str().to_owned(),
    }
}

/// The key whose line a job stands in.
fn line_of(job: &Job, number: u64) -> Option<LineKey> {
    let keys = LineKey::of(&job.queue, &job.extras);
    keys.into_iter().find(|key| key.number(&job.namespace) == number)
}

/// The wall clock of this machine.
pub fn now() -> Timestamp {
    Timestamp::ZERO.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// An instant as seen from now: `3m ago`, `in 2h`.
pub fn relative(instant: Timestamp) -> String {
    let now = now();
    let (distance, is_past) =
        if instant <= now { (now.since(instant), true) } else { (instant.since(now), false) };
    match (rounded(distance), is_past) {
        (distance, _) if distance.is_zero() => "now".to_owned(),
        (distance, true) => format!("{} ago", format_whole(distance)),
        (distance, false) => format!("in {}", format_whole(distance)),
    }
}

fn rounded(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// A duration of whole seconds.
pub fn format_whole(duration: Duration) -> String {
    format_duration(rounded(duration)).replace(".0s", "s")
}

/// An instant in full, with its distance from now.
pub fn instant(instant: Timestamp) -> String {
    format!("{} ({})", to_millis(instant), relative(instant))
}

/// An instant, to the millisecond.
pub fn to_millis(instant: Timestamp) -> String {
    Timestamp::from_millis(instant.as_millis()).to_string()
}

/// A number with its thousands apart: `1,204`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 job`, `2 jobs`.
pub fn counted(number: u64, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {word}{ending}", count(number))
}

/// What a worker has: `gpu=24 spot, 24 of 64 memory taken`.
pub fn has(labels: &Labels, taken: &Resources) -> String {
    let texts = labels.without_resources().texts().join(" ");
    let resources = labels.capacities();
    let amount = |(name, all)| format!("{} of {all} {name} taken", taken.get(name));
    let amounts = resources.iter().map(amount);
    let parts = Some(texts).filter(|texts| !texts.is_empty()).into_iter().chain(amounts);
    parts.collect::<Vec<_>>().join(", ")
}

/// A text in one line of at most `max` characters, without anything that a terminal would obey.
pub fn short(text: &str, max: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() > max {
        line = line.chars().take(max.saturating_sub(1)).chain(['…']).collect();
    }
    line
}

/// A text of several lines without anything that a terminal would obey.
pub fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// The states by their words, for the command line.
pub fn parse_state(text: &str) -> Result<StateName, String> {
    StateName::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
        let words: Vec<&str> = StateName::ALL.into_iter().map(StateName::as_str).collect();
        format!("it is none of {}", words.join(", "))
    })
}

#[cfg(test)]
#[path = "tests/show.rs"]
mod tests;
