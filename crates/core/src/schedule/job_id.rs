//! The id of the job that a schedule makes for an instant.

use uuid::Uuid;

use crate::id::JobId;
use crate::name::Name;
use crate::time::Timestamp;

/// What all these ids begin from, so that they are nobody else's.
const SPACE: Uuid = Uuid::from_u128(0x6f1d_2c0b_5f0e_4c53_9a44_7461_736b_7772);

/// The id of the job that a schedule makes for an instant: the same one, whoever makes it and how
/// often, so that there is at most one. UUID version 5 of namespace, schedule and instant.
pub fn job_id(namespace: &Name, schedule: &Name, instant: Timestamp) -> JobId {
    // Names have no spaces: what is put together here is put together from one thing only.
    let text = format!("{namespace} {schedule} {}", instant.as_micros());
    JobId::from_u128(Uuid::new_v5(&SPACE, text.as_bytes()).as_u128())
}

#[cfg(test)]
#[path = "tests/job_id.rs"]
mod tests;
