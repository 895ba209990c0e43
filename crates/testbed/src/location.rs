//! The address of a PostgreSQL server, as a URL whose database can be changed.

use crate::Error;

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// `postgres://user:password@host:port`
    server: String,
    /// What stands behind `?`, or nothing.
    parameters: String,
}

/// A URL with its database.
pub struct Whole {
    location: Location,
    database: String,
}

impl Whole {
    /// The same with another host and port.
    pub fn at(&self, address: &str) -> String {
        let Location { server, parameters } = &self.location;
        let user = server.rsplit_once('@').map_or("postgres://", |(user, _)| user);
        let mark = if server.contains('@') { "@" } else { "" };
        let moved =
            Location { server: format!("{user}{mark}{address}"), parameters: parameters.clone() };
        moved.database(&self.database)
    }
}

impl Location {
    /// Takes a URL apart and forgets its database.
    pub fn parse(url: &str) -> Result<Location, Error> {
        Location::parse_whole(url).map(|whole| whole.location)
    }

    /// Takes a URL apart.
    pub fn parse_whole(url: &str) -> Result<Whole, Error> {
        let known = ["postgres://", "postgresql://"].iter().find_map(|s| url.strip_prefix(s));
        let Some(rest) = known else {
            return Err(Error::Failed(format!(
                "{url:?} is no URL of a PostgreSQL server: write postgres://user@host:port"
            )));
        };
        let (before, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = before.split_once('/').unwrap_or((before, ""));
        let location = Location {
            server: format!("postgres://{authority}"),
            parameters: parameters.to_string(),
        };
        Ok(Whole { location, database: database.to_string() })
    }

    /// Its host and port.
    pub fn address(&self) -> String {
        let authority = self.server.strip_prefix("postgres://").unwrap_or(&self.server);
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        let has_port = address.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        if has_port { address.to_string() } else { format!("{address}:5432") }
    }

    /// The URL of one database there.
    pub fn database(&self, name: &str) -> String {
        let Location { server, parameters } = self;
        if parameters.is_empty() {
            format!("{server}/{name}")
        } else {
            format!("{server}/{name}?{parameters}")
        }
    }
}

/// `url` with one more parameter.
pub fn with_parameter(url: &str, parameter: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{parameter}")
}

#[cfg(test)]
#[path = "tests/location.rs"]
mod tests;
