use super::*;
use crate::schedule::{PausedBy, RuleSpec, When};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A schedule and where it stands.
struct Scene {
    names: [Name; 2],
    rule: Rule,
    policy: Policy,
    state: State,
}

impl Scene {
    fn new(cron: &str, policy: Policy, last: Timestamp) -> Self {
        let names = ["default", "report"].map(|name| Name::new(name).unwrap());
        let rule = Rule::new(RuleSpec::new(When::Cron(cron.parse().unwrap())), &[]).unwrap();
        Scene { names, rule, policy, state: State::new(last) }
    }

    fn hourly(overlap: Overlap, catch_up: CatchUp) -> Self {
        Scene::new("@hourly", Policy { overlap, catch_up, ..Policy::default() }, hour(0))
    }

    fn schedule(&self) -> Schedule<'_> {
        let [namespace, name] = &self.names;
        Schedule { namespace, name, rule: &self.rule, policy: &self.policy }
    }

    fn decide(&mut self, now: Timestamp) -> Decision {
        let decision = decide(&self.schedule(), &self.state, now);
        self.state = decision.state;
        decision
    }

    fn resume(&mut self, now: Timestamp) -> Decision {
        let decision = resume(&self.schedule(), &self.state, now);
        self.state = decision.state;
        decision
    }

    fn end_job(&mut self, failed: bool) {
        self.state = self.state.ended(&self.policy, failed);
    }
}

/// An hour of the day that the tests are about.
fn hour(hour: u32) -> Timestamp {
    at("2026-11-21T00:00:00Z").plus(HOUR * hour)
}

fn instants(decision: &Decision) -> Vec<Timestamp> {
    decision.ticks.iter().map(|tick| tick.instant).collect()
}

/// First instant, number and reason of what is skipped.
fn skips(decision: &Decision) -> Vec<(Timestamp, usize, SkipReason)> {
    decision
        .skipped
        .iter()
        .map(|skipped| (skipped.first, skipped.instants, skipped.reason))
        .collect()
}

#[test]
fn an_instant_that_is_due_makes_a_job_once() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::Once);
    let early = scene.decide(hour(1).minus(MINUTE));
    assert_eq!((instants(&early), early.wake), (vec![], Some(hour(1))));
    let due = scene.decide(hour(1));
    assert_eq!((instants(&due), due.wake), (vec![hour(1)], Some(hour(2))));
    let [namespace, name] = &scene.names;
    let job = job_id(namespace, name, hour(1));
    let tick = Tick { instant: hour(1), job, run_at: hour(1), is_late: false, cancels_last: false };
    assert_eq!(due.ticks, [tick]);
    let again = scene.decide(hour(1).plus(MINUTE));
    assert_eq!((again.ticks, again.skipped), (vec![], vec![]));
}

#[test]
fn the_same_state_gives_the_same_decision_on_every_node() {
    let scene = Scene::hourly(Overlap::Allow, CatchUp::All { max: 5 });
    let decisions = [0, 10, 20].map(|seconds| {
        let now = hour(3).plus(Duration::from_secs(seconds));
        decide(&scene.schedule(), &scene.state, now)
    });
    assert_eq!(decisions[0], decisions[1]);
    assert_eq!(decisions[0], decisions[2]);
}

#[test]
fn a_clock_that_goes_back_makes_nothing_again() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::All { max: 5 });
    scene.decide(hour(2));
    let back = scene.decide(hour(1));
    assert_eq!((back.ticks, back.skipped, back.wake), (vec![], vec![], Some(hour(3))));
}

#[test]
fn up_to_a_minute_is_in_time() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::Skip);
    assert_eq!(instants(&scene.decide(hour(1).plus(MINUTE))), [hour(1)]);
    let late = scene.decide(hour(2).plus(MINUTE + Duration::from_micros(1)));
    assert_eq!(skips(&late), [(hour(2), 1, SkipReason::Missed)]);
    assert_eq!((late.ticks, late.wake), (vec![], Some(hour(3))));
}

#[test]
fn missed_instants_are_skipped_where_nothing_is_caught_up() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::Skip);
    let decision = scene.decide(hour(5));
    assert_eq!(instants(&decision), [hour(5)]);
    assert_eq!(skips(&decision), [(hour(1), 4, SkipReason::Missed)]);
    assert_eq!(decision.skipped[0].until, hour(4));
}

#[test]
fn one_job_makes_up_for_all_that_was_missed() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::Once);
    let decision = scene.decide(hour(4).plus(HOUR / 2));
    assert_eq!(instants(&decision), [hour(4)]);
    assert!(decision.ticks[0].is_late);
    assert_eq!(skips(&decision), [(hour(1), 3, SkipReason::MadeUpFor)]);
    // Where one is due in time, its job is that one.
    let in_time = scene.decide(hour(8));
    assert_eq!(instants(&in_time), [hour(8)]);
    assert!(!in_time.ticks[0].is_late);
    assert_eq!(skips(&in_time), [(hour(5), 3, SkipReason::MadeUpFor)]);
}

#[test]
fn the_newest_are_caught_up_where_several_are() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::All { max: 3 });
    let decision = scene.decide(hour(9));
    assert_eq!(instants(&decision), [hour(6), hour(7), hour(8), hour(9)]);
    assert_eq!(skips(&decision), [(hour(1), 5, SkipReason::Missed)]);
    assert_eq!(decision.wake, Some(hour(10)));
}

#[test]
fn what_is_too_old_is_not_caught_up() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::All { max: 100 });
    scene.policy.catch_up_window = Some(HOUR * 3);
    let decision = scene.decide(hour(9));
    assert_eq!(instants(&decision), [hour(6), hour(7), hour(8), hour(9)]);
    assert_eq!(skips(&decision), [(hour(1), 5, SkipReason::TooOld)]);
    // What is in time is never too old.
    scene.policy.catch_up_window = Some(Duration::ZERO);
    let now = hour(11).plus(MINUTE / 2);
    assert_eq!(instants(&scene.decide(now)), [hour(11)]);
}

#[test]
fn overlap_skip_waits_for_the_live_job() {
    let mut scene = Scene::hourly(Overlap::Skip, CatchUp::Once);
    assert_eq!(instants(&scene.decide(hour(1))), [hour(1)]);
    for due in 2..4 {
        let decision = scene.decide(hour(due));
        assert_eq!(skips(&decision), [(hour(due), 1, SkipReason::Overlap)]);
        assert_eq!(decision.ticks, []);
    }
    scene.end_job(false);
    assert_eq!(instants(&scene.decide(hour(4))), [hour(4)]);
}

#[test]
fn overlap_queue_keeps_one_until_the_live_job_ends() {
    let mut scene = Scene::hourly(Overlap::QueueOne, CatchUp::Once);
    scene.decide(hour(1));
    let queued = scene.decide(hour(2));
    assert_eq!((queued.ticks, queued.skipped), (vec![], vec![]));
    assert_eq!(scene.state.queued, Some(hour(2)));
    assert_eq!(skips(&scene.decide(hour(3))), [(hour(3), 1, SkipReason::Overlap)]);
    scene.end_job(false);
    let started = scene.decide(hour(3).plus(MINUTE));
    assert_eq!(instants(&started), [hour(2)]);
    assert_eq!((scene.state.queued, scene.state.live), (None, true));
    // The one that waited ended in the very moment in which another is due.
    scene.end_job(false);
    assert_eq!(instants(&scene.decide(hour(4))), [hour(4)]);
}

#[test]
fn overlap_cancel_ends_the_live_job_and_starts_the_newest() {
    let mut scene = Scene::hourly(Overlap::CancelRunning, CatchUp::All { max: 5 });
    assert!(!scene.decide(hour(1)).ticks[0].cancels_last);
    let decision = scene.decide(hour(4));
    assert_eq!(instants(&decision), [hour(4)]);
    assert!(decision.ticks[0].cancels_last);
    assert_eq!(skips(&decision), [(hour(2), 2, SkipReason::Overlap)]);
}

#[test]
fn what_is_due_in_a_pause_is_skipped() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::All { max: 5 });
    scene.state.paused = Some(PausedBy::Operator);
    let decision = scene.decide(hour(2));
    assert_eq!(skips(&decision), [(hour(1), 2, SkipReason::Paused)]);
    assert_eq!((decision.ticks, decision.wake), (vec![], None));
    let resumed = scene.resume(hour(5).plus(MINUTE));
    assert_eq!(skips(&resumed), [(hour(3), 3, SkipReason::Paused)]);
    assert_eq!((resumed.ticks, resumed.wake), (vec![], Some(hour(6))));
    assert_eq!(instants(&scene.decide(hour(6))), [hour(6)]);
}

#[test]
fn a_schedule_whose_jobs_fail_pauses_until_it_is_resumed() {
    let mut scene = Scene::hourly(Overlap::Skip, CatchUp::Once);
    scene.policy.pause_after = Some(2);
    for due in 1..=2 {
        assert_eq!(instants(&scene.decide(hour(due))), [hour(due)]);
        scene.end_job(true);
    }
    assert_eq!(scene.state.paused, Some(PausedBy::Failures));
    assert_eq!(scene.decide(hour(3)).ticks, []);
    scene.resume(hour(3));
    assert_eq!((scene.state.paused, scene.state.failures), (None, 0));
    assert_eq!(instants(&scene.decide(hour(4))), [hour(4)]);
}

#[test]
fn a_queued_instant_starts_after_the_pause() {
    let mut scene = Scene::hourly(Overlap::QueueOne, CatchUp::Once);
    scene.policy.pause_after = Some(1);
    scene.decide(hour(1));
    scene.decide(hour(2));
    scene.end_job(true);
    assert_eq!(scene.decide(hour(3)).ticks, []);
    assert_eq!(instants(&scene.resume(hour(3))), [hour(2)]);
}

#[test]
fn a_schedule_that_is_over_never_wakes() {
    let when = When::At(vec![hour(1), hour(2)]);
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::Once);
    scene.rule = Rule::new(RuleSpec::new(when), &[]).unwrap();
    assert_eq!(scene.decide(hour(1)).wake, Some(hour(2)));
    let last = scene.decide(hour(2));
    assert_eq!((instants(&last), last.wake), (vec![hour(2)], None));
}

#[test]
fn much_that_was_missed_is_accounted_for_in_one_call() {
    let policy =
        Policy { overlap: Overlap::Allow, catch_up: CatchUp::All { max: 3 }, ..Policy::default() };
    let mut scene = Scene::new("* * * * * *", policy, hour(0));
    let now = hour(24 * 300);
    let decision = scene.decide(now);
    // Three that are late, and a minute's worth in time.
    assert_eq!(decision.ticks.len(), 3 + 61);
    assert_eq!(decision.ticks.iter().filter(|tick| tick.is_late).count(), 3);
    let late_until = now.minus(Duration::from_secs(64));
    let skipped = decision.skipped[0];
    assert_eq!((skipped.instants, skipped.reason), (1_001, SkipReason::Missed));
    assert!(skipped.until >= late_until && skipped.until < decision.ticks[0].instant);
    assert_eq!(scene.state.last, now);
}

#[test]
fn more_than_fits_into_a_call_follows_in_the_next() {
    let policy = Policy {
        overlap: Overlap::Allow,
        catch_up: CatchUp::All { max: 1_000 },
        ..Policy::default()
    };
    let mut scene = Scene::new("* * * * * *", policy, hour(0));
    let now = hour(24);
    let first = scene.decide(now);
    assert_eq!((first.ticks.len(), first.wake.is_some_and(|wake| wake <= now)), (1_000, true));
    let second = scene.decide(now);
    assert_eq!((second.ticks.len(), second.skipped.len()), (61, 0));
    assert_eq!(second.wake, Some(now.plus(Duration::from_secs(1))));
}

#[test]
fn a_backfill_has_the_ids_that_the_schedule_gives() {
    let mut scene = Scene::hourly(Overlap::Allow, CatchUp::All { max: 10 });
    let made = scene.decide(hour(3));
    let again = backfill(&scene.schedule(), hour(0), hour(3), 100);
    let jobs = |ticks: &[Tick]| ticks.iter().map(|tick| tick.job).collect::<Vec<_>>();
    assert_eq!(jobs(&again), jobs(&made.ticks));
    assert_eq!(backfill(&scene.schedule(), hour(0), hour(3), 2).len(), 2);
    let days = HOUR * 24 * 365;
    assert_eq!(backfill(&scene.schedule(), hour(0).minus(days), hour(0), 9_999).len(), TICKS_MAX);
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn below(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % bound
}

fn random_policy(seed: &mut u64) -> Policy {
    let overlaps = [Overlap::Allow, Overlap::Skip, Overlap::QueueOne, Overlap::CancelRunning];
    let catch_ups = [CatchUp::Skip, CatchUp::Once, CatchUp::All { max: 4 }];
    let windows = [None, Some(Duration::from_secs(1_200))];
    Policy {
        overlap: overlaps[usize::try_from(below(seed, 4)).unwrap()],
        catch_up: catch_ups[usize::try_from(below(seed, 3)).unwrap()],
        catch_up_window: windows[usize::try_from(below(seed, 2)).unwrap()],
        pause_after: Some(3),
    }
}

/// Nodes that tick at any time, clocks that go back, jobs that end and fail, pauses: each instant is
/// accounted for exactly once.
#[test]
fn every_instant_makes_one_job_or_is_skipped_once() {
    for first_seed in 0..300 {
        let mut seed = first_seed;
        let cron = ["*/5 * * * *", "@hourly", "*/20 * * * * *"]
            [usize::try_from(below(&mut seed, 3)).unwrap()];
        let mut scene = Scene::new(cron, random_policy(&mut seed), hour(0));
        let mut now = hour(0);
        let (mut made, mut skipped) = (Vec::new(), 0);
        for _ in 0..60 {
            let step = Duration::from_secs(
                [5, 61, 400, 4_000][usize::try_from(below(&mut seed, 4)).unwrap()],
            );
            now = if below(&mut seed, 8) == 0 { now.minus(step) } else { now.plus(step) };
            match below(&mut seed, 6) {
                0 => scene.end_job(true),
                1 | 2 => scene.end_job(false),
                3 if below(&mut seed, 3) == 0 => scene.state.paused = Some(PausedBy::Operator),
                _ => {}
            }
            let resumes = scene.state.paused.is_some() && below(&mut seed, 2) == 0;
            let decision = if resumes { scene.resume(now) } else { scene.decide(now) };
            made.extend(instants(&decision));
            skipped += decision.skipped.iter().map(|skipped| skipped.instants).sum::<usize>();
            let is_cut = decision.ticks.len() >= TICKS_MAX;
            assert!(is_cut || decision.wake.is_none_or(|wake| wake > now), "seed {first_seed}");
        }
        let all = scene.rule.between(hour(0), scene.state.last, 100_000);
        let queued = usize::from(scene.state.queued.is_some());
        assert_eq!(made.len() + skipped + queued, all.len(), "seed {first_seed}");
        let mut once = made.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), made.len(), "seed {first_seed}");
        assert!(once.iter().all(|instant| all.contains(instant)), "seed {first_seed}");
    }
}
