//! Placement by labels, as an application uses it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{eventually, on_each_store};
use taskwright::testing::TestApp;
use taskwright::{
    ErrorCode, ExclusionRule, Handle, Job, Placement, Result, StateName, Taskwright, Worker, task,
};

#[task(requires = "gpu>=24")]
async fn train(model: u32) -> u32 {
    model + 1
}

#[task]
async fn tidy(model: u32) -> u32 {
    model + 2
}

fn worker(app: &Taskwright, name: &str, gpu: &str) -> Worker {
    app.worker().serve(train).serve(tidy).name(name).label("gpu", gpu).label("region", "eu")
}

/// Waits until as many workers have said what they serve.
async fn known(app: &Taskwright, count: usize) {
    eventually(async || {
        let workers = app.workers().await.unwrap();
        let heard =
            |view: &&taskwright::WorkerView| view.profile.is_some() && !view.info.name.is_empty();
        (workers.iter().filter(heard).count() == count).then_some(())
    })
    .await;
}

async fn who_ran(app: &Taskwright, handle: &Handle<u32>) -> String {
    let id = app.get(handle.id()).await.unwrap().unwrap().worker.unwrap();
    let workers = app.workers().await.unwrap();
    let view = workers.into_iter().find(|view| view.id == id).unwrap();
    view.info.name.to_string()
}

fn reasons(placement: &Placement) -> Vec<(String, Vec<String>)> {
    let of = |placed: &taskwright::Placed| {
        let details = placed.excluded.iter().map(|exclusion| exclusion.detail.clone());
        (placed.name.to_string(), details.collect())
    };
    placement.workers.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_where_the_labels_match() {
    on_each_store(async |app| {
        let small = worker(&app, "small", "16").start().unwrap();
        known(&app, 1).await;
        let waiting = app.enqueue(train::job(1)).await.unwrap();
        let common = app.enqueue(tidy::job(1)).await.unwrap();
        assert_eq!(common.result().await.unwrap(), 3);
        let view = app.get(waiting.id()).await.unwrap().unwrap();
        assert_eq!(view.life.state.name(), StateName::Available, "nobody has gpu>=24");
        assert_eq!(view.extras.requires.to_string(), "gpu>=24");

        let placement = app.place(train::job(1)).await.unwrap();
        assert_eq!(placement.verdict, "no live worker has gpu>=24");
        let told = reasons(&placement);
        assert_eq!(told, [("small".into(), vec!["gpu is 16, asked is gpu>=24".into()])]);
        assert_eq!(placement.workers[0].excluded[0].rule, ExclusionRule::Label);
        assert_eq!(placement.workers[0].labels.to_string(), "gpu=16,region=eu,slots=16");

        let big = worker(&app, "big", "80").start().unwrap();
        assert_eq!(waiting.result().await.unwrap(), 2);
        known(&app, 2).await;
        assert_eq!(who_ran(&app, &waiting).await, "big");
        let elsewhere = app.enqueue(tidy::job(2).requires("gpu<24,region in (eu us)"));
        let elsewhere = elsewhere.await.unwrap();
        assert_eq!(elsewhere.result().await.unwrap(), 4);
        assert_eq!(who_ran(&app, &elsewhere).await, "small");
        let placement = app.place(train::job(1).queue("elsewhere")).await.unwrap();
        assert_eq!(placement.verdict, "no live worker serves queue elsewhere");
        small.stop().await.unwrap();
        big.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_is_no_label_or_requirement_is_told() -> Result<()> {
    let app = Taskwright::connect("memory:").await?;
    let error = app.worker().serve(tidy).label("GPU", "24").start().unwrap_err();
    assert!(error.message.starts_with("cannot label the worker: \"GPU=24\""), "{error}");
    let error = app.enqueue(Job::<()>::new("tidy", &1).requires("gpu>=")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.message.contains("write terms such as gpu>=24"), "{error}");
    let error = app.consumer(["default"])?.label("gpu", "2 4").unwrap_err();
    assert!(error.message.starts_with("cannot label the consumer"), "{error}");
    app.close().await
}

#[tokio::test]
async fn a_consumer_has_labels_too() -> Result<()> {
    let app = Taskwright::connect("memory:").await?;
    app.enqueue(train::job(1)).await?;
    let plain = app.consumer(["default"])?;
    assert!(plain.claim(9, std::time::Duration::ZERO).await?.is_empty());
    let consumer = app.consumer(["default"])?.label("gpu", "24")?;
    assert_eq!(consumer.claim(9, std::time::Duration::ZERO).await?.len(), 1);
    plain.close().await;
    consumer.close().await;
    app.close().await
}

#[tokio::test]
async fn an_application_under_test_has_the_labels_that_it_is_given() -> Result<()> {
    let app = TestApp::new()?.serve(train).label("gpu", "24")?;
    let fits = app.enqueue(train::job(1)).await?;
    app.enqueue(train::job(2).requires("gpu>24")).await?;
    assert_eq!(app.run_until_idle().await?.completed, 1);
    assert_eq!(fits.result().await.unwrap(), 2);
    Ok(())
}

#[test]
fn programs_without_async_code_ask_too() -> Result<()> {
    let app = taskwright::blocking::Taskwright::connect("memory:")?;
    let nobody = "no worker is known; start one that serves queue default and task train";
    assert_eq!(app.place(train::job(1))?.verdict, nobody);
    let worker = app.start_worker(|worker| worker.serve(tidy).label("gpu", "24"))?;
    let placement = app.place(tidy::job(1).requires("gpu>24"))?;
    assert!(placement.workers.iter().all(|placed| !placed.matches()), "{placement:?}");
    worker.stop()?;
    app.close()
}
