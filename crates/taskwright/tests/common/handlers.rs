//! Handlers and workers that tests make by hand.

use std::sync::{Arc, Mutex};

use taskwright::{Attempt, Completion, Context, Handler, Job, Json, Outcome, Taskwright, Worker};

/// A handler made of a function from the context to a future.
pub struct Running<F>(pub F);

impl<F, W> Handler for Running<F>
where
    F: Fn(Context) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + Send + 'static,
{
    fn start(&self, _args: Json, context: Context) -> Attempt {
        Attempt::future((self.0)(context))
    }
}

/// A handler that blocks its thread.
pub struct Blocking<F>(pub F);

impl<F: Fn(&Context) -> Outcome + Clone + Send + Sync + 'static> Handler for Blocking<F> {
    fn start(&self, _args: Json, context: Context) -> Attempt {
        let work = self.0.clone();
        Attempt::blocking(move || work(&context))
    }
}

pub const DONE: Outcome = Outcome::Completed { result: None };

pub fn job(task: &str) -> Job<()> {
    Job::new(task, &())
}

/// A worker whose heartbeats and graces are short.
pub fn brisk(app: &Taskwright) -> Worker {
    app.worker().heartbeat_every("10ms").cancel_grace("10ms")
}

/// A list of what a worker ended.
pub fn completions() -> (Arc<Mutex<Vec<Completion>>>, impl Fn(&Completion) + Send + Sync + 'static)
{
    let list = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&list);
    (list, move |completion: &Completion| kept.lock().unwrap().push(completion.clone()))
}

pub async fn memory() -> Taskwright {
    Taskwright::connect("memory:").await.unwrap()
}
