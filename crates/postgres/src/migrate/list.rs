//! The migrations of this program, and what one is.

/// The version of the schema that this program makes. From 2 on, a node has to write it to `knows`
/// when it joins; a test tells who forgets it.
pub(crate) const NEWEST: i32 = 1;

/// What makes a schema of one version out of that of the version before.
///
/// Old nodes work through it, beside new ones: it adds, and takes away only what the version before
/// no longer used. So `min_reader` is at most the version before.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The version that the schema has then.
    pub version: i32,
    /// The lowest version that a program may know to work with that schema.
    pub min_reader: i32,
    /// What is done, in this order; each is recorded when it is done.
    pub steps: Vec<Step>,
}

/// A part of a migration: a script that is run as a whole or not at all.
#[derive(Copy, Clone, Debug)]
pub struct Step {
    /// What it does, in a word or two.
    pub name: &'static str,
    /// The script; every object of the schema is written `taskwright.x`.
    pub sql: &'static str,
    /// What takes away the remains of an attempt that was interrupted; `None`: it leaves none.
    pub clear: Option<&'static str>,
}

impl Step {
    /// A script that runs in one transaction.
    pub const fn new(name: &'static str, sql: &'static str) -> Self {
        Step { name, sql, clear: None }
    }

    /// One statement that runs in no transaction and blocks nobody, such as CREATE INDEX
    /// CONCURRENTLY; `clear`, one statement too, is run before it.
    pub const fn alone(name: &'static str, sql: &'static str, clear: &'static str) -> Self {
        Step { name, sql, clear: Some(clear) }
    }

    /// Whether it runs in a transaction.
    pub const fn is_transaction(&self) -> bool {
        self.clear.is_none()
    }
}

/// The migrations up to the version of this program.
pub fn migrations() -> Vec<Migration> {
    let first = vec![
        Step::new("tables", include_str!("../../migrations/0001/tables.sql")),
        Step::new("lanes", include_str!("../../migrations/0001/lanes.sql")),
        Step::new("policies", include_str!("../../migrations/0001/policies.sql")),
        Step::new("limits", include_str!("../../migrations/0001/limits.sql")),
        Step::new("keys", include_str!("../../migrations/0001/keys.sql")),
        Step::new("turns", include_str!("../../migrations/0001/turns.sql")),
        Step::new("unique", include_str!("../../migrations/0001/unique.sql")),
        Step::new("insert", include_str!("../../migrations/0001/insert.sql")),
        Step::new("claim", include_str!("../../migrations/0001/claim.sql")),
        Step::new("report", include_str!("../../migrations/0001/report.sql")),
        Step::new("sweep", include_str!("../../migrations/0001/sweep.sql")),
        Step::new("documents", include_str!("../../migrations/0001/documents.sql")),
        Step::new("transactional", include_str!("../../migrations/0001/transactional.sql")),
        Step::new("roles", include_str!("../../migrations/0001/roles.sql")),
    ];
    vec![Migration { version: NEWEST, min_reader: 1, steps: first }]
}
