//! The response, as far as it is kept.

use std::{net::SocketAddr, time::Duration};

use jiff::{civil::DateTime, tz::Offset};

use crate::{
    model::Timestamp,
    record::{Body, ResponseRecord},
    request::Redactor,
};

/// Bytes of response headers that are kept. With HTTP/1.1 up to 256 KiB of them are read, with HTTP/2 64 KiB.
const HEADER_BYTES: usize = 32 * 1024;

/// The longest wait that [`Response::retry_after`] can be; the worker has a limit of its own.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: &'static str,
    /// The address that answered; with a proxy the one it was asked to connect to, none if that was a name.
    pub peer: Option<SocketAddr>,
    /// Names in lower case, values read as UTF-8 or else as Latin-1. The first 32 KiB.
    pub headers: Vec<(String, String)>,
    /// The first `delivery.response_bytes` of the body, in the encoding in which it came.
    pub body: Vec<u8>,
    /// Whether there was, or may have been, more.
    pub truncated: bool,
    /// Time that the receiver asks to wait, at most a year.
    pub retry_after: Option<Duration>,
    /// Microseconds from the start of sending to the headers, connecting included.
    pub response_us: u64,
    /// Microseconds spent on the body.
    pub body_us: u64,
    /// Its malformed parts, one sentence each. Nothing that the receiver sent is quoted.
    pub notes: Vec<String>,
}

impl Response {
    /// A response without its body and its times. The fields' names are in lower case.
    pub(super) fn new(
        status: u16,
        version: &'static str,
        peer: Option<SocketAddr>,
        fields: &[(&str, &[u8])],
    ) -> Self {
        let wait = fields.iter().find(|(name, _)| *name == "retry-after");
        let (headers, all) = kept_headers(fields);
        Self {
            status,
            version,
            peer,
            headers,
            body: Vec::new(),
            truncated: !all,
            retry_after: wait.and_then(|(_, value)| retry_after(value, Timestamp::now())),
            response_us: 0,
            body_us: 0,
            notes: Vec::new(),
        }
    }

    /// Whether the receiver took the delivery: 2xx.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether the request went over HTTP/2, which has header names in lower case alone.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.version == "HTTP/2.0"
    }

    /// The response as it is stored and shown: the secrets that the request carried are hidden, should the
    /// receiver have echoed them, and where it went if that is secret.
    #[must_use]
    pub fn record(&self, redactor: &Redactor) -> ResponseRecord {
        let header = |(name, value): &(String, String)| {
            (redactor.redact_text(name), redactor.redact_text(value))
        };
        let peer = self.peer.map(|peer| match redactor.hides_destination() {
            true => "[redacted]".to_owned(),
            false => peer.to_string(),
        });
        ResponseRecord {
            status: self.status,
            version: self.version.to_owned(),
            peer,
            headers: self.headers.iter().map(header).collect(),
            body: Body::new_cut(&redactor.redact(&self.body, self.truncated)),
            truncated: self.truncated,
        }
    }
}

/// Bytes that a header takes in the record beside its text.
const FIELD_BYTES: usize = 32;

/// The headers to keep, and whether that is all of them.
fn kept_headers(fields: &[(&str, &[u8])]) -> (Vec<(String, String)>, bool) {
    let mut room = HEADER_BYTES;
    let mut kept = Vec::new();
    for (name, value) in fields {
        let Some(left) = room.checked_sub(name.len() + value.len() + FIELD_BYTES) else {
            return (kept, false);
        };
        room = left;
        kept.push(((*name).to_owned(), text(value)));
    }
    (kept, true)
}

fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().copied().map(char::from).collect(),
        str::to_owned,
    )
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date in one of the three forms of section
/// 5.6.7. A date in the past is no wait; any other text is ignored.
fn retry_after(value: &[u8], now: Timestamp) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // Digits that do not fit are a long wait all the same.
        value.parse().map_or(LONGEST_WAIT, Duration::from_secs)
    } else {
        http_date(value)?.since(now)
    };
    Some(wait.min(LONGEST_WAIT))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let forms = [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ];
    let date = forms
        .iter()
        .find_map(|form| DateTime::strptime(form, text).ok())?;
    let instant = Offset::UTC.to_timestamp(date).ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str) -> Option<u64> {
        let now = Timestamp::parse("1994-11-06T08:49:00Z").unwrap();
        retry_after(value.as_bytes(), now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(wait("Sunday, 06-Nov-94 08:49:37 GMT"), Some(37));
        assert_eq!(wait("Sun Nov  6 08:49:37 1994"), Some(37));
    }

    #[test]
    fn retry_after_in_the_past_is_no_wait_and_nonsense_is_ignored() {
        assert_eq!(wait("Sat, 05 Nov 1994 08:49:37 GMT"), Some(0));
        for nonsense in [
            "",
            "-1",
            "1.5",
            "soon",
            "12 34",
            "Sun, 99 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(wait(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn an_endless_retry_after_is_a_year() {
        let year = LONGEST_WAIT.as_secs();
        assert_eq!(wait("99999999999999999999999999"), Some(year));
        assert_eq!(wait("18446744073709551615"), Some(year));
        assert_eq!(wait("Wed, 01 Jan 9000 00:00:00 GMT"), Some(year));
    }

    #[test]
    fn kept_headers_end_at_the_limit() {
        let long = vec![b'x'; HEADER_BYTES - 5];
        let fields = [("x-a", &b"1"[..]), ("x-b", &long), ("x-c", b"1")];
        let (kept, all) = kept_headers(&fields);
        assert_eq!(kept, [("x-a".to_owned(), "1".to_owned()),]);
        assert!(!all);
    }
}
