//! From a rendered text to the URL that is requested.
//!
//! NetBox hands the text to Python's `requests`, and templates rely on what that forgives: space before
//! the URL, spaces and line breaks inside it, characters that need percent-encoding. The same is forgiven
//! here. The `url` crate (WHATWG) forgives in other ways, which could make an address look like another:
//! it drops tabs and line breaks, reads `\` as `/` and adds missing slashes. So the text is quoted as
//! `requests` would do before that crate sees it.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{RequestContext, invalid, too_large};
use crate::sandbox::RenderError;

const FIELD: &str = "payload_url";
/// Where `urllib3` sees the end of user information, host and port.
const AUTHORITY_ENDS: [char; 4] = ['/', '\\', '?', '#'];

/// A validated URL.
pub(super) struct Target {
    /// http or https, without user information and fragment. May hold secrets.
    pub(super) url: Url,
    /// `Authorization: Basic …`'s value, if the URL had user information.
    pub(super) basic: Option<String>,
    /// The URL as it may be shown.
    pub(super) shown: String,
    /// The host as it may be shown.
    pub(super) shown_host: String,
    /// Whether scheme, host or port hold a secret, whatever its value.
    pub(super) is_secret: bool,
}

pub(super) fn target(rendered: &str, ctx: &RequestContext<'_>) -> Result<Target, RenderError> {
    let limit = ctx.limits.url_bytes;
    let over = || too_large(format!("the URL is over its limit of {limit} bytes")).in_field(FIELD);
    let rendered = rendered.trim_start();
    if rendered.len() > limit {
        return Err(over());
    }
    let refused = |message: String| invalid(message).in_field(FIELD);
    let substituted = ctx
        .secrets
        .substitute_text(rendered, limit)
        .map_err(|_| over())?;
    let Some((sent, marked)) = substituted else {
        let (url, basic) = parse(rendered).map_err(refused)?;
        if url.as_str().len() > limit {
            return Err(over());
        }
        return Ok(Target {
            shown: url.to_string(),
            shown_host: host_of(&url),
            url,
            basic,
            is_secret: false,
        });
    };
    let template = parse(rendered).ok().map(|(url, _)| url);
    let (shown, shown_host) = redact(template.as_ref(), &marked, ctx);
    let is_secret =
        template.is_none() || destination(rendered).any(|part| ctx.secrets.stand_in(part));
    let sent = match is_secret && ctx.secrets.are_stand_ins() {
        true => UNKNOWN,
        false => &sent,
    };
    let (url, basic) = parse(sent).map_err(|_| refused(WITH_SECRETS.to_owned()))?;
    if let Some(template) = template.filter(|_| !is_secret)
        && (template.host() != url.host()
            || template.port_or_known_default() != url.port_or_known_default())
    {
        return Err(refused(ENDS_CREDENTIALS.to_owned()));
    }
    if url.as_str().len() > limit {
        return Err(over());
    }
    Ok(Target {
        url,
        basic,
        shown,
        shown_host,
        is_secret,
    })
}

/// The URL of a dry run whose scheme, host or port depends on a secret's value (RFC 6761 section 6.4).
const UNKNOWN: &str = "https://secret.invalid/";

/// The error of a URL that holds a secret. It is the same for all faults, as details would reveal the value.
const WITH_SECRETS: &str = "the URL, with its secrets put in, is not valid: it must start with http:// or \
     https://, name a host, and have only characters up to U+00FF (Latin-1) in user name and password";
const ENDS_CREDENTIALS: &str = "a secret in the URL's user name or password holds a character that ends them; \
     store it percent-encoded";

/// Of a rendered URL the scheme, and the host with its port. All of a text that has no scheme.
fn destination(rendered: &str) -> impl Iterator<Item = &str> {
    let (scheme, rest) = rendered.split_once("://").unwrap_or((rendered, ""));
    let authority = rest.split(AUTHORITY_ENDS).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    [scheme, host].into_iter()
}

/// A URL with secrets in the form in which it is shown. It is parsed with the handles in the places of the secrets, so
/// that it reads like the URL that is sent, and then the handles are replaced. If the text with the handles is not a
/// URL, the template's output is shown, unless that could hold a password of its own.
fn redact(template: Option<&Url>, marked: &str, ctx: &RequestContext<'_>) -> (String, String) {
    let mark = |text: String| match ctx.secrets.substitute_text(&text, usize::MAX) {
        Ok(Some((_, shown))) => shown,
        _ => text,
    };
    match template {
        Some(url) => (mark(url.to_string()), mark(host_of(url))),
        None if marked.contains('@') => ("[redacted]".to_owned(), "[redacted]".to_owned()),
        None => (marked.to_owned(), "[redacted]".to_owned()),
    }
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The URL and the credentials it carried. The errors do not quote the text: it may hold secrets.
fn parse(text: &str) -> Result<(Url, Option<String>), String> {
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme)
            .then(|| text.get(scheme.len()..))?
    });
    let Some(after_scheme) = after_scheme else {
        let found = match text {
            "" => "it is empty",
            _ if text.contains("://") => "it has another scheme",
            _ => "it has no scheme",
        };
        return Err(format!(
            "the URL must start with http:// or https://, and {found}"
        ));
    };
    if after_scheme.starts_with(AUTHORITY_ENDS) || after_scheme.is_empty() {
        return Err("the URL names no host".to_owned());
    }
    let authority = after_scheme.find(AUTHORITY_ENDS);
    let path = text.len() - after_scheme.len() + authority.unwrap_or(after_scheme.len());
    let text = match text.split_at_checked(path) {
        // A path that begins so stands behind the slash that it lacks.
        Some((head, tail)) if tail.starts_with('\\') => Cow::Owned(format!("{head}/{tail}")),
        _ => Cow::Borrowed(text),
    };
    let mut url = Url::parse(&quote(&text)).map_err(|e| format!("the URL is not valid: {e}"))?;

    if url
        .host_str()
        .is_some_and(|host| host.starts_with(['.', '*']))
    {
        return Err("the URL's host has an empty label or a wildcard".to_owned());
    }

    let basic = credentials(after_scheme, &url)?;
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    if stripped.is_err() {
        return Err("the URL names no host".to_owned());
    }
    url.set_fragment(None);
    // `requests` sends no question mark without a query.
    if url.query() == Some("") {
        url.set_query(None);
    }

    // The client dials the host that the `http` crate parses from this text; the guard checks the host that the `url`
    // crate parses. They must not differ.
    let uri = http::Uri::try_from(url.as_str())
        .map_err(|_| "the URL holds characters that cannot be sent".to_owned())?;
    let same_port = uri.port_u16().or(default_port(&uri)) == url.port_or_known_default();
    if uri.host() != url.host_str() || !same_port {
        return Err("the URL's host is ambiguous".to_owned());
    }
    Ok((url, basic))
}

/// The value of `Authorization` for a URL's user information. As in `requests`, a user without a colon and a
/// password is none, and the text is sent in Latin-1.
fn credentials(after_scheme: &str, url: &Url) -> Result<Option<String>, String> {
    let authority = after_scheme.split(AUTHORITY_ENDS).next();
    let user_info = authority.and_then(|a| Some(a.rsplit_once('@')?.0));
    let password = url.password().unwrap_or_default();
    if !user_info.is_some_and(|u| u.contains(':'))
        || (url.username().is_empty() && password.is_empty())
    {
        return Ok(None);
    }
    let mut credentials = Vec::new();
    for (i, part) in [url.username(), password].into_iter().enumerate() {
        if i > 0 {
            credentials.push(b':');
        }
        for c in percent_decode_str(part).decode_utf8_lossy().chars() {
            let byte = u8::try_from(c).map_err(|_| {
                "the URL's user name or password holds a character that cannot be sent: only those up to U+00FF \
                 (Latin-1) can"
                    .to_owned()
            })?;
            credentials.push(byte);
        }
    }
    Ok(Some(format!("Basic {}", STANDARD.encode(credentials))))
}

fn default_port(uri: &http::Uri) -> Option<u16> {
    match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    }
}

/// Quotes as `requests` and its `urllib3` do: in the path and the query, every ASCII character that is neither
/// unreserved nor reserved (RFC 3986) is percent-encoded, control characters, `\` and brackets among them.
/// Characters beyond ASCII stay, for the URL parser to turn into punycode or UTF-8 by where they stand.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let authority = text.find("://").map_or(0, |at| at + 3);
    let rest = text.get(authority..).unwrap_or_default();
    let path = authority + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (head, tail) = (
        text.get(..path).unwrap_or(text),
        text.get(path..).unwrap_or_default(),
    );
    quote_part(&mut quoted, head, "[]");
    let query = tail.find(['?', '#']).unwrap_or(tail.len());
    for part in [tail.get(..query), tail.get(query..)].into_iter().flatten() {
        quote_part(&mut quoted, part, "");
    }
    quoted
}

/// One part of a URL. If each `%` in it begins an escape, the escapes stay, in upper case, but for those of
/// unreserved characters, which are not needed. Otherwise all `%` stand for themselves; even then the digits
/// of those that look like escapes become upper case.
fn quote_part(quoted: &mut String, part: &str, also_kept: &str) {
    let escaped = |at: usize| {
        let digits = part.get(at + 1..at + 3)?;
        let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
    };
    let has_escapes = part.match_indices('%').all(|(at, _)| escaped(at).is_some());
    let is_unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let mut skipped_to = 0;
    for (at, c) in part.char_indices() {
        if at < skipped_to {
            continue;
        }
        if let ('%', Some(byte)) = (c, escaped(at)) {
            skipped_to = at + 3;
            if !has_escapes {
                quoted.push_str(&format!("%25{byte:02X}"));
            } else if is_unreserved(char::from(byte)) {
                quoted.push(char::from(byte));
            } else {
                quoted.push_str(&format!("%{byte:02X}"));
            }
        } else if !c.is_ascii()
            || is_unreserved(c)
            || "!#$&'()*+,/:;=?@".contains(c)
            || also_kept.contains(c)
        {
            quoted.push(c);
        } else {
            quoted.push_str(&format!("%{:02X}", u32::from(c)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(text: &str) -> Result<String, String> {
        parse(text.trim_start()).map(|(url, _)| url.to_string())
    }

    #[test]
    fn what_requests_forgives_is_forgiven() {
        for (rendered, expected) in [
            ("  http://Example.COM", "http://example.com/"),
            ("HTTPS://example.com/a b", "https://example.com/a%20b"),
            ("http://example.com/a ", "http://example.com/a%20"),
            (
                "http://example.com/?q=a\r\nb\tc",
                "http://example.com/?q=a%0D%0Ab%09c",
            ),
            ("http://example.com/ü?ü", "http://example.com/%C3%BC?%C3%BC"),
            ("http://bücher.example/", "http://xn--bcher-kva.example/"),
            ("http://example.com/100%", "http://example.com/100%25"),
            ("http://example.com/%7Bx%7D", "http://example.com/%7Bx%7D"),
            ("http://example.com/{x}|", "http://example.com/%7Bx%7D%7C"),
            ("http://example.com/a\\b", "http://example.com/a%5Cb"),
            ("http://example.com/p#fragment", "http://example.com/p"),
            ("http://under_score/", "http://under_score/"),
        ] {
            assert_eq!(sent(rendered).as_deref(), Ok(expected), "{rendered:?}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_ends_as_that_address() {
        for spelling in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "127。0。0。1",
            "①②⑦.0.0.1",
        ] {
            assert_eq!(
                sent(&format!("http://{spelling}/")).as_deref(),
                Ok("http://127.0.0.1/"),
                "{spelling}"
            );
        }
        assert_eq!(
            sent("http://[::ffff:127.0.0.1]/").as_deref(),
            Ok("http://[::ffff:7f00:1]/")
        );
    }

    #[test]
    fn what_names_no_host_to_requests_is_refused() {
        for rendered in [
            "",
            "example.com/x",
            "//example.com/x",
            "ftp://example.com",
            "file:///etc/passwd",
            "javascript:x",
            "http:example.com",
            "http:/example.com",
            "http:///example.com",
            "http://",
            "http://?q",
            "http://#",
            "http://:80/",
            "http://user@/",
            "http:\\\\example.com",
            "http://a b.example/",
            "http://ex\nample.com/",
            "http://ex\tample.com/",
            "http://example.com:99999/",
            "http://example.com:x/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://1.2.3.4.5/",
            "http://a%00b/",
        ] {
            assert!(
                sent(rendered).is_err(),
                "{rendered:?} became {:?}",
                sent(rendered)
            );
        }
    }

    #[test]
    fn credentials_leave_the_url() {
        let (url, basic) = parse("http://us%3Aer:p%40ss@example.com/x").unwrap();
        assert_eq!(url.as_str(), "http://example.com/x");
        assert_eq!(
            basic,
            Some(format!("Basic {}", STANDARD.encode("us:er:p@ss")))
        );
        assert_eq!(parse("http://@example.com/x").unwrap().1, None);
        // A path begins at a backslash, to `requests` as to browsers: what follows is no host.
        let (url, _) = parse(r"http://example.com\@other.example/").unwrap();
        assert_eq!(url.as_str(), "http://example.com/%5C@other.example/");
        let (url, basic) =
            parse(r"http://a:b\@other.example/").map_or((None, None), |(u, b)| (Some(u), b));
        assert_eq!((url, basic), (None, None), "b is no port");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_clean_url_or_an_error(text in "(http://|https://)?[ -~\\t\\r\\nü／。@:/\\\\]{0,40}") {
            if let Ok((url, _)) = parse(&text) {
                prop_assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(matches!(url.scheme(), "http" | "https"));
                prop_assert!(url.host_str().is_some_and(|h| !h.is_empty()));
                prop_assert!(url.username().is_empty() && url.password().is_none());
            }
        }
    }
}
