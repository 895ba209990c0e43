use super::*;
use crate::schedule::{Date, job_id};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(text: &str) -> RuleSpec {
    RuleSpec::new(When::Cron(text.parse().unwrap()))
}

fn in_zone(zone: &str, spec: RuleSpec) -> RuleSpec {
    RuleSpec { zone: zone.to_owned(), ..spec }
}

fn with_windows(windows: &[&str], spec: RuleSpec) -> RuleSpec {
    RuleSpec { windows: windows.iter().map(|text| text.parse().unwrap()).collect(), ..spec }
}

fn rule(spec: RuleSpec) -> Rule {
    Rule::new(spec, &[]).unwrap()
}

/// The next ticks, as the rule's clocks show them.
fn ticks(rule: &Rule, after: &str, count: usize) -> Vec<String> {
    let ticks = rule.between(at(after), at("9999-01-01T00:00:00Z"), count);
    ticks.into_iter().map(|tick| rule.zone().show(tick)).collect()
}

fn hourly(from: &str, count: i64) -> Vec<Timestamp> {
    (0..count)
        .map(|hour| Timestamp::from_micros(at(from).as_micros() + hour * 3_600_000_000))
        .collect()
}

#[test]
fn intervals_are_whole_multiples_from_their_anchor() {
    let every = |anchor: Option<&str>| When::Every {
        every: Duration::from_secs(90 * 60),
        anchor: anchor.map(at),
    };
    let anchored = rule(RuleSpec::new(every(Some("2026-11-21T00:10:00Z"))));
    let next = |rule: &Rule, after: &str| rule.next_after(at(after)).unwrap();
    assert_eq!(next(&anchored, "2026-11-21T00:10:00Z"), at("2026-11-21T01:40:00Z"));
    assert_eq!(next(&anchored, "2026-11-21T00:09:59.999999Z"), at("2026-11-21T00:10:00Z"));
    assert_eq!(next(&anchored, "2026-11-20T22:00:00Z"), at("2026-11-20T22:40:00Z"));
    let started =
        RuleSpec { start: Some(at("2026-11-21T09:00:00Z")), ..RuleSpec::new(every(None)) };
    assert_eq!(next(&rule(started), "2026-01-01T00:00:00Z"), at("2026-11-21T09:00:00Z"));
    // An interval does not care for clocks.
    let berlin = rule(in_zone("Europe/Berlin", cron("@every 12h")));
    assert_eq!(
        ticks(&berlin, "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00+01:00", "2026-03-29T14:00:00+02:00"]
    );
}

#[test]
fn lists_are_put_in_order() {
    let instants = hourly("2026-11-21T09:00:00Z", 3);
    let mixed = vec![instants[2], instants[0], instants[1], instants[0]];
    let rule = rule(RuleSpec::new(When::At(mixed)));
    assert_eq!(rule.between(Timestamp::ZERO, at("2030-01-01T00:00:00Z"), 9), instants);
    assert_eq!(rule.spec().when, When::At(instants.clone()));
    assert_eq!(rule.next_after(instants[2]), None);
}

#[test]
fn ticks_are_from_start_on_and_before_end() {
    let spec = RuleSpec {
        start: Some(at("2026-11-21T09:00:00Z")),
        end: Some(at("2026-11-21T12:00:00Z")),
        ..cron("@hourly")
    };
    let all = rule(spec).between(Timestamp::ZERO, at("2030-01-01T00:00:00Z"), 9);
    assert_eq!(all, hourly("2026-11-21T09:00:00Z", 3));
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let [first, last] = [i64::MIN, i64::MAX].map(Timestamp::from_micros);
    let specs = [cron("@daily"), cron("@every 1h"), cron("0 */2 29 2 *")];
    for spec in specs {
        let spec = in_zone("Europe/Berlin", RuleSpec { start: Some(first), ..spec });
        let rule = rule(spec);
        assert!(rule.next_after(first).is_some_and(|tick| tick > first));
        assert_eq!(rule.next_after(last), None);
        assert_eq!(rule.between(first, last, 3).len(), 3);
    }
    let never = RuleSpec { start: Some(last), ..cron("@daily") };
    assert!(matches!(Rule::new(never, &[]), Err(InvalidRule::NeverDue(_))));
}

#[test]
fn between_begins_after_from_and_includes_to() {
    let hours = hourly("2026-11-21T09:00:00Z", 4);
    let rule = rule(cron("@hourly"));
    assert_eq!(rule.between(hours[0], hours[3], 9), hours[1..]);
    assert_eq!(rule.between(hours[0], hours[3], 2), hours[1..3]);
    assert_eq!(rule.between(hours[3], hours[0], 9), []);
}

#[test]
fn the_newest_are_the_last_of_all() {
    let random_list = [3, 5, 6, 7, 1_000, 1_001, 500_000_000_000, 500_000_000_001];
    let list = rule(RuleSpec::new(When::At(random_list.map(Timestamp::from_micros).to_vec())));
    let (from, to) = (Timestamp::from_micros(3), Timestamp::from_micros(900_000_000_000));
    let all = list.between(from, to, 100);
    for max in 1..10 {
        assert_eq!(list.newest(from, to, max), all[all.len().saturating_sub(max)..], "{max}");
    }
    let seconds = rule(cron("* * * * * *"));
    let to = at("2026-11-21T00:00:00Z");
    let newest = seconds.newest(Timestamp::ZERO, to, 1_000);
    assert_eq!((newest.len(), newest[0]), (1_000, to.minus(Duration::from_secs(999))));
}

#[test]
fn only_ticks_in_a_window_count() {
    let office = with_windows(&["mon-fri 09:00-17:00"], cron("0 */4 * * *"));
    assert_eq!(
        ticks(&rule(in_zone("Europe/Berlin", office)), "2026-11-20T11:30:00Z", 3),
        ["2026-11-20T16:00:00+01:00", "2026-11-23T12:00:00+01:00", "2026-11-23T16:00:00+01:00"]
    );
    // Far windows are found at once, though each second is a tick.
    let rare = with_windows(&["sun 03:00-03:01"], cron("* * * * * *"));
    assert_eq!(ticks(&rule(rare), "2026-11-16T00:00:00Z", 1), ["2026-11-22T03:00:00+00:00"]);
}

#[test]
fn a_window_is_open_while_clocks_show_it() {
    // The hour from 02:00 is left out, and shown twice.
    let night = with_windows(&["02:00-03:00"], cron("*/30 * * * *"));
    let berlin = rule(in_zone("Europe/Berlin", night));
    assert_eq!(
        ticks(&berlin, "2026-03-28T12:00:00Z", 2),
        ["2026-03-30T02:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(
        ticks(&berlin, "2026-10-24T12:00:00Z", 5),
        [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-26T02:00:00+01:00"
        ]
    );
}

#[test]
fn ticks_on_days_of_a_calendar_do_not_count() {
    let name = Name::new("holidays").unwrap();
    let dates =
        ["2026-12-24", "2026-12-25", "2026-12-26"].map(|date| date.parse::<Date>().unwrap());
    let calendar = Calendar::of_dates(name.clone(), dates);
    let spec = RuleSpec { excluded: vec![name.clone()], ..cron("0 0,12 * * *") };
    let rule = Rule::new(in_zone("Asia/Tokyo", spec.clone()), &[calendar]).unwrap();
    assert_eq!(
        ticks(&rule, "2026-12-23T00:00:00Z", 3),
        ["2026-12-23T12:00:00+09:00", "2026-12-27T00:00:00+09:00", "2026-12-27T12:00:00+09:00"]
    );
    let error = Rule::new(spec, &[]).unwrap_err();
    assert_eq!(error, InvalidRule::Calendar(name));
}

#[test]
fn a_rule_that_is_never_due_is_refused() {
    let start = Some(at("2026-11-21T00:00:00Z"));
    let never = [
        with_windows(&["09:00-17:00"], cron("0 3 * * *")),
        with_windows(&["sat 09:00-17:00"], cron("0 10 * * MON-FRI")),
        RuleSpec { start, end: start, ..cron("@hourly") },
        RuleSpec { start, end: Some(at("2026-11-21T12:00:00Z")), ..cron("0 13 * * *") },
        RuleSpec { start, ..RuleSpec::new(When::At(vec![at("2026-01-01T00:00:00Z")])) },
        RuleSpec::new(When::At(vec![])),
    ];
    for spec in never {
        let error = Rule::new(spec.clone(), &[]).unwrap_err();
        assert!(matches!(error, InvalidRule::NeverDue(_)), "{spec:?}: {error}");
        assert!(error.to_string().contains("widen its start, end, windows or calendars"));
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let second = Duration::from_secs(1);
    let every = |every| RuleSpec::new(When::Every { every, anchor: None });
    let name = Name::new("c").unwrap();
    let refused = [
        (every(second / 2), "cannot be the interval of a schedule: intervals are 1s to 3653d"),
        (every(INTERVAL_TOO_LONG), "intervals are 1s to 3653d"),
        (RuleSpec { jitter: JITTER_MAX + second / 1_000, ..cron("@daily") }, "jitter is 86401"),
        (RuleSpec { excluded: vec![name; 9], ..cron("@daily") }, "excluded is 9 calendars"),
        (with_windows(&["09:00-17:00"; 33], cron("@daily")), "windows is 33 windows"),
        (RuleSpec::new(When::At(hourly("2026-11-21T09:00:00Z", 1_001))), "at is 1001 instants"),
        (in_zone("Mars/Base", cron("@daily")), "\"Mars/Base\" is not a time zone"),
    ];
    for (spec, reason) in refused {
        let error = Rule::new(spec, &[]).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

const INTERVAL_TOO_LONG: Duration = Duration::from_secs(3_654 * 24 * 3_600);

/// The jittered start of the job of an instant.
fn run_at(rule: &Rule, instant: Timestamp) -> Timestamp {
    let name = |text| Name::new(text).unwrap();
    rule.run_at(job_id(&name("default"), &name("report"), instant), instant)
}

#[test]
fn jitter_spreads_evenly_and_stays_before_the_next_tick() {
    let jitter = Duration::from_secs(7_200);
    let rule = rule(RuleSpec { jitter, ..cron("@hourly") });
    let hours = hourly("2026-01-01T00:00:00Z", 2_000);
    let waits: Vec<_> = hours.iter().map(|&hour| run_at(&rule, hour).since(hour)).collect();
    assert!(waits.iter().all(|wait| *wait < Duration::from_secs(3_600)));
    for tenth in 0..10 {
        let range = Duration::from_secs(tenth * 360)..Duration::from_secs((tenth + 1) * 360);
        let count = waits.iter().filter(|wait| range.contains(wait)).count();
        assert!((140..260).contains(&count), "{count} in tenth {tenth}");
    }
    assert_eq!(run_at(&rule, hours[0]), run_at(&rule, hours[0]));
}

#[test]
fn jitter_stays_in_the_window_before_the_end_and_off_excluded_days() {
    let jitter = Duration::from_secs(20 * 3_600);
    let windowed = with_windows(&["09:00-10:00"], RuleSpec { jitter, ..cron("30 9 * * *") });
    let windowed = rule(windowed);
    for instant in windowed.between(Timestamp::ZERO, at("1971-01-01T00:00:00Z"), 365) {
        assert!(run_at(&windowed, instant).since(instant) < Duration::from_secs(1_800));
    }
    let end = at("2026-11-21T12:00:00Z");
    let ending = rule(RuleSpec { jitter, end: Some(end), ..cron("30 9 * * *") });
    assert!(run_at(&ending, at("2026-11-21T09:30:00Z")) < end);
    let name = Name::new("c").unwrap();
    let excluded = Calendar::of_dates(name.clone(), ["2026-11-22".parse::<Date>().unwrap()]);
    let spec = RuleSpec { jitter, excluded: vec![name], ..cron("50 23 * * *") };
    let excluding = Rule::new(spec, &[excluded]).unwrap();
    let before = at("2026-11-21T23:50:00Z");
    assert!(run_at(&excluding, before).since(before) < Duration::from_secs(600));
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

fn random_rule(random: &mut Random) -> Rule {
    let crons = [
        "* * * * * *",
        "*/7 * * * *",
        "30 2 * * *",
        "0 */3 * * *",
        "0 0 29 2 */7",
        "0 0-23 * * *",
        "@every 37m",
        "15,45 1-3 * * SUN",
        "0 0 LW * ?",
        "59 59 23 L * *",
        "@hourly",
        "*/10 2 * 3,10 *",
    ];
    let zones =
        ["UTC", "Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca"];
    let windows: [&[&str]; 4] =
        [&[], &["00:00-04:30"], &["sat,sun 22:00-06:00", "01:00-03:00"], &["02:15-02:45"]];
    loop {
        let spec = in_zone(random.one_of(&zones), cron(random.one_of(&crons)));
        let spec = with_windows(random.one_of(&windows), spec);
        let jitter = Duration::from_secs(random.below(2) as u64 * 3_600);
        if let Ok(rule) = Rule::new(RuleSpec { jitter, ..spec }, &[]) {
            return rule;
        }
    }
}

/// Windows and calendars leave out exactly the ticks whose wall clocks say so, looked at one by one.
#[test]
fn what_is_left_out_is_what_each_tick_by_itself_says() {
    let name = Name::new("c").unwrap();
    let dates = ["2026-03-29", "2026-03-30", "2026-10-25", "2026-11-01", "2011-12-31"];
    let calendar = Calendar::of_dates(name.clone(), dates.map(|date| date.parse().unwrap()));
    let begins = ["2026-03-20T00:00:00Z", "2026-10-15T00:00:00Z", "2011-12-20T00:00:00Z"].map(at);
    for seed in 0..60 {
        let mut random = Random(seed);
        let spec = random_rule(&mut random).spec().clone();
        let excluded = [vec![], vec![name.clone()]][random.below(2)].clone();
        let every = rule(RuleSpec { windows: vec![], ..spec.clone() });
        let spec = RuleSpec { excluded, ..spec };
        let Ok(some) = Rule::new(spec.clone(), std::slice::from_ref(&calendar)) else { continue };
        let begin = random.one_of(&begins);
        let all = every.between(begin, begin.plus(Duration::from_secs(20 * 86_400)), 20_000);
        let Some(&end) = all.last() else { continue };
        let counts = |tick: &&Timestamp| {
            let shown = some.zone().show(**tick);
            let date: Date = shown[..10].parse().unwrap();
            let is_excluded = !spec.excluded.is_empty() && calendar.excludes(date);
            let wall = at(&format!("{}Z", &shown[..19])).as_micros() / MICROS;
            !is_excluded && (spec.windows.is_empty() || time_left(&spec.windows, wall).is_some())
        };
        let expected: Vec<_> = all.iter().filter(counts).copied().collect();
        assert_eq!(some.between(begin, end, 20_000), expected, "seed {seed}: {spec:?}");
    }
}

#[test]
fn ticks_are_strictly_later_and_monotone() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let rule = random_rule(&mut random);
        let begin = at("2011-12-01T00:00:00Z").as_micros();
        let mut asked: Vec<_> =
            (0..40).map(|_| Timestamp::from_micros(begin + random.below(1 << 49) as i64)).collect();
        // And around ticks, where mistakes are likely.
        let ticks: Vec<_> =
            asked[..10].iter().filter_map(|&after| rule.next_after(after)).collect();
        asked.extend(ticks.iter().flat_map(|&tick| {
            [
                before(tick),
                tick,
                tick.plus(Duration::from_micros(1)),
                tick.plus(Duration::from_secs(3_599)),
            ]
        }));
        asked.sort_unstable();
        let mut last = None;
        for after in asked {
            let Some(tick) = rule.next_after(after) else { continue };
            assert!(tick > after, "seed {seed}: {tick} after {after} of {:?}", rule.spec());
            assert!(last <= Some(tick), "seed {seed}: back to {tick} of {:?}", rule.spec());
            assert_eq!(rule.next_after(before(tick)), Some(tick), "seed {seed}");
            assert!(rule.closed_at(tick) == Closed::No, "seed {seed}");
            let run_at = run_at(&rule, tick);
            let next = rule.next_after(tick);
            assert!(run_at >= tick && next.is_none_or(|next| run_at < next), "seed {seed}");
            last = Some(tick);
        }
    }
}
