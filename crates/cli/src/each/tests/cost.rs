use std::sync::Arc;
use std::time::Duration;

use taskwright_core::JobId;

use super::{Cost, Costs, ROWS_KEPT, ROWS_SHOWN};

fn cost(waiting_ms: u64, running_ms: u64) -> Cost {
    Cost::of(Duration::from_millis(waiting_ms), Duration::from_millis(running_ms))
}

fn add(costs: &Costs, task: u128, worker: usize, cost: Cost) {
    costs.add(JobId::from_u128(task), &Arc::from(format!("task {task}")), worker, cost);
}

#[test]
fn a_task_has_a_row_with_all_its_attempts() {
    let costs = Costs::default();
    add(&costs, 1, 0, cost(10, 100));
    add(&costs, 1, 1, cost(20, 300));
    add(&costs, 2, 1, cost(0, 50));
    let table = costs.table(2);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[1].starts_with("task 1") && lines[1].ends_with("30ms + 400ms"), "{table}");
    assert!(lines[1].contains("10ms + 100ms") && lines[1].contains("20ms + 300ms"), "{table}");
    assert!(lines[2].starts_with("task 2"), "{table}");
    assert!(lines[3].starts_with("sum") && lines[3].ends_with("30ms + 450ms"), "{table}");
}

#[test]
fn only_the_costliest_are_shown_one_by_one_and_the_sums_hold_all() {
    let costs = Costs::default();
    let tasks = 3 * ROWS_KEPT as u64;
    for task in 1..=tasks {
        add(&costs, task.into(), (task % 2) as usize, cost(0, task));
    }
    let table = costs.table(tasks);
    assert_eq!(table.lines().count(), 1 + ROWS_SHOWN + 2, "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with(&format!("task {tasks}")), "{table}");
    assert!(table.contains("2,990 more"), "{table}");
    let sum = tasks * (tasks + 1) / 2;
    assert_eq!(costs.to_json()["running_ms"], sum as f64);
    assert_eq!(costs.to_json()["workers"][1]["attempts"], tasks / 2);
}

#[test]
fn many_workers_share_the_last_column() {
    let costs = Costs::default();
    for worker in 0..20 {
        add(&costs, 1, worker, cost(1, 10));
    }
    let table = costs.table(1);
    let head = table.lines().next().unwrap();
    assert!(head.contains("WORKERS 8-20") && !head.contains("WORKER 8 "), "{table}");
    assert!(table.contains("13ms + 130ms"), "{table}");
}
