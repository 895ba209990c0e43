//! The commands, one file each: what they take, what they do, what they print.

pub mod adjust;
pub mod bench;
pub mod calendars;
pub mod cancel;
pub mod claim;
pub mod costs;
pub mod delete;
pub mod doctor;
pub mod each;
pub mod enqueue;
pub mod fsck;
pub mod job;
pub mod jobs;
pub mod limit;
pub mod limits;
pub mod migrate;
pub mod moving;
pub mod nodes;
pub mod pause;
pub mod peek;
pub mod place;
pub mod queues;
pub mod redrive;
pub mod report;
pub mod resume;
pub mod schedules;
pub mod serve;
pub mod simulate;
pub mod size;
pub mod why;
pub mod worker;
pub mod workers;

mod batch;
mod keys;
mod kind;
