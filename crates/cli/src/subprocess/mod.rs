//! Commands in subprocesses that never outlive their worker.

mod attempt;
mod ended;
pub mod guard;
mod run;
mod slots;
mod template;

pub use attempt::{check_program, run, stopped};
pub use ended::{Meaning, meaning, too_much_output};
pub use slots::Slots;
pub use template::Template;
