use taskwright_core::State;

use super::*;
use crate::change::Change;
use crate::table::Table;
use crate::table::tests::samples::*;

fn everything() -> Filter {
    Filter {
        namespace: name("default"),
        queue: None,
        task: None,
        state: None,
        tag: None,
        before: None,
        limit: 7,
    }
}

/// All pages, one after another, as the numbers of their jobs.
fn pages(table: &mut Table, filter: &Filter) -> Vec<Vec<Seq>> {
    let mut filter = filter.clone();
    let mut pages = Vec::new();
    loop {
        let page = table.look().list(&filter).unwrap();
        pages.push(page.jobs.iter().map(|job| job.seq).collect());
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return pages,
        }
    }
}

fn filled() -> Table {
    let mut table = table();
    for seq in 1..=300 {
        let lane = (seq % 5) as LaneNumber;
        let mut changes = match seq % 7 {
            0 => ended(seq, lane, State::Completed, 1).to_vec(),
            1 => ended(seq, lane, dead(), 1).to_vec(),
            2 => vec![
                insert(seq, lane),
                update(seq, claimed(seq, waiting(seq)), crate::change::More::default()),
            ],
            _ => vec![insert(seq, lane)],
        };
        if seq % 11 == 0
            && let Some(Change::Insert(fixed, _)) = changes.first_mut()
        {
            std::sync::Arc::make_mut(fixed).extras = Some(Box::new(extras()));
        }
        apply(&mut table, changes);
    }
    table
}

fn is_wanted(seq: Seq, filter: &Filter) -> bool {
    let (queue, task) = match seq % 5 {
        0 => ("a", "x"),
        1 => ("a", "y"),
        2 => ("b", "x"),
        3 => ("b", "y"),
        _ => return false,
    };
    let state = match seq % 7 {
        0 => StateName::Completed,
        1 => StateName::Dead,
        2 => StateName::Running,
        _ => StateName::Available,
    };
    filter.queue.as_ref().is_none_or(|wanted| wanted.as_str() == queue)
        && filter.task.as_ref().is_none_or(|wanted| wanted.as_str() == task)
        && filter.state.is_none_or(|wanted| wanted == state)
        && filter.tag.as_ref().is_none_or(|_| seq.is_multiple_of(11))
}

#[test]
fn pages_hold_what_matches_newest_first_and_end() {
    let mut table = filled();
    let queues = [None, Some(name("a")), Some(name("b"))];
    let tasks = [None, Some(name("y"))];
    let states =
        [None, Some(StateName::Dead), Some(StateName::Available), Some(StateName::Expired)];
    for queue in &queues {
        for task in &tasks {
            for state in states {
                for tag in [None, Some("blue".into())] {
                    let (queue, task) = (queue.clone(), task.clone());
                    let filter = Filter { queue, task, state, tag, ..everything() };
                    let expected: Vec<_> =
                        (1..=300).rev().filter(|seq| is_wanted(*seq, &filter)).collect();
                    let pages = pages(&mut table, &filter);
                    assert_eq!(pages.concat(), expected, "{filter:?}");
                    let full = &pages[..pages.len() - 1];
                    assert!(full.iter().all(|page| page.len() == 7), "{filter:?}: {pages:?}");
                }
            }
        }
    }
}

#[test]
fn lists_leave_out_args_results_and_attempts() {
    let mut table = filled();
    let page = table.look().list(&everything()).unwrap();
    let job = &page.jobs[0];
    assert_eq!((&job.args, &job.result, job.attempts.len()), (&None, &None, 0));
    let whole = table.look().get(&name("default"), &[job.id]).unwrap().remove(0).unwrap();
    assert_eq!(Job { args: None, result: None, attempts: Vec::new(), ..whole }, *job);
}

#[test]
fn another_namespace_sees_its_own_jobs() {
    let mut table = filled();
    let other = Filter { namespace: name("other"), limit: 1_000, ..everything() };
    let expected: Vec<_> = (1..=300).rev().filter(|seq| seq % 5 == 4).collect();
    assert_eq!(pages(&mut table, &other), [expected]);
    let nobody = Filter { namespace: name("nobody"), ..everything() };
    assert_eq!(pages(&mut table, &nobody), [Vec::<Seq>::new()]);
}

#[test]
fn a_rare_tag_is_looked_for_in_bounded_pages() {
    let mut table = table();
    let many = LOOKED_AT_MAX as Seq + 10;
    let mut fixed = fixed(1, 0);
    fixed.extras = Some(Box::new(extras()));
    let first = Change::Insert(fixed.into(), waiting(1));
    let changes = [first].into_iter().chain((2..=many).map(|seq| insert(seq, 0)));
    apply(&mut table, changes.collect());
    let filter = Filter { tag: Some("deep".into()), ..everything() };
    assert_eq!(pages(&mut table, &filter), [vec![], vec![1]]);
}
