//! Tasks: code that runs under a name.

use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use taskwright_core::{Json, Name};
use taskwright_store::Outcome;

use crate::args::{ArgsReader, ArgsWriter};
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
    /// The queue that its jobs wait in where they name none.
    const QUEUE: &'static str = "default";
}

/// What a task gives back when it succeeds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a task",
    label = "cannot be written as JSON and read back",
    note = "add #[derive(serde::Serialize, serde::Deserialize)] to `{Self}`, or return something else"
)]
pub trait Output: Sized {
    /// The outcome of an attempt that gave it back.
    #[doc(hidden)]
    fn outcome(self) -> Outcome;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Output for T {
    fn outcome(self) -> Outcome {
        match serde_json::to_string(&self) {
            Ok(text) if text == "null" => Outcome::Completed { result: None },
            Ok(text) => Outcome::Completed { result: Some(Json::from_trusted(text)) },
            Err(error) => {
                let message = format!("the result is not JSON ({error}); use string keys in maps");
                failed(crate::TaskError::fatal(message).into())
            }
        }
    }
}

/// An error that a task may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task",
    label = "not an error",
    note = "use taskwright::TaskError, anyhow::Error, or a type that implements std::error::Error + Send + Sync"
)]
pub trait Failure: Sized {
    /// The outcome of an attempt that failed with it.
    #[doc(hidden)]
    fn outcome(self) -> Outcome;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError> + Send + 'static> Failure for E {
    fn outcome(self) -> Outcome {
        failed(self.into())
    }
}

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
pub fn job_of<T>(name: &TaskName, args: ArgsWriter) -> Job<T> {
    Job::with_args(name.get(), args.finish())
}

/// The args that `#[task]` functions read.
pub fn args_of<'a>(
    args: &'a Json,
    names: &'static [&'static str],
) -> Result<ArgsReader<'a>, String> {
    ArgsReader::new(args, names)
}

/// The attempt that ends because its args cannot be read.
pub fn undecodable(task: &str, fault: &str) -> Attempt {
    let message = format!("the args do not fit the parameters of task {task}: {fault}");
    Attempt::undecodable(&message)
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
