//! What stands in the query of a URL: as strict as a body.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use taskwright_core::Name;
use taskwright_engine::{Error, ErrorCode, Result};
use taskwright_store::Filter;

use crate::enqueue::Reply;
use crate::look::LIMIT_DEFAULT;

/// The parameters of one request. Each is taken once; what is left is refused.
#[derive(Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// The parameters in the text after the `?`.
    pub fn new(text: Option<&'a str>) -> Self {
        Query(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).collect())
    }

    /// The parameter `namespace`, or the default namespace.
    pub fn namespace(&mut self) -> Result<Name> {
        Ok(self.take("namespace")?.unwrap_or_else(Name::default_name))
    }

    /// The parameter `wait_ms`, or none.
    pub fn wait(&mut self) -> Result<Duration> {
        Ok(Duration::from_millis(self.take("wait_ms")?.unwrap_or(0)))
    }

    /// The parameter `n`: how many jobs to look at.
    pub fn count(&mut self) -> Result<usize> {
        Ok(self.take("n")?.unwrap_or(LIMIT_DEFAULT))
    }

    /// The parameter `after`: the name behind which a page begins.
    pub fn after(&mut self) -> Result<Option<Name>> {
        self.take("after")
    }

    /// The parameter `limit`: how many items a page has.
    pub fn limit(&mut self) -> Result<usize> {
        Ok(self.take("limit")?.unwrap_or(LIMIT_DEFAULT))
    }

    /// The parameter `reply`.
    pub fn reply(&mut self) -> Result<Option<Reply>> {
        self.take("reply")
    }

    /// The parameters of a list of jobs.
    pub fn filter(&mut self) -> Result<Filter> {
        Ok(Filter {
            namespace: self.namespace()?,
            queue: self.take("queue")?,
            task: self.take("task")?,
            state: self.take("state")?,
            tag: self.take::<String>("tag")?.map(Arc::from),
            before: self.take("before")?,
            limit: self.take("limit")?.unwrap_or(LIMIT_DEFAULT),
        })
    }

    /// Refuses the parameters that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => {
                let message = format!("unknown or repeated parameter {key:?} in the URL");
                Err(Error::new(ErrorCode::Invalid, message))
            }
        }
    }

    fn take<T: FromStr<Err: Display>>(&mut self, key: &str) -> Result<Option<T>> {
        let Some(at) = self.0.iter().position(|(known, _)| known == key) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(at);
        value.parse().map(Some).map_err(|cause| {
            Error::new(ErrorCode::Invalid, format!("{key}={value} in the URL: {cause}"))
        })
    }
}

impl FromStr for Reply {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "full" => Ok(Reply::Full),
            "summary" => Ok(Reply::Summary),
            _ => Err("a reply is full or summary"),
        }
    }
}
