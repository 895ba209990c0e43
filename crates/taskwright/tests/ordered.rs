//! Ordered groups, as an application uses them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::handlers::{DONE, Running, brisk, job};
use common::{bounded, eventually, on_each_store};
use taskwright::{ErrorCode, JobError, Limit, Outcome, Retry, RetryPolicy, StateName};

/// Three workers of several slots run the jobs of two groups: each group in its order, one at a time,
/// though every first attempt fails; a dead job holds its group up, and `why` names it.
#[tokio::test]
async fn groups_run_in_order_over_all_workers() {
    on_each_store(|app| async move {
        let refused = app.set_limit(Limit::queue("default").ordered()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid);
        assert!(refused.message.contains("only a group or a limit key"), "{refused}");
        let limit = Limit::group("default", "account-*").ordered();
        app.set_limit(limit).await.unwrap();
        let told: Vec<_> = app.limits().await.unwrap().iter().map(ToString::to_string).collect();
        let expected = "group \"account-*\" of queue default: one after another, a dead one blocks";
        assert_eq!(told, [expected]);

        let ended: Arc<Mutex<Vec<(usize, String)>>> = Arc::default();
        let running = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let crowded = Arc::new(AtomicBool::new(false));
        let handler = |group: usize| {
            let (ended, running) = (Arc::clone(&ended), Arc::clone(&running));
            let crowded = Arc::clone(&crowded);
            Running(move |context: taskwright::Context| {
                let (ended, running) = (Arc::clone(&ended), Arc::clone(&running));
                let crowded = Arc::clone(&crowded);
                async move {
                    if running[group].fetch_add(1, Ordering::SeqCst) > 0 {
                        crowded.store(true, Ordering::SeqCst);
                    }
                    tokio::task::yield_now().await;
                    let is_first = context.attempt() == 1;
                    if !is_first {
                        ended.lock().unwrap().push((group, context.job_id().to_string()));
                    }
                    running[group].fetch_sub(1, Ordering::SeqCst);
                    match is_first {
                        true => Outcome::Failed {
                            error: JobError::new("error", "not yet"),
                            retry: Retry::ByPolicy,
                        },
                        false => DONE,
                    }
                }
            })
        };
        let retry = RetryPolicy::Fixed { delay_ms: 10 };
        let mut jobs = Vec::new();
        for _ in 0..12 {
            for group in 0..2 {
                let named = ["one", "two"][group];
                let limited = job(named).group(&format!("account-{group}")).retry(retry.clone());
                jobs.push(limited);
            }
        }
        let handles = app.enqueue_all(jobs).await.unwrap();
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let worker = brisk(&app).slots(4);
                worker.handler("one", handler(0)).handler("two", handler(1)).start().unwrap()
            })
            .collect();
        bounded(eventually(|| async { (app.size("default").await.unwrap() == 0).then_some(()) }))
            .await;
        assert!(!crowded.load(Ordering::SeqCst), "one at a time");
        let ended = ended.lock().unwrap().clone();
        for group in 0..2 {
            let in_order: Vec<String> = handles
                .iter()
                .skip(group)
                .step_by(2)
                .map(|handle| handle.id().to_string())
                .collect();
            let found = ended.iter().filter(|(of, _)| *of == group).map(|(_, id)| id.clone());
            assert_eq!(found.collect::<Vec<_>>(), in_order, "group {group}");
        }

        let dying = job("one").group("account-0").max_attempts(1);
        let dead = app.enqueue(dying).await.unwrap();
        let dead_id = dead.id();
        bounded(eventually(|| async {
            (dead.status().await.unwrap() == Some(StateName::Dead)).then_some(())
        }))
        .await;
        let behind = app.enqueue(job("one").group("account-0")).await.unwrap();
        let why = app.why(behind.id()).await.unwrap().unwrap();
        let expected = format!(
            "it waits in the ordered group account-0 behind job {dead_id} (dead: redrive it, or \
             delete it to let the others go on)"
        );
        assert_eq!(why.verdict, expected);
        app.redrive(dead_id, 1).await.unwrap();
        bounded(eventually(|| async {
            (behind.status().await.unwrap() == Some(StateName::Completed)).then_some(())
        }))
        .await;
        assert_eq!(dead.status().await.unwrap(), Some(StateName::Completed));
        for worker in workers {
            worker.stop().await.unwrap();
        }
    })
    .await;
}
