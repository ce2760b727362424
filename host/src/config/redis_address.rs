//! Where a Redis is, as its URL says.
//!
//! ```text
//! redis://[user:password@]host[:port][/db]
//! redis+sentinel://[user:password@]host[:port],host[:port][/db]?master=NAME[&sentinel_user=…&sentinel_password=…]
//! redis+cluster://[user:password@]host[:port],host[:port]
//! ```
//! and the same with `rediss` for TLS. Read by hand, as several hosts in one URL are not a URL by RFC 3986.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::model::Secret;

/// Longer ones are nobody's address.
const MAX_LENGTH: usize = 4096;
const MAX_NODES: usize = 64;
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A Redis, parsed from its URL. Neither `Debug` nor `Display` shows a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The kind of server at [`Address::nodes`].
    pub kind: Kind,
    /// Where to begin: the server itself, the sentinels, or some nodes of the cluster. Never empty, and
    /// exactly one for [`Kind::Single`].
    pub nodes: Vec<Node>,
    /// Whether all connections, those to sentinels too, use TLS.
    pub tls: bool,
    /// Credentials for Redis.
    pub credentials: Option<Credentials>,
    /// The numbered database; 0 in a cluster, which has no other.
    pub db: u32,
}

/// The topology of the Redis nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One server.
    Single,
    /// Sentinels, which know the current master.
    Sentinel {
        /// The name under which they watch it.
        master: String,
        /// Credentials for the sentinels, whose users are not those of Redis.
        credentials: Option<Credentials>,
    },
    /// A cluster.
    Cluster,
}

/// A user and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; `None` for the default one.
    pub user: Option<String>,
    /// The password; not empty.
    pub password: Secret,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// A name, or an address; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port; not 0.
    pub port: u16,
}

/// The error of a URL. It says where, and quotes nothing of it: with a character that is not encoded, any
/// part may be a piece of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each says in its text what it is")]
pub enum AddressError {
    #[error("it is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("it has a space or control character; percent-encode these in a password")]
    Whitespace,
    #[error(
        "it must begin with redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://"
    )]
    Scheme,
    #[error(
        "its parts do not fit together: in user and password, write / as %2F, ? as %3F, # as %23 and @ as %40"
    )]
    Shape,
    #[error("user and password must be written as user:password@, or :password@ without a user")]
    Credentials,
    #[error(
        "user or password has [ or ]; write them as %5B and %5D. If it is [secret], which hookbox prints in place of passwords, write the password itself"
    )]
    Brackets,
    #[error(
        "a % in it does not begin a percent-encoded UTF-8 character; write a % of a password as %25"
    )]
    Encoding,
    #[error("it has more than {MAX_NODES} hosts")]
    TooManyNodes,
    #[error("it has several hosts; that is for redis+sentinel:// and redis+cluster://")]
    SeveralNodes,
    #[error("host {0} is not a host name, an IPv4 address or an IPv6 address in brackets")]
    Host(usize),
    #[error("the port of host {0} is not a number from 1 to 65535")]
    Port(usize),
    #[error("only /NUMBER may follow the hosts, a database from 0 to 2147483647")]
    Database,
    #[error("a cluster has no numbered databases; remove the text after the hosts")]
    DatabaseOfCluster,
    #[error(
        "it has an unknown parameter; sentinel addresses have master, sentinel_user and sentinel_password, others none"
    )]
    Parameter,
    #[error("it has a parameter twice")]
    ParameterTwice,
    #[error("?master=NAME is missing: the name under which the sentinels watch Redis")]
    MasterMissing,
    #[error("the name of the master must be letters, digits and the characters - _ and .")]
    MasterName,
    #[error("sentinel_user needs sentinel_password")]
    SentinelPasswordMissing,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        if url.len() > MAX_LENGTH {
            return Err(AddressError::TooLong);
        }
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(AddressError::Whitespace);
        }
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let (base, flavour) = scheme.split_once('+').unwrap_or((&scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(AddressError::Scheme),
        };
        if rest.contains('#') {
            return Err(AddressError::Shape);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // Then what was taken for the end of the hosts is in the password.
        if path.contains('@') || query.contains('@') {
            return Err(AddressError::Shape);
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(credentials(login)?), hosts),
            None => (None, authority),
        };
        let mut parameters = Parameters::read(query)?;
        let kind = match (flavour, scheme.contains('+')) {
            ("", false) => Kind::Single,
            ("cluster", _) => Kind::Cluster,
            ("sentinel", _) => parameters.sentinel()?,
            _ => return Err(AddressError::Scheme),
        };
        if parameters != Parameters::default() {
            return Err(AddressError::Parameter);
        }
        let db = database(path)?;
        if kind == Kind::Cluster && !path.is_empty() {
            return Err(AddressError::DatabaseOfCluster);
        }
        let nodes = nodes(hosts, kind.default_port())?;
        if kind == Kind::Single && nodes.len() > 1 {
            return Err(AddressError::SeveralNodes);
        }
        Ok(Self {
            kind,
            nodes,
            tls,
            credentials,
            db,
        })
    }
}

impl Kind {
    fn default_port(&self) -> u16 {
        match self {
            Self::Sentinel { .. } => SENTINEL_PORT,
            Self::Single | Self::Cluster => REDIS_PORT,
        }
    }
}

fn credentials(login: &str) -> Result<Credentials, AddressError> {
    if login.contains(['[', ']']) {
        return Err(AddressError::Brackets);
    }
    let (user, password) = login.split_once(':').ok_or(AddressError::Credentials)?;
    if password.is_empty() {
        return Err(AddressError::Credentials);
    }
    Ok(Credentials {
        user: (!user.is_empty()).then(|| decode(user)).transpose()?,
        password: Secret::new(decode(password)?),
    })
}

/// Percent-decoding that takes nothing on trust: a `%` that encodes nothing is an error, not a `%`.
fn decode(text: &str) -> Result<String, AddressError> {
    let mut after = text.split('%').skip(1).map(str::as_bytes);
    let encoded = after
        .all(|rest| matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()));
    if !encoded {
        return Err(AddressError::Encoding);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| AddressError::Encoding)
}

fn database(path: &str) -> Result<u32, AddressError> {
    if path.is_empty() {
        return Ok(0);
    }
    number(path)
        .filter(|db| *db <= i32::MAX.unsigned_abs())
        .ok_or(AddressError::Database)
}

/// A number of nothing but digits, as `str::parse` also takes a sign.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn nodes(hosts: &str, default_port: u16) -> Result<Vec<Node>, AddressError> {
    let mut nodes = Vec::new();
    for (host, n) in hosts.split(',').zip(1..) {
        if n > MAX_NODES {
            return Err(AddressError::TooManyNodes);
        }
        nodes.push(node(host, n, default_port)?);
    }
    Ok(nodes)
}

fn node(text: &str, n: usize, default_port: u16) -> Result<Node, AddressError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']').ok_or(AddressError::Host(n))?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| AddressError::Host(n))?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or(AddressError::Port(n))?),
        };
        (ip.to_string(), port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if !is_host(host) {
            return Err(AddressError::Host(n));
        }
        (host.to_ascii_lowercase(), port)
    };
    let port = match port {
        None => default_port,
        Some(port) => number(port)
            .filter(|port| *port != 0)
            .ok_or(AddressError::Port(n))?,
    };
    Ok(Node { host, port })
}

/// A host name or an IPv4 address. With underscores, which DNS does not have and containers do.
fn is_host(host: &str) -> bool {
    host.len() <= 253
        && host
            .strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(|label| {
                (1..=63).contains(&label.len())
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    master: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<Secret>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, AddressError> {
        let mut read = Self::default();
        if query.is_empty() {
            return Ok(read);
        }
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(AddressError::Parameter)?;
            if value.contains(['[', ']']) {
                return Err(AddressError::Brackets);
            }
            let value = decode(value)?;
            let before = match name {
                "master" => read.master.replace(value).is_some(),
                "sentinel_user" => read.sentinel_user.replace(value).is_some(),
                "sentinel_password" => {
                    let value = Secret::new(value);
                    read.sentinel_password.replace(value).is_some()
                }
                _ => return Err(AddressError::Parameter),
            };
            if before {
                return Err(AddressError::ParameterTwice);
            }
        }
        Ok(read)
    }

    /// Takes out what concerns sentinels.
    fn sentinel(&mut self) -> Result<Kind, AddressError> {
        let master = self.master.take().ok_or(AddressError::MasterMissing)?;
        // Names that sentinels allow: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if master.is_empty() || !master.bytes().all(allowed) {
            return Err(AddressError::MasterName);
        }
        let user = self.sentinel_user.take().filter(|user| !user.is_empty());
        let password = self.sentinel_password.take();
        let credentials = match (user, password.filter(|password| !password.is_empty())) {
            (None, None) => None,
            (Some(_), None) => return Err(AddressError::SentinelPasswordMissing),
            (user, Some(password)) => Some(Credentials { user, password }),
        };
        Ok(Kind::Sentinel {
            master,
            credentials,
        })
    }
}

/// The URL with `[secret]` in place of passwords. Those brackets are refused when a URL is read, so that
/// what was printed is not taken for the real one.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let flavour = match self.kind {
            Kind::Single => "",
            Kind::Sentinel { .. } => "+sentinel",
            Kind::Cluster => "+cluster",
        };
        let base = if self.tls { "rediss" } else { "redis" };
        write!(f, "{base}{flavour}://")?;
        if let Some(Credentials { user, password }) = &self.credentials {
            let user = user.as_deref().unwrap_or_default();
            write!(f, "{}:{password:?}@", encode(user))?;
        }
        for (node, separator) in self
            .nodes
            .iter()
            .zip(std::iter::once("").chain(std::iter::repeat(",")))
        {
            write!(f, "{separator}{node}")?;
        }
        if self.db != 0 {
            write!(f, "/{}", self.db)?;
        }
        if let Kind::Sentinel {
            master,
            credentials,
        } = &self.kind
        {
            write!(f, "?master={master}")?;
            if let Some(Credentials { user, password }) = credentials {
                if let Some(user) = user {
                    write!(f, "&sentinel_user={}", encode(user))?;
                }
                write!(f, "&sentinel_password={password:?}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests;
