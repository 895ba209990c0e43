//! What tests and the simulator put in place of the world: chance, a disk that can crash, samples.

mod disk;
mod random;
mod samples;

pub use disk::{Faults, SimDisk};
pub use random::Random;
pub use samples::Samples;
