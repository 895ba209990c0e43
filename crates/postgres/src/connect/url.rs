//! Taking a PostgreSQL URL apart, without ever repeating its password.

use taskwright_store::{Error, ErrorKind};

/// A URL in its parts, percent-decoded.
#[derive(Default)]
pub struct Parts {
    pub user: Option<String>,
    pub password: Option<String>,
    pub hosts: Vec<Place>,
    pub database: Option<String>,
    pub parameters: Vec<(String, String)>,
}

/// One host, with its port if one was said.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    pub host: String,
    pub port: Option<u16>,
}

/// Takes `postgres://user:password@host:port,host:port/database?name=value&…` apart.
pub fn split(url: &str) -> Result<Parts, Error> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or_else(|| invalid("a PostgreSQL URL begins with postgres:// or postgresql://"))?;
    let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    // Whatever follows may be the rest of a password, so it is not looked at, and not repeated.
    if path_and_query.contains('@') {
        return Err(invalid(
            "the PostgreSQL URL has an @ in its path or parameters: write /, ?, @, : and % in its \
             user name, password or parameters as %2F, %3F, %40, %3A and %25",
        ));
    }
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let (account, hosts) = match authority.rsplit_once('@') {
        Some((account, hosts)) => (Some(account), hosts),
        None => (None, authority),
    };
    let mut parts = Parts { hosts: split_hosts(hosts)?, ..Parts::default() };
    if let Some(account) = account {
        let (user, password) = match account.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (account, None),
        };
        parts.user = Some(decode(user, "user name")?).filter(|user| !user.is_empty());
        parts.password = password.map(|password| decode(password, "password")).transpose()?;
    }
    let database = path.strip_prefix('/').unwrap_or(path);
    parts.database = Some(decode(database, "database name")?).filter(|name| !name.is_empty());
    parts.parameters = split_parameters(query)?;
    Ok(parts)
}

fn split_hosts(hosts: &str) -> Result<Vec<Place>, Error> {
    let places = hosts.split(',').filter(|host| !host.is_empty());
    places.map(split_host).collect()
}

fn split_host(place: &str) -> Result<Place, Error> {
    // An IPv6 address stands in brackets, as it has colons of its own.
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = port.filter(|port| !port.is_empty()).map(port_number).transpose()?;
    Ok(Place { host: decode(host, "host")?, port })
}

/// A port, as in a URL or in `port=`.
pub fn port_number(text: &str) -> Result<u16, Error> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        invalid(
            "a port in the PostgreSQL URL is no number from 1 to 65535: correct it, or write / and \
             : in a password as %2F and %3A",
        )
    })
}

fn split_parameters(query: &str) -> Result<Vec<(String, String)>, Error> {
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.push((decode(name, "parameter name")?, decode(value, "parameter")?));
    }
    Ok(parameters)
}

fn decode(text: &str, what: &str) -> Result<String, Error> {
    let wrong =
        || invalid(format!("the {what} in the PostgreSQL URL is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                u8::try_from(high * 16 + low).map_err(|_| wrong())?
            }
            other => other,
        };
        // PostgreSQL ends its strings at a zero.
        if decoded == 0 {
            return Err(wrong());
        }
        bytes.push(decoded);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// The URL cannot be used.
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unusable, message)
}
