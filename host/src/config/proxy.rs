//! `delivery.proxy` and `delivery.no_proxy`.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::{Host, Url};

use crate::model::Secret;

/// Longer ones are nobody's proxy.
const MAX_URL: usize = 4096;

/// The proxy for deliveries, or nothing, which an empty text stands for. It serialises without the password,
/// and what it serialises to is refused if it had one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyUrl(Option<ProxyAddress>);

impl ProxyUrl {
    /// The proxy, if there is one.
    #[must_use]
    pub const fn address(&self) -> Option<&ProxyAddress> {
        self.0.as_ref()
    }
}

impl From<ProxyAddress> for ProxyUrl {
    fn from(address: ProxyAddress) -> Self {
        Self(Some(address))
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for ProxyUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let address: ProxyAddress = text
            .parse()
            .map_err(|e| D::Error::custom(format_args!("not a valid URL of a proxy: {e}")))?;
        Ok(address.into())
    }
}

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// HTTP's CONNECT (RFC 9110 section 9.3.6).
    Http,
    /// The same within TLS.
    Https,
    /// SOCKS version 5 (RFC 1928).
    Socks5,
}

/// A proxy, parsed from its URL. Neither `Debug` nor `Display` shows the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    /// The protocol.
    pub scheme: ProxyScheme,
    /// The host.
    pub host: Host,
    /// The port: by default 80, 443 or 1080.
    pub port: u16,
    /// The credentials that hookbox sends to the proxy.
    pub credentials: Option<ProxyCredentials>,
}

/// A user and a password for a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyCredentials {
    /// Not empty and without a colon, as HTTP's Basic has it.
    pub user: String,
    /// May be empty.
    pub password: Secret,
}

/// The error of a proxy's URL. It quotes nothing of it: with a character that is not encoded, any part may
/// be a piece of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each says in its text what it is")]
pub enum ProxyUrlError {
    #[error("it is longer than {MAX_URL} bytes")]
    TooLong,
    #[error("it must begin with http://, https:// or socks5://")]
    Scheme,
    #[error("socks5h:// is written as socks5:// with delivery.proxy_resolves = true")]
    Socks5h,
    #[error(
        "it must be SCHEME://[USER:PASSWORD@]HOST[:PORT] and nothing more; in user and password, write / as %2F, \
         ? as %3F, # as %23, @ as %40 and % as %25"
    )]
    Shape,
    #[error(
        "user or password has [ or ]; write them as %5B and %5D. If it is [secret], which hookbox prints in place of passwords, write the password itself"
    )]
    Brackets,
    #[error(
        "the user must not be empty or have a colon, and neither user nor password may have control characters"
    )]
    Credentials,
    #[error("user and password may have at most 255 bytes each, the limit of SOCKS5")]
    LongCredentials,
}

impl FromStr for ProxyAddress {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        if text.len() > MAX_URL {
            return Err(ProxyUrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(ProxyUrlError::Scheme)?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyScheme::Http, 80),
            "https" => (ProxyScheme::Https, 443),
            "socks5" => (ProxyScheme::Socks5, 1080),
            "socks5h" => return Err(ProxyUrlError::Socks5h),
            _ => return Err(ProxyUrlError::Scheme),
        };
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if login.is_some_and(|login| login.contains(['[', ']'])) {
            return Err(ProxyUrlError::Brackets);
        }
        // Characters that the `url` crate would forgive or take for the end of the host.
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/\\?#@".contains(c);
        if place.ends_with(':')
            || place.contains(odd)
            || login.is_some_and(|login| login.contains(odd))
        {
            return Err(ProxyUrlError::Shape);
        }
        // As http, so that the host is read in the same way whatever the scheme.
        let url = Url::parse(&format!("http://{place}/")).map_err(|_| ProxyUrlError::Shape)?;
        let has_port = !place.ends_with(']') && place.contains(':');
        let port = match url.port_or_known_default() {
            Some(port) if has_port => port,
            _ => default_port,
        };
        Ok(Self {
            scheme,
            host: url.host().ok_or(ProxyUrlError::Shape)?.to_owned(),
            port: Some(port)
                .filter(|port| *port != 0)
                .ok_or(ProxyUrlError::Shape)?,
            credentials: login.map(|login| credentials(login, scheme)).transpose()?,
        })
    }
}

fn credentials(login: &str, scheme: ProxyScheme) -> Result<ProxyCredentials, ProxyUrlError> {
    let decode = |text: &str| {
        // A lone % would stay one; who wrote it may have meant something else.
        let encoded = text.split('%').skip(1).all(
            |rest| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
        );
        let decoded = percent_decode_str(text).decode_utf8().ok()?;
        encoded.then(|| decoded.into_owned())
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let user = decode(user).ok_or(ProxyUrlError::Shape)?;
    let password = decode(password).ok_or(ProxyUrlError::Shape)?;
    let controls = |text: &str| text.chars().any(char::is_control);
    if user.is_empty() || user.contains(':') || controls(&user) || controls(&password) {
        return Err(ProxyUrlError::Credentials);
    }
    if scheme == ProxyScheme::Socks5 && user.len().max(password.len()) > 255 {
        return Err(ProxyUrlError::LongCredentials);
    }
    Ok(ProxyCredentials {
        user,
        password: Secret::new(password),
    })
}

/// The URL with `[secret]` in place of the password, which is refused when a URL is read.
impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            ProxyScheme::Http => "http",
            ProxyScheme::Https => "https",
            ProxyScheme::Socks5 => "socks5",
        };
        write!(f, "{scheme}://")?;
        if let Some(ProxyCredentials { user, password }) = &self.credentials {
            write!(f, "{}", utf8_percent_encode(user, NON_ALPHANUMERIC))?;
            if !password.is_empty() {
                write!(f, ":{password:?}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A destination that is reached without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoProxy {
    /// A host, and all whose names end in a dot and its name. Lower case, without dots at its ends.
    Host(String),
    /// Addresses, and names that have no others.
    Network(IpNet),
}

/// The error of an entry of `delivery.no_proxy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be a host name such as \"corp.example\", which stands for all below it too, an address, or a network \
     such as \"10.0.0.0/8\"; without a scheme or port"
)]
pub struct NoProxyError;

impl FromStr for NoProxy {
    type Err = NoProxyError;

    fn from_str(text: &str) -> Result<Self, NoProxyError> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Network(ip.into()));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let name = name.strip_prefix('.').unwrap_or(name);
        match Host::parse(name.strip_suffix('.').unwrap_or(name)) {
            Ok(Host::Domain(name)) if !name.contains('*') && !name.starts_with('.') => {
                Ok(Self::Host(name))
            }
            _ => Err(NoProxyError),
        }
    }
}

impl fmt::Display for NoProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

impl Serialize for NoProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NoProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|e| D::Error::custom(format_args!("{text:?}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<ProxyAddress, ProxyUrlError> {
        url.parse()
    }

    #[test]
    fn a_proxy_is_read_with_its_defaults_and_shown_without_its_password() {
        for (url, shown) in [
            ("http://proxy.example", "http://proxy.example:80"),
            ("HTTP://Proxy.Example:3128/", "http://proxy.example:3128"),
            ("https://proxy.example", "https://proxy.example:443"),
            ("https://proxy.example:80", "https://proxy.example:80"),
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("socks5://[fd00::1]", "socks5://[fd00::1]:1080"),
            ("socks5://[fd00::1]:80", "socks5://[fd00::1]:80"),
            ("http://user@proxy.example:1", "http://user@proxy.example:1"),
            (
                "http://us%20er:p%40ss@proxy.example:1",
                "http://us%20er:[secret]@proxy.example:1",
            ),
        ] {
            let proxy = parse(url).expect(url);
            assert_eq!(proxy.to_string(), shown);
            assert!(!format!("{proxy:?}").contains("p@ss"));
        }
        let credentials = parse("http://us%20er:p%40:s%5D@h")
            .expect("read")
            .credentials;
        let credentials = credentials.expect("credentials");
        assert_eq!(
            (credentials.user.as_str(), credentials.password.expose()),
            ("us er", "p@:s]")
        );
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_quoting_it() {
        let long = format!("socks5://u:{}@h", "hush".repeat(64));
        for (url, error) in [
            ("proxy.example:3128", ProxyUrlError::Scheme),
            ("ftp://hush@h", ProxyUrlError::Scheme),
            ("socks5h://hush@h", ProxyUrlError::Socks5h),
            ("http://", ProxyUrlError::Shape),
            ("http://u:hush@", ProxyUrlError::Shape),
            ("http://h:0", ProxyUrlError::Shape),
            ("http://h:", ProxyUrlError::Shape),
            ("http://h:hush", ProxyUrlError::Shape),
            ("http://h:99999", ProxyUrlError::Shape),
            ("http://u:hush/@h", ProxyUrlError::Shape),
            ("http://u:12/hush@h", ProxyUrlError::Shape),
            ("http://u:hu#sh@h", ProxyUrlError::Shape),
            ("http://u:hu@sh@h", ProxyUrlError::Shape),
            ("http://u:hush%@h", ProxyUrlError::Shape),
            ("http://u:hush%ff@h", ProxyUrlError::Shape),
            ("http://h/hush", ProxyUrlError::Shape),
            ("http://h?hush", ProxyUrlError::Shape),
            ("http://h\\hush", ProxyUrlError::Shape),
            ("http://h\n", ProxyUrlError::Shape),
            ("http://u:[secret]@h", ProxyUrlError::Brackets),
            ("http://:hush@h", ProxyUrlError::Credentials),
            ("http://a%3Ab:hush@h", ProxyUrlError::Credentials),
            ("http://u:hush%0D%0AX@h", ProxyUrlError::Credentials),
            (&long, ProxyUrlError::LongCredentials),
            (&"http://hush".repeat(500), ProxyUrlError::TooLong),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
            assert!(!error.to_string().contains("hush"));
        }
    }

    #[test]
    fn exceptions_are_names_addresses_and_networks() {
        for (text, read) in [
            ("Corp.Example", "corp.example"),
            (".corp.example", "corp.example"),
            ("*.corp.example.", "corp.example"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("[fd00::1]", "fd00::1/128"),
        ] {
            assert_eq!(text.parse::<NoProxy>().expect(text).to_string(), read);
        }
        for wrong in [
            "",
            "*",
            ".",
            "*.*",
            "a.*",
            "http://a",
            "a:80",
            "[fd00::1]:80",
            "a b",
            "10.0.0.0/40",
        ] {
            assert_eq!(wrong.parse::<NoProxy>(), Err(NoProxyError), "{wrong}");
        }
    }
}
