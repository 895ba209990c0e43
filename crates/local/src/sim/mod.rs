//! What tests and the simulator put in place of the world: chance, a disk that can crash, samples,
//! and a whole store on a machine that fails.

mod audit;
mod disk;
mod given;
mod history;
mod limited;
mod random;
mod samples;
mod store;
mod table;
mod told;
mod world;

pub use disk::{Faults, SimDisk};
pub use random::Random;
pub use samples::Samples;
pub use store::Bug;
pub use world::simulate;
