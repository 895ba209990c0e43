//! What a migration would do, and what it tells while it does it.

use std::time::Duration;

use super::list::Step;

/// A step that has not been done yet.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The version that it leads to; 0: the tables that the migrations themselves need.
    pub version: i32,
    /// Its number within that migration, from 1.
    pub number: i32,
    /// What it does, in a word or two.
    pub name: &'static str,
    /// Its SQL, for the schema that is meant.
    pub sql: String,
    /// What records that it was done, and at last the version: in the same transaction, if it runs in
    /// one. Whoever runs the SQL by hand runs this, too.
    pub record: String,
    /// Whether it runs in a transaction.
    pub is_transaction: bool,
    pub(super) step: Option<Step>,
    /// The version that programs have to know to work with the schema then.
    pub(super) min_reader: i32,
}

/// What is to be done to a schema.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The version it has; 0: there is none.
    pub from: i32,
    /// The version it will have.
    pub to: i32,
    /// What is to be done, in this order. Steps of an interrupted migration that were done are not
    /// in it.
    pub steps: Vec<Planned>,
}

/// What happens while a schema is migrated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Somebody else migrates it.
    Waiting {
        /// Who.
        holder: &'a str,
    },
    /// A step begins.
    Began(&'a Planned),
    /// A step is done.
    Done(&'a Planned, Duration),
    /// A step could not be done, for others were in the way; it will be tried again.
    Again(&'a Planned, &'a str),
}
