//! Why a job does not run yet.

use taskwright_engine::{Ahead, Why};

use crate::write;

pub(crate) fn encode(why: &Why) -> Vec<u8> {
    write::object(512, |object| {
        object.id("id", why.id);
        object.text("verdict", &why.verdict);
        object.list("blockers", &why.blockers, |blocker, object| {
            object.word("kind", blocker.kind.as_str());
            object.text("detail", &blocker.detail);
        });
        if let Some(Ahead { jobs, is_exact }) = why.ahead {
            object.number("ahead", jobs as u64);
            object.flag("ahead_is_exact", is_exact);
        }
        if let Some((soon, late)) = why.start {
            object.instant("start_from", soon);
            object.instant("start_to", late);
        }
    })
}

/// Writes why a job does not run yet.
pub fn write_why(why: &Why) -> Vec<u8> {
    encode(why)
}
