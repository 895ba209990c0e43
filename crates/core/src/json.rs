//! JSON texts that travel unread.

use std::fmt;
use std::sync::Arc;

/// A JSON text: the args, result or checkpoint of a job.
///
/// Taskwright carries these texts and never looks inside: whoever makes one vouches that it is
/// JSON (the library serialises it, the server validates it at the door). Clones share the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Wraps a text that is known to be JSON.
    pub fn from_trusted(text: impl Into<Arc<str>>) -> Self {
        Json(text.into())
    }

    /// The JSON value `null`.
    pub fn null() -> Self {
        Json(Arc::from("null"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Length of the text, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty (which no JSON is: a place holder that was never filled).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
