//! The `#[task]` attribute of Taskwright.

mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

/// Makes a task of a function.
///
/// ```text
/// #[task(queue = "mail", max_attempts = 5, timeout = "10m")]
/// async fn send(ctx: &Context, to: String, text: String) -> anyhow::Result<()> { … }
///
/// app.enqueue(send::job("a@example.org".into(), "Hello".into()).delay("5m")).await?;
/// app.worker().serve(send).queues(["mail"]).run().await?;
/// send::call(&ctx, to, text).await?;   // the function itself, as in a unit test
/// ```
///
/// The function may be `async`, or not: then it may block, and runs on a thread of its own. Its
/// parameters are the arguments of the job, owned and serialisable; they travel as a JSON object by
/// name, and are read from an array in order as well. A first parameter `ctx: &Context` (or
/// `Context`) is the attempt's context. What it returns is the result of the job: any serialisable
/// type, or a `Result` of one with any error. A return type whose name ends in `Result` is taken for
/// one.
///
/// In the place of the function stands a unit struct of the same name, so a variable cannot have
/// that name where the task is in scope.
///
/// Options, each for the jobs that `job` makes, unless the job itself says otherwise:
///
/// - `name = "mail.send"`: the name of the task; by default that of the function
/// - `queue = "mail"`: the queue; by default `default`
/// - `priority = 5`: −10 to 10
/// - `max_attempts = 5`: dead at so many failures
/// - `timeout = "10m"`: the longest an attempt may run
/// - `retry = "30s"` or `retry = ["1m", "5m", "1h"]`: fixed waits between attempts, the last repeats
/// - `requires = "gpu>=24,!spot"`: what the labels of its worker must meet
/// - `cost = 4`: how many slots of its worker a job takes, 1 to 1,000
/// - `takes(memory = 8, gpu = 1)`: how much of the resources of its worker a job takes
/// - `blocking`: says that a function that is not async is meant to be none
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    expanded(options.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

fn expanded(
    options: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> syn::Result<proc_macro2::TokenStream> {
    let function = function::Function::parse(item)?;
    let options = options::Options::parse(options, &function)?;
    Ok(expand::expand(&function, &options))
}
