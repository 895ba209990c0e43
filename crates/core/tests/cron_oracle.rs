//! Cron against oracles: brute force over each minute of UTC in Python, and the crates and packages
//! of others, away from changes of the clocks.
//!
//! Environment: `TASKWRIGHT_CASES` (how many expressions; 100; from 2,000 on, 30 zones over ten years
//! instead of two over one year, which takes a while) and `TASKWRIGHT_SEED`.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

#[path = "oracle/expressions.rs"]
mod expressions;
#[path = "oracle/python.rs"]
mod python;

use std::fmt::Write;
use std::str::FromStr;
use std::time::Instant;

use expressions::{Random, expression};
use python::Oracle;
use taskwright_core::Timestamp;
use taskwright_core::schedule::{Cron, Rule, RuleSpec, When};

const MINUTE_MICROS: i64 = 60_000_000;
/// From so many expressions on, the comparison has its full size.
const CASES_FULL: usize = 2_000;

/// Zones with changes of all kinds: a day left out, half an hour, two hours, twice a year and for a
/// month, new offsets, southern summers, and none at all.
const ZONES: [&str; 30] = [
    "Pacific/Apia",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/New_York",
    "Africa/Casablanca",
    "Asia/Tehran",
    "America/Caracas",
    "Asia/Pyongyang",
    "Europe/Moscow",
    "Europe/Istanbul",
    "Antarctica/Troll",
    "Asia/Gaza",
    "Africa/Cairo",
    "America/St_Johns",
    "Pacific/Chatham",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "America/Santiago",
    "Europe/London",
    "Europe/Dublin",
    "Asia/Kolkata",
    "Pacific/Tongatapu",
    "Pacific/Fiji",
    "Asia/Amman",
    "America/Havana",
    "America/Los_Angeles",
    "Africa/Juba",
    "Antarctica/Casey",
    "America/Scoresbysund",
    "UTC",
];

/// A zone and the minutes of UTC in which to compare.
struct Stretch {
    zone: &'static str,
    from: i64,
    to: i64,
}

fn cases() -> usize {
    setting("TASKWRIGHT_CASES").unwrap_or(100)
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// The seed; text that is no number counts by its checksum.
fn seed() -> u64 {
    let text = std::env::var("TASKWRIGHT_SEED").unwrap_or_else(|_| "1".to_owned());
    let seed = text.parse().unwrap_or_else(|_| u64::from(crc32fast::hash(text.as_bytes())));
    println!("TASKWRIGHT_SEED={seed}");
    seed
}

fn has_zones(test: &str) -> bool {
    let program = "import zoneinfo; zoneinfo.ZoneInfo('Pacific/Apia')";
    python::can(test, program, "there is no python3 with time zones; install python3 and tzdata")
}

fn year_begin(year: i64) -> i64 {
    let text = format!("{year}-01-01T00:00:00Z");
    text.parse::<Timestamp>().unwrap().as_micros() / MINUTE_MICROS
}

fn stretches(random: &mut Random, is_full: bool) -> Vec<Stretch> {
    let over = |zone, from: i64, years: i64| Stretch {
        zone,
        from: year_begin(from),
        to: year_begin(from + years),
    };
    if is_full {
        let first: i64 = setting("TASKWRIGHT_YEAR").unwrap_or(2009);
        return ZONES.iter().map(|zone| over(*zone, first, 10)).collect();
    }
    let zone = ZONES[usize::try_from(random.below(ZONES.len() as u64)).unwrap()];
    let year = 2009 + i64::try_from(random.below(30)).unwrap();
    vec![over("Pacific/Apia", 2011, 1), over(zone, year, 1)]
}

/// Where the offset of a zone changes, in minutes, as the bundled database says.
fn changes(stretch: &Stretch) -> Vec<String> {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(stretch.zone).unwrap();
    let instant = |minute: i64| jiff::Timestamp::from_second(minute * 60).unwrap();
    let offset = |minute: i64| zone.to_offset(instant(minute)).seconds() / 60;
    let later = zone.following(instant(stretch.from)).map(|change| change.timestamp().as_second());
    let later = later.map(|second| second / 60).take_while(|&minute| minute < stretch.to);
    let mut last = None;
    let mut changes = Vec::new();
    for minute in std::iter::once(stretch.from).chain(later) {
        if last.replace(offset(minute)) != Some(offset(minute)) {
            changes.push(format!("{minute}:{}", offset(minute)));
        }
    }
    changes
}

fn rule(cron: &Cron, zone: &str) -> Rule {
    let spec = RuleSpec { zone: zone.to_owned(), ..RuleSpec::new(When::Cron(cron.clone())) };
    Rule::new(spec, &[]).unwrap()
}

/// The minutes of ticks from `from` on; all of them are on full minutes.
fn ticks(rule: &Rule, from: i64) -> impl Iterator<Item = i64> {
    let next = |&after: &Timestamp| rule.next_after(after);
    let before = Timestamp::from_micros(from * MINUTE_MICROS - 1);
    std::iter::successors(rule.next_after(before), next).map(|tick| {
        assert_eq!(tick.as_micros() % MINUTE_MICROS, 0, "{tick} is not on a minute");
        tick.as_micros() / MINUTE_MICROS
    })
}

/// How many ticks there are, and the checksum of one byte for each minute.
fn digest(rule: &Rule, stretch: &Stretch) -> (usize, u32) {
    let mut minutes = vec![0_u8; usize::try_from(stretch.to - stretch.from).unwrap()];
    let mut count = 0;
    for tick in ticks(rule, stretch.from).take_while(|&tick| tick < stretch.to) {
        minutes[usize::try_from(tick - stretch.from).unwrap()] = 1;
        count += 1;
    }
    (count, crc32fast::hash(&minutes))
}

fn input(stretches: &[Stretch], texts: &[&str]) -> String {
    let mut input = String::new();
    for Stretch { zone, from, to } in stretches {
        writeln!(input, "zone\t{zone}\t{from}\t{to}").unwrap();
    }
    texts.iter().for_each(|text| writeln!(input, "cron\t{text}").unwrap());
    input
}

/// The first difference, for people.
fn difference(rule: &Rule, text: &str, stretch: Stretch) -> String {
    let (from, to) = (stretch.from, stretch.to);
    let zone = stretch.zone;
    let mut oracle = Oracle::start("list", &input(&[stretch], &[text]));
    let _zone = oracle.words();
    let theirs: Vec<i64> = oracle.words()[2..].iter().map(|word| word.parse().unwrap()).collect();
    let ours: Vec<i64> = ticks(rule, from).take_while(|&tick| tick < to).collect();
    let at = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
    let show = |tick: Option<&i64>| {
        tick.map(|minute| rule.zone().show(Timestamp::from_micros(minute * MINUTE_MICROS)))
    };
    format!("{text} in {zone}: ours {:?}, oracle {:?}", show(ours.get(at)), show(theirs.get(at)))
}

#[test]
fn cron_ticks_when_brute_force_over_each_minute_says() {
    let test = "cron_ticks_when_brute_force_over_each_minute_says";
    if !has_zones(test) {
        return;
    }
    let begun = Instant::now();
    let mut random = Random::new(seed());
    let is_full = cases() >= CASES_FULL;
    let stretches = stretches(&mut random, is_full);
    let texts: Vec<String> = (0..cases()).map(|_| expression(&mut random)).collect();
    let crons: Vec<_> = texts.iter().map(|text| Cron::parse(text).ok()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut oracle = Oracle::start("digest", &input(&stretches, &texts));
    let (mut compared, mut left_out, mut total) = (0, Vec::new(), 0);
    let mut differences = Vec::new();
    for stretch in stretches {
        let zone = oracle.words();
        let agrees = zone[2..] == changes(&stretch);
        if !agrees {
            left_out.push(stretch.zone);
        }
        for (text, cron) in texts.iter().zip(&crons) {
            let words = oracle.words();
            let theirs = (words[2].parse().unwrap(), words[3].parse().unwrap());
            // What is refused is never due.
            let Some(cron) = cron else {
                assert_eq!(theirs.0, 0, "{text} is refused, and is due");
                continue;
            };
            if !agrees {
                continue;
            }
            let rule = rule(cron, stretch.zone);
            let ours = digest(&rule, &stretch);
            compared += 1;
            total += ours.0;
            if ours != theirs && differences.len() < 20 {
                differences.push(difference(&rule, text, Stretch { ..stretch }));
            }
        }
        if is_full {
            println!("{} after {:.0?}", stretch.zone, begun.elapsed());
        }
    }
    println!(
        "{compared} times expression and zone, {total} ticks; {} expressions never due; zones left \
         out because the databases differ: {left_out:?}; {:.1?}",
        crons.iter().filter(|cron| cron.is_none()).count(),
        begun.elapsed(),
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(left_out.len() < 10, "too many zones were left out");
}

/// The two classes of hours differ at changes of clocks only, by two ticks a year: that much is seen.
#[test]
fn the_comparison_would_find_a_mistake_at_a_change_of_clocks() {
    let test = "the_comparison_would_find_a_mistake_at_a_change_of_clocks";
    if !has_zones(test) {
        return;
    }
    for (zone, are_alike) in [("UTC", true), ("Europe/Berlin", false)] {
        let stretch = Stretch { zone, from: year_begin(2026), to: year_begin(2027) };
        let texts = ["30 */1 * * *", "30 0-23 * * *"];
        let mut oracle = Oracle::start("digest", &input(&[Stretch { ..stretch }], &texts));
        let _zone = oracle.words();
        let theirs = texts.map(|_| oracle.words()[2..].join(" "));
        let ours = texts.map(|text| {
            let (count, digest) = digest(&rule(&Cron::parse(text).unwrap(), zone), &stretch);
            format!("{count} {digest}")
        });
        assert_eq!(ours, theirs);
        assert_eq!(ours[0] == theirs[1], are_alike, "{zone}");
    }
}

/// The two day fields, where both say something.
fn both_days(text: &str) -> Option<(&str, &str)> {
    let fields: Vec<_> = text.split(' ').collect();
    let says = |field: &str| field != "*" && field != "?";
    (says(fields[2]) && says(fields[4])).then_some((fields[2], fields[4]))
}

/// Whether both others read an expression otherwise: for them `*/2` in a day field restricts it, so
/// that either day field is enough (docs/schedules.md, "Where others differ").
fn differs_by_star(text: &str) -> bool {
    both_days(text)
        .is_some_and(|(of_month, of_week)| of_month.starts_with("*/") || of_week.starts_with("*/"))
}

/// croner forgets L beside LW.
fn differs_in_croner(text: &str) -> bool {
    let of_month = text.split(' ').nth(2).unwrap_or_default();
    let has = |wanted| of_month.split(',').any(|item| item == wanted);
    differs_by_star(text) || has("L") && has("LW")
}

/// croniter takes 5-5 for the whole circle, lets `5#1` limit every 5 of its list, does not join W and
/// `#` with the other day field by "or", and has no 7 at the end of 2/5.
fn differs_in_croniter(text: &str) -> bool {
    let mut items = text.split([' ', ',']);
    let is_circle = |item: &str| {
        let range = item.split('/').next().unwrap_or_default().split_once('-');
        range.is_some_and(|(first, last)| first == last)
    };
    let of_week = text.split(' ').nth(4).unwrap_or_default();
    let mixes = of_week.contains('#') && !of_week.split(',').all(|item| item.contains('#'));
    let joins = both_days(text)
        .is_some_and(|(of_month, of_week)| of_month.contains('W') || of_week.contains('#'));
    let steps = of_week.contains('/') && !of_week.starts_with("*/");
    differs_by_star(text) || items.any(is_circle) || mixes || joins || steps
}

#[test]
fn cron_ticks_when_croner_says_in_utc() {
    let mut random = Random::new(seed());
    let first = year_begin(2026);
    let (mut compared, mut refused, mut otherwise) = (0, Vec::new(), 0);
    let mut differences = Vec::new();
    for _ in 0..cases().min(CASES_FULL) {
        let text = expression(&mut random);
        let Ok(cron) = Cron::parse(&text) else { continue };
        let Ok(theirs) = croner::Cron::from_str(&text) else {
            refused.push(text);
            continue;
        };
        if differs_in_croner(&text) {
            otherwise += 1;
            continue;
        }
        let start = jiff::Timestamp::from_second(first * 60).unwrap();
        let theirs =
            theirs.iter_from(start.to_zoned(jiff::tz::TimeZone::UTC), croner::Direction::Forward);
        let theirs = theirs.map(|tick| tick.timestamp().as_second() / 60);
        let rule = rule(&cron, "UTC");
        let pairs = ticks(&rule, first).zip(theirs).take(100);
        compared += 1;
        if let Some((ours, theirs)) = pairs.into_iter().find(|(ours, theirs)| ours != theirs) {
            let show = |minute| Timestamp::from_micros(minute * MINUTE_MICROS);
            differences.push(format!("{text}: ours {}, croner {}", show(ours), show(theirs)));
        }
    }
    println!(
        "{compared} compared, {otherwise} read otherwise, {} refused by croner, such as {:?}",
        refused.len(),
        &refused[..refused.len().min(5)]
    );
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert!(compared > 0);
}

#[test]
fn cron_ticks_when_croniter_says_in_utc() {
    let test = "cron_ticks_when_croniter_says_in_utc";
    let is_full = cases() >= CASES_FULL;
    if !is_full {
        println!("not compared with croniter: that belongs to the full size");
        return;
    }
    if !python::can(test, "import croniter", "there is no package croniter in Python") {
        return;
    }
    let mut random = Random::new(seed());
    let texts: Vec<String> = (0..cases()).map(|_| expression(&mut random)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let first = year_begin(2026);
    let input = format!("from\t{}\t100\n{}", first - 1, input(&[], &texts));
    let mut oracle = Oracle::start("croniter", &input);
    let (mut compared, mut otherwise) = (0, 0);
    let mut refused = Vec::new();
    let mut differences = Vec::new();
    for text in texts {
        let words = oracle.words();
        let Ok(cron) = Cron::parse(text) else { continue };
        if words[0] == "refused" {
            refused.push(text);
            continue;
        }
        if differs_in_croniter(text) {
            otherwise += 1;
            continue;
        }
        let theirs = words[2..].iter().map(|word| word.parse::<i64>().unwrap());
        let rule = rule(&cron, "UTC");
        compared += 1;
        let mut pairs = ticks(&rule, first).zip(theirs);
        if let Some((ours, theirs)) = pairs.find(|(ours, theirs)| ours != theirs) {
            let show = |minute| Timestamp::from_micros(minute * MINUTE_MICROS);
            differences.push(format!("{text}: ours {}, croniter {}", show(ours), show(theirs)));
        }
    }
    println!(
        "{compared} compared, {otherwise} read otherwise, {} refused by croniter, such as {:?}",
        refused.len(),
        &refused[..refused.len().min(5)]
    );
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
