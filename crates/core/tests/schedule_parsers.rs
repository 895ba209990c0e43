//! Whatever stands in a text, the parsers of schedules answer: with a value that can be used, or with
//! an error. Valid texts are damaged at random, from seeds.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

#[path = "oracle/expressions.rs"]
mod expressions;

use expressions::{Random, expression};
use taskwright_core::schedule::{Calendar, Cron, Date, Rule, RuleSpec, When, Window, Zone};
use taskwright_core::{Name, Timestamp};

const ROUNDS: u64 = 3_000;

const PIECES: [&str; 26] = [
    "*",
    "/",
    "-",
    ",",
    "#",
    "L",
    "W",
    "?",
    "@",
    "7",
    "0",
    "99999999999999999999",
    " ",
    "\n",
    "\r\n ",
    ":",
    ";",
    "=",
    "é",
    "\u{0}",
    "24:00",
    "RRULE:FREQ=YEARLY",
    "COUNT=",
    "END:VEVENT\n",
    "MON",
    "T",
];

const CALENDAR: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20241128\r\n\
    DTEND;VALUE=DATE:20241130\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH,-1FR;COUNT=9;INTERVAL=2\r\n\
    EXDATE:20261126\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART:20261225T220000Z\r\nDURATION:P1DT2H\r\n\
    RRULE:FREQ=MONTHLY;BYMONTHDAY=1,-1;UNTIL=20300101\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

/// A text with some of its characters left out, and some pieces put in.
fn damaged(text: &str, random: &mut Random) -> String {
    let mut characters: Vec<String> = text.chars().map(String::from).collect();
    for _ in 0..=random.below(4) {
        let at = usize::try_from(random.below(characters.len() as u64 + 1)).unwrap();
        let piece = PIECES[usize::try_from(random.below(PIECES.len() as u64)).unwrap()];
        if random.below(3) == 0 && at < characters.len() {
            characters.remove(at);
        } else {
            characters.insert(at, piece.to_owned());
        }
    }
    characters.concat()
}

fn is_usable(spec: RuleSpec, calendars: &[Calendar]) {
    let Ok(rule) = Rule::new(spec, calendars) else { return };
    let from = "2026-11-21T12:34:56Z".parse::<Timestamp>().unwrap();
    let next = rule.next_after(from);
    assert!(next.is_none_or(|next| next > from), "{:?}", rule.spec());
}

#[test]
fn damaged_expressions_are_read_or_refused() {
    let mut random = Random::new(1);
    let mut read = 0;
    for _ in 0..ROUNDS {
        let text = damaged(&expression(&mut random), &mut random);
        match Cron::parse(&text) {
            Ok(cron) => {
                read += 1;
                assert_eq!(cron.as_str(), text.trim());
                is_usable(RuleSpec::new(When::Cron(cron)), &[]);
            }
            Err(error) => assert!(error.to_string().contains("is not a usable cron expression")),
        }
    }
    assert!(read > 0, "some damage does not matter");
}

#[test]
fn damaged_windows_dates_and_zones_are_read_or_refused() {
    let mut random = Random::new(2);
    for _ in 0..ROUNDS {
        if let Ok(window) = damaged("mon-fri 22:00-06:00", &mut random).parse::<Window>() {
            let spec = RuleSpec::new(When::Cron("*/10 * * * *".parse().unwrap()));
            is_usable(RuleSpec { windows: vec![window], ..spec }, &[]);
        }
        if let Ok(date) = damaged("2026-12-25", &mut random).parse::<Date>() {
            assert_eq!(date.to_string().parse::<Date>(), Ok(date));
        }
        if let Ok(zone) = Zone::named(&damaged("Europe/Berlin", &mut random)) {
            assert_eq!(Zone::named(zone.name()), Ok(zone));
        }
    }
}

#[test]
fn damaged_calendars_are_read_or_refused() {
    let mut random = Random::new(3);
    let name = Name::new("holidays").unwrap();
    assert!(Calendar::parse(name.clone(), CALENDAR).is_ok());
    let mut read = 0;
    for round in 0..ROUNDS {
        let text = if round % 4 == 0 { "2026-12-25 # free\n2027-01-01" } else { CALENDAR };
        let Ok(calendar) = Calendar::parse(name.clone(), &damaged(text, &mut random)) else {
            continue;
        };
        read += 1;
        let spec = RuleSpec::new(When::Cron("0 12 * * *".parse().unwrap()));
        is_usable(RuleSpec { excluded: vec![name.clone()], ..spec }, &[calendar]);
    }
    assert!(read > 0, "some damage does not matter");
}
