//! What can go wrong.

/// Why a workload was not played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file is not a workload.
    #[error("cannot read the workload: {0}")]
    Unreadable(String),
    /// A part of the workload makes no sense.
    #[error("cannot simulate {part}: {why}")]
    Invalid {
        /// The part, for example `task "mail"`.
        part: String,
        /// What is wrong with it, and what to write.
        why: String,
    },
    /// A target is not written as one.
    #[error(
        "{0:?} is no target; write one like \"p99 wait <= 5s\" or \"mean wait of mail <= 200ms\""
    )]
    Target(String),
    /// The scheduling code refused something.
    #[error("the simulated store refused: {0}; this is a mistake in the simulator")]
    Refused(String),
}

/// What was asked for, or why not.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn invalid(part: impl Into<String>, why: impl Into<String>) -> Error {
    Error::Invalid { part: part.into(), why: why.into() }
}
