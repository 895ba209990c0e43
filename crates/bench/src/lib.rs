//! `taskwright bench`: scheduling, execution, latency and error handling, each figure beside its
//! floor, measured in the same run.
//!
//! A floor is the least that the task at hand costs on this machine: for the file store a bare log
//! that writes as many bytes and syncs as often, without any queue.

mod bare;
mod delay;
mod floor;
mod http;
mod life;
mod limited;
mod measure;
mod order;
mod postgres;
mod run;
mod size;
mod trouble;

pub use measure::{Figure, Unit};
pub use run::{Options, run};
