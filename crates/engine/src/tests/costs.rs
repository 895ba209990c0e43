use taskwright_core::{Extras, JobId, Json, Timestamp};

use super::*;
use crate::costs::Times;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn worker(number: u128) -> WorkerId {
    WorkerId::from_u128(number)
}

/// A job of this task that waited so long; its token has this number.
fn job(task: &str, number: u64, waited: Duration) -> ClaimedJob {
    let run_at = Timestamp::from_millis(1_000_000);
    ClaimedJob {
        id: JobId::from_u128(number.into()),
        seq: number,
        queue: Name::default_name(),
        task: name(task),
        args: Json::from_trusted("null"),
        token: token(number),
        failures: 0,
        max_attempts: 3,
        timeout_ms: None,
        priority: 0,
        created_at: run_at,
        run_at,
        started_at: run_at.plus(waited),
        checkpoint: None,
        extras: Extras::default(),
    }
}

fn token(number: u64) -> Token {
    Token { epoch: 1, attempt: 1, nonce: number }
}

#[test]
fn a_cell_holds_waiting_and_running_time() {
    let mut book = Book::default();
    let here = name("here");
    book.started(&here, worker(1), &[job("add", 1, secs(2)), job("mail", 2, secs(4))], secs(10));
    book.started(&here, worker(2), &[job("add", 3, secs(6))], secs(11));
    book.ended(token(1), Verdict::Completed, secs(13));
    book.ended(token(3), Verdict::Failed, secs(20));

    let (costs, since) = book.costs(&here);
    assert_eq!(since, Duration::ZERO);
    let tasks: Vec<_> = costs.tasks.iter().map(|row| row.task.clone().unwrap()).collect();
    assert_eq!(tasks, [name("add"), name("mail")]);
    let workers: Vec<_> = costs.workers.iter().map(|column| column.worker.unwrap()).collect();
    assert_eq!(workers, [worker(1), worker(2)]);
    let cell = |started, waiting, ended, running| Cost {
        started,
        waiting: secs(waiting),
        ended,
        running: secs(running),
    };
    let expected = [
        CostCell { task: 0, worker: 0, cost: cell(1, 2, 1, 3) },
        CostCell { task: 0, worker: 1, cost: cell(1, 6, 1, 9) },
        CostCell { task: 1, worker: 0, cost: cell(1, 4, 0, 0) },
    ];
    assert_eq!(costs.cells, expected);
    let add = costs.of_task(&name("add")).unwrap();
    assert_eq!((add.waiting.sum, add.running.sum), (secs(8), secs(12)));
    assert_eq!((add.completed, add.failed, add.given_back), (1, 1, 0));
    assert_eq!((costs.total.waiting.sum, costs.total.running.max), (secs(12), secs(9)));
    assert_eq!(book.costs(&name("elsewhere")).0, Costs::default());
}

#[test]
fn an_attempt_is_counted_once_however_often_it_is_told() {
    let mut book = Book::default();
    let here = name("here");
    let jobs = [job("add", 1, secs(2))];
    book.started(&here, worker(1), &jobs, secs(10));
    book.started(&here, worker(1), &jobs, secs(11));
    book.ended(token(1), Verdict::Completed, secs(15));
    book.ended(token(1), Verdict::Completed, secs(99));
    book.ended(token(7), Verdict::Completed, secs(99));
    let total = book.costs(&here).0.total;
    assert_eq!((total.waiting.count, total.running.count, total.completed), (1, 1, 1));
    assert_eq!(total.running.sum, secs(5));
}

#[test]
fn what_was_given_back_has_no_running_time() {
    let mut book = Book::default();
    let here = name("here");
    book.started(&here, worker(1), &[job("a", 1, secs(2)), job("a", 2, secs(2))], secs(10));
    book.ended(token(1), Verdict::Released, secs(15));
    book.ended(token(2), Verdict::Snoozed, secs(15));
    let total = book.costs(&here).0.total;
    assert_eq!((total.given_back, total.running.count, total.completed), (2, 0, 0));
}

#[test]
fn the_quietest_worker_makes_room_and_nothing_is_lost() {
    let mut book = Book::default();
    let here = name("here");
    let workers = 3 * COST_WORKERS_MAX as u64;
    for number in 1..=workers {
        book.started(&here, worker(number.into()), &[job("a", number, secs(1))], secs(number));
        // The first one is never quiet.
        let again = [job("b", 1_000 + number, secs(1))];
        book.started(&here, worker(1), &again, secs(number));
        book.ended(token(1_000 + number), Verdict::Completed, secs(number + 1));
    }
    // This one has no column any more.
    book.ended(token(2), Verdict::Completed, secs(1_000));

    let (costs, _) = book.costs(&here);
    assert_eq!(costs.workers.len(), COST_WORKERS_MAX + 1);
    assert_eq!(costs.workers[0].worker, Some(worker(1)));
    assert_eq!(costs.workers[0].sums.completed, workers);
    let others = costs.workers.last().unwrap();
    assert_eq!(others.worker, None);
    assert_eq!(others.sums.waiting.count, workers - COST_WORKERS_MAX as u64);
    assert_eq!((others.sums.completed, others.sums.running.sum), (1, secs(998)));
    adds_up(&costs);
}

#[test]
fn the_quietest_task_and_namespace_make_room() {
    let mut book = Book::default();
    let here = name("here");
    for number in 1..=2 * COST_TASKS_MAX as u64 {
        let task = format!("task-{number}");
        book.started(&here, worker(1), &[job(&task, number, secs(1))], secs(1));
    }
    let (costs, _) = book.costs(&here);
    assert_eq!(costs.tasks.len(), COST_TASKS_MAX + 1);
    assert_eq!(costs.tasks.last().unwrap().sums.waiting.count, COST_TASKS_MAX as u64);
    adds_up(&costs);

    for number in 0..COST_NAMESPACES_MAX as u64 {
        let jobs = [job("a", 10_000 + number, secs(1))];
        book.started(&name(&format!("n{number}")), worker(1), &jobs, secs(50));
    }
    assert!(book.matrices.len() <= COST_NAMESPACES_MAX);
    let (forgotten, since) = book.costs(&here);
    assert_eq!((forgotten, since), (Costs::default(), secs(50)));
    book.ended(token(1), Verdict::Completed, secs(60));
    book.started(&here, worker(1), &[job("a", 20_000, secs(1))], secs(70));
    book.ended(token(2), Verdict::Completed, secs(80));
    let (costs, since) = book.costs(&here);
    assert!(since >= secs(50), "{since:?}");
    adds_up(&costs);
}

#[test]
fn attempts_that_never_end_are_forgotten() {
    let mut book = Book::default();
    let here = name("here");
    let more = 3 * COST_ATTEMPTS_MAX as u64;
    for number in 1..=more {
        book.started(&here, worker(1), &[job("a", number, secs(1))], secs(1));
        if number % 2 == 0 {
            book.ended(token(number), Verdict::Completed, secs(2));
        }
    }
    assert!(book.begun.len() <= COST_ATTEMPTS_MAX);
    assert!(book.order.len() <= 2 * COST_ATTEMPTS_MAX + 2_000);
    book.ended(token(1), Verdict::Completed, secs(9));
    assert_eq!(book.costs(&here).0.total.completed, more / 2, "the oldest is not known any more");
    book.ended(token(more - 1), Verdict::Completed, secs(9));
    assert_eq!(book.costs(&here).0.total.completed, more / 2 + 1);
}

#[test]
fn a_worker_is_shown_by_the_name_it_gives_itself() {
    let mut book = Book::default();
    let here = name("here");
    book.named(&here, worker(1), &"too early".into());
    book.started(&here, worker(1), &[job("a", 1, secs(1))], secs(1));
    assert_eq!(&*book.costs(&here).0.workers[0].name, "");
    book.named(&here, worker(1), &"host:7".into());
    book.named(&here, worker(2), &"stranger".into());
    assert_eq!(&*book.costs(&here).0.workers[0].name, "host:7");
    assert_eq!(book.matrices[&here].names.len(), 1);
}

#[test]
fn rows_columns_and_cells_add_up_whatever_comes() {
    let mut book = Book::default();
    let here = name("here");
    let mut chance = 7_u64;
    let mut next = |bound: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (chance >> 33) % bound
    };
    for number in 1..=20_000 {
        let (tasks, workers) = (1 + next(300), 1 + next(200));
        let task = format!("task-{}", next(tasks));
        let by = worker((1 + next(workers)).into());
        book.started(&here, by, &[job(&task, number, secs(next(9)))], secs(number));
        let verdict = [Verdict::Completed, Verdict::Failed, Verdict::TimedOut, Verdict::Released];
        book.ended(token(1 + next(number)), verdict[next(4) as usize], secs(number + next(9)));
    }
    adds_up(&book.costs(&here).0);
}

/// Rows, columns and cells have the same sums.
fn adds_up(costs: &Costs) {
    let total = &costs.total;
    let short = |sums: &CostSums| {
        let Times { count, sum, .. } = sums.waiting;
        (count, sum, sums.running.count, sums.running.sum)
    };
    let add = |a: (u64, Duration, u64, Duration), b: (u64, Duration, u64, Duration)| {
        (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3 + b.3)
    };
    let of_cell = |cell: &CostCell| {
        let Cost { started, waiting, ended, running } = cell.cost;
        (started, waiting, ended, running)
    };
    assert_eq!(
        costs.tasks.iter().map(|row| short(&row.sums)).fold(Default::default(), add),
        short(total)
    );
    assert_eq!(
        costs.workers.iter().map(|column| short(&column.sums)).fold(Default::default(), add),
        short(total)
    );
    assert_eq!(costs.cells.iter().map(of_cell).fold(Default::default(), add), short(total));
    for (index, row) in costs.tasks.iter().enumerate() {
        let cells = costs.cells.iter().filter(|cell| cell.task == index);
        assert_eq!(
            cells.map(of_cell).fold(Default::default(), add),
            short(&row.sums),
            "row {index}"
        );
    }
}
