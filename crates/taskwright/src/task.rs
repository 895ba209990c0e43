//! Tasks: code that runs under a name.

use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use taskwright_core::{Json, Name};
use taskwright_store::Outcome;

use crate::failure::{BoxError, failed};
use crate::handler::{Attempt, Handler};
use crate::job::Job;

/// Code that runs under a name. `#[task]` above a function makes one, named like the function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "write #[taskwright::task] above the function, and pass its name without parentheses: worker.serve(add)"
)]
pub trait Task: Handler {
    /// The name that jobs call it by.
    const NAME: &'static str;
}

/// What a task gives back when it succeeds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a task",
    label = "cannot be written as JSON and read back",
    note = "add #[derive(serde::Serialize, serde::Deserialize)] to `{Self}`, or return something else"
)]
pub trait Output: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Output for T {}

/// An error that a task may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task",
    label = "not an error",
    note = "use taskwright::TaskError, anyhow::Error, or a type that implements std::error::Error + Send + Sync"
)]
pub trait Failure: Into<BoxError> + Send + 'static {}

impl<E: Into<BoxError> + Send + 'static> Failure for E {}

/// The name of a task, made once. The macro has checked the text.
pub struct TaskName(&'static str, OnceLock<Name>);

impl TaskName {
    /// The name with this text.
    pub const fn new(text: &'static str) -> Self {
        TaskName(text, OnceLock::new())
    }

    fn get(&self) -> Name {
        let made = || Name::new(self.0).unwrap_or_else(|_| Name::default_name());
        self.1.get_or_init(made).clone()
    }
}

/// The job that `#[task]` functions make.
pub fn job_of<T>(name: &TaskName, args: &impl Serialize) -> Job<T> {
    Job::of(name.get(), args)
}

/// The args that `#[task]` functions read, or the attempt that ends because they cannot.
pub fn args_of<A: DeserializeOwned>(args: &Json, task: &str) -> Result<A, Attempt> {
    serde_json::from_str(args.as_str()).map_err(|error| {
        Attempt::undecodable(&format!("the args do not fit the parameters of task {task}: {error}"))
    })
}

/// The outcome of a task that returned.
pub fn outcome_of<T: Output, E: Failure>(returned: Result<T, E>) -> Outcome {
    match returned {
        Ok(value) => success_of(value),
        Err(error) => failed(error.into()),
    }
}

/// The outcome of a task that returned a value.
pub fn success_of<T: Output>(value: T) -> Outcome {
    match serde_json::to_string(&value) {
        Ok(text) if text == "null" => Outcome::Completed { result: None },
        Ok(text) => Outcome::Completed { result: Some(Json::from_trusted(text)) },
        Err(error) => {
            let message = format!("the result is not JSON ({error}); use string keys in maps");
            failed(crate::TaskError::fatal(message).into())
        }
    }
}

/// Tells a `Result` under another name from any other type, when a task is compiled.
pub struct Returned<T>(std::marker::PhantomData<T>);

/// What is true of types that [`Returned`] says nothing of.
pub trait AnyReturned {
    /// Whether it is a `Result`.
    const IS_RESULT: bool = false;
}

impl<T> AnyReturned for T {}

impl<T, E> Returned<Result<T, E>> {
    /// Whether it is a `Result`.
    pub const IS_RESULT: bool = true;
}

/// The two sides of a `Result`, under whatever name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is called a Result, but is none",
    note = "rename the type, or return a std::result::Result"
)]
pub trait ResultType {
    /// What it holds when all is well.
    type Output;
    /// What it holds when not.
    type Failure;
}

impl<T, E> ResultType for Result<T, E> {
    type Output = T;
    type Failure = E;
}
