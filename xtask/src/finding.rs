//! What a check has to say about one place.

use std::fmt;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What is there.
    pub what: String,
    /// Why it must not be.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// A finding; all texts are clauses without a full stop.
    pub fn new(
        path: &str,
        line: usize,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Finding {
            path: path.to_string(),
            line,
            what: what.into(),
            why: why.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.path, self.line, self.what)?;
        writeln!(f, "    why: {}", self.why)?;
        write!(f, "    do:  {}", self.remedy)
    }
}
