use std::time::Duration;

use taskwright_store::WorkerInfo;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn request(requires: &str) -> PlaceRequest {
    PlaceRequest {
        namespace: Name::default_name(),
        queue: Name::default_name(),
        task: name("train"),
        requires: requires.parse().unwrap(),
    }
}

fn worker(number: u128, queue: &str, tasks: Option<&[&str]>, labels: &str) -> WorkerView {
    let profile = Profile {
        queues: vec![name(queue)],
        tasks: tasks.map(|tasks| tasks.iter().map(|task| name(task)).collect()),
        labels: labels.parse().unwrap(),
    };
    WorkerView {
        id: WorkerId::from_u128(number),
        info: WorkerInfo {
            name: format!("host:{number}").into(),
            slots: 2,
            stopping: false,
            load: Load::default(),
        },
        profile: Some(Arc::new(profile)),
        first_seen_at: NOW,
        last_seen_at: NOW,
        running: 0,
        slots_taken: 0,
        resources_taken: Resources::NONE,
    }
}

fn serving(number: u128, labels: &str) -> WorkerView {
    worker(number, "default", Some(&["train"]), labels)
}

fn verdict_of(requires: &str, workers: &[WorkerView]) -> String {
    place(&request(requires), workers, NOW).verdict
}

#[test]
fn every_worker_is_judged_by_every_rule() {
    let late = NOW.minus(LEASE + Duration::from_secs(5));
    let silent = WorkerView { last_seen_at: late, ..serving(1, "gpu=80") };
    let mut stopping = serving(2, "gpu=80");
    stopping.info.stopping = true;
    let unheard = WorkerView { profile: None, ..serving(3, "") };
    let other = worker(4, "mail", Some(&["send"]), "gpu=16");
    let any_task = worker(5, "default", None, "gpu=24");
    let just_in_time = WorkerView { last_seen_at: NOW.minus(LEASE), ..serving(6, "gpu=24") };
    let workers = [silent, stopping, unheard, other, any_task, just_in_time];

    let placement = place(&request("gpu>=24"), &workers, NOW);

    let told: Vec<_> = placement
        .workers
        .iter()
        .map(|placed| {
            let rules = placed.excluded.iter().map(|e| (e.rule.as_str(), e.detail.as_str()));
            (placed.id.as_u128(), rules.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(
        told,
        [
            (5, vec![]),
            (6, vec![]),
            (1, vec![("lease", "was not heard of for 20.0s, a lease lasts 15.0s")]),
            (2, vec![("stopping", "stops and takes no more jobs")]),
            (3, vec![("unknown", "has not said yet what it serves")]),
            (
                4,
                vec![
                    ("queue", "does not serve queue default"),
                    ("task", "does not serve task train"),
                    ("label", "gpu is 16, asked is gpu>=24"),
                ]
            ),
        ]
    );
    assert_eq!(placement.verdict, "2 of 6 workers match, 2 of them with a free slot");
    assert_eq!(placement.workers[0].labels.to_string(), "gpu=24");
}

#[test]
fn the_verdict_names_what_nobody_has() {
    assert_eq!(
        verdict_of("gpu", &[]),
        "no worker is known; start one that serves queue default and task train"
    );
    let unheard = WorkerView { profile: None, ..serving(1, "") };
    assert_eq!(verdict_of("gpu", std::slice::from_ref(&unheard)), "no live worker takes jobs");
    let elsewhere = worker(2, "mail", None, "gpu=80");
    let both = [unheard, elsewhere.clone()];
    assert_eq!(verdict_of("gpu", &both), "no live worker serves queue default");
    let other_task = worker(3, "default", Some(&["send"]), "gpu=80");
    assert_eq!(
        verdict_of("gpu", &[elsewhere.clone(), other_task]),
        "no live worker of queue default serves task train"
    );
    let small = [elsewhere, serving(4, "gpu=16,spot"), serving(5, "gpu=8,region=eu,spot")];
    assert_eq!(verdict_of("gpu>=24", &small), "no live worker has gpu>=24");
    assert_eq!(
        verdict_of("gpu>=24,disk,!spot", &small),
        "no live worker has disk, and none has gpu>=24, and none is without spot"
    );
    assert_eq!(
        verdict_of("gpu>=16,region=eu", &small),
        "no live worker has all of gpu>=16,region=eu at once"
    );
    let mut full = serving(6, "gpu=24");
    (full.running, full.slots_taken) = (2, 2);
    assert_eq!(verdict_of("gpu>=24", &[full]), "1 of 1 worker matches, 0 of them with a free slot");
}

#[test]
fn a_worker_over_its_load_has_no_slot_free_beyond_what_it_takes() {
    let mut idle = serving(1, "gpu=24");
    idle.info.load.takes = Some(1);
    let mut busy = idle.clone();
    (busy.id, busy.running, busy.slots_taken) = (WorkerId::from_u128(2), 1, 1);
    assert_eq!(
        verdict_of("gpu", &[idle, busy, serving(3, "gpu=24")]),
        "3 of 3 workers match, 2 of them with a free slot, 2 over their load"
    );
}

#[test]
fn resources_are_judged_by_what_there_is_in_all_and_shown_by_what_is_free() {
    let mut busy = serving(1, "64 of memory");
    busy.resources_taken = "memory=60".parse().unwrap();
    let idle = serving(2, "8 of memory,2 of gpu");
    let both = [busy, idle];
    let free = |requires, free| {
        let told = format!("2 of 2 workers match, {free}");
        assert_eq!(verdict_of(requires, &both), told);
    };
    free("8 of memory", "1 of them with a free slot and 8 of memory free");
    free("4 of memory", "2 of them with a free slot and 4 of memory free");
    let told = "1 of 2 workers match, 1 of them with a free slot and 2 of gpu and 8 of memory free";
    assert_eq!(verdict_of("8 of memory,2 of gpu", &both), told);
    let none = "no live worker has 80 of memory in all, the most is 64";
    assert_eq!(verdict_of("80 of memory", &both), none);
    assert_eq!(verdict_of("1 of disk", &both), "no live worker has 1 of disk in all");
    assert_eq!(
        verdict_of("9 of memory,1 of gpu", &both),
        "no live worker has all of 1 of gpu,9 of memory at once"
    );
    let placement = place(&request("9 of memory"), &both, NOW);
    let excluded = &placement.workers[1].excluded;
    assert_eq!(excluded[0].detail, "has 8 of memory in all, asked is 9 of memory");
    assert_eq!(placement.workers[0].resources_taken.to_string(), "memory=60");
}
