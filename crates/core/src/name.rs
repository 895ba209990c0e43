//! Names of namespaces, queues and tasks.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use crate::limits::NAME_BYTES_MAX;

/// The name of a namespace, queue or task: 1 to 128 bytes of `[a-z0-9._:/-]`. Clones are cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A text that cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid name ({reason}); names have 1 to 128 of a-z 0-9 . _ : / -")]
pub struct InvalidName {
    text: String,
    reason: String,
}

impl Name {
    /// Checks and wraps a text.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        match fault(text) {
            None => Ok(Name(Arc::from(text))),
            Some(reason) => {
                Err(InvalidName { text: text.chars().take(NAME_BYTES_MAX).collect(), reason })
            }
        }
    }

    /// The namespace or queue that is meant where none is named.
    pub fn default_name() -> Self {
        static DEFAULT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("default"));
        Name(Arc::clone(&DEFAULT))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    if text.len() > NAME_BYTES_MAX {
        return Some(format!("it has {} bytes", text.len()));
    }
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | ':' | '/' | '-');
    text.chars().find(|&c| !allowed(c)).map(|c| format!("{c:?} is not allowed"))
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Name::new(text)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
#[path = "tests/name.rs"]
mod tests;
