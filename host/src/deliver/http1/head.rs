//! The head of an answer: its status and headers.
//!
//! Answers are parsed as leniently as by Python's requests, with which receivers have worked so far (ARCHITECTURE.md,
//! "HTTP/1.1 of our own"). The status decides about the delivery. A malformed header is left out and noted; so are the
//! headers after the end of the connection or after too many bytes. `tests/data/answers` has the cases, compared with
//! requests itself.

use std::fmt::Write as _;

use http::HeaderName;

use super::wire::{NoLine, Wire};
use crate::deliver::error::{self, SendError};

/// Bytes of status lines and headers, those of interim (1xx) answers included.
pub(in crate::deliver) const HEAD_BYTES: usize = 256 * 1024;

/// Interim answers before the real one.
const INTERIM: usize = 32;

/// Empty lines before a status line, which old servers send (RFC 9112 section 2.2).
const EMPTY_LINES: usize = 4;

/// Lines that a note names.
const NAMED: usize = 5;

/// An answer's status and headers.
#[derive(Debug)]
pub(in crate::deliver) struct Head {
    pub(in crate::deliver) status: u16,
    pub(in crate::deliver) version: &'static str,
    /// Names in lower case. In the order in which they came; malformed ones are left out.
    pub(in crate::deliver) fields: Vec<(String, Vec<u8>)>,
    /// Why not all of it is there, or is as it came.
    pub(in crate::deliver) notes: Vec<String>,
    /// Whether all of the head was read.
    pub(in crate::deliver) whole: bool,
}

impl Head {
    /// Whether nothing in it was malformed.
    pub(super) fn is_sound(&self) -> bool {
        self.whole && self.notes.is_empty()
    }

    /// The values of a header.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.fields.iter().filter(move |(n, _)| n == name);
        fields.map(|(_, value)| value.as_slice())
    }

    /// Whether a header, which is a list, has this item. Case does not matter.
    pub(super) fn has(&self, name: &str, item: &str) -> bool {
        let mut items = self
            .values(name)
            .flat_map(|v| v.split(|byte| *byte == b','));
        items.any(|i| i.trim_ascii().eq_ignore_ascii_case(item.as_bytes()))
    }
}

/// Reads heads up to the first that is of a final answer, at most so many bytes in all.
///
/// # Errors
/// When there is no status. With one there is an answer, whatever follows.
pub(in crate::deliver) async fn read(wire: &mut Wire, bytes: usize) -> Result<Head, SendError> {
    let mut room = bytes;
    for _ in 0..=INTERIM {
        let (version, status) = status(wire, &mut room).await?;
        let mut head = Head {
            status,
            version,
            fields: Vec::new(),
            notes: Vec::new(),
            whole: true,
        };
        let ended = fields(wire, &mut room, &mut head).await;
        // Nothing was offered that 101 could accept, so nothing follows it.
        let is_final = status == 101 || status >= 200;
        match ended {
            Ok(()) if !is_final => {}
            Err(NoLine::TooLong) if !is_final => break,
            Err(error) if !is_final => return Err(no_answer(error)),
            Ok(()) => return Ok(head),
            Err(error) => {
                head.whole = false;
                head.notes.push(cut_off(&error).to_owned());
                return Ok(head);
            }
        }
    }
    Err(SendError::Protocol(
        "it sent 1xx answers without end".to_owned(),
    ))
}

/// The version and the status code.
async fn status(wire: &mut Wire, room: &mut usize) -> Result<(&'static str, u16), SendError> {
    let mut empty = 0;
    loop {
        let line = wire.line(room).await.map_err(no_answer)?;
        let line = wire.text(line);
        if line.is_empty() && empty < EMPTY_LINES {
            empty += 1;
            continue;
        }
        let no_http = || {
            SendError::Protocol("its answer does not begin with an HTTP/1 status line".to_owned())
        };
        return parse_status(line).ok_or_else(no_http);
    }
}

fn parse_status(line: &[u8]) -> Option<(&'static str, u16)> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty());
    let version = match words.next()? {
        b"HTTP/1.0" | b"HTTP/0.9" => "HTTP/1.0",
        version if version.starts_with(b"HTTP/1.") => "HTTP/1.1",
        _ => return None,
    };
    let status = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    (100..=999).contains(&status).then_some((version, status))
}

/// Headers of one answer that are kept: each takes memory beside its text.
const MAX_FIELDS: usize = 1000;

/// Reads the headers up to the empty line.
async fn fields(wire: &mut Wire, room: &mut usize, head: &mut Head) -> Result<(), NoLine> {
    let mut left_out = LeftOut::default();
    // Whether the line before is one that can be continued, and was not left out.
    let mut continued = Continued::Nothing;
    let mut too_many = false;
    let ended = loop {
        let line = match wire.line(room).await {
            Ok(line) => wire.text(line),
            Err(error) => break Err(error),
        };
        left_out.line += 1;
        if line.is_empty() {
            break Ok(());
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            // A line of the value before (RFC 9112 section 5.2).
            match (&continued, head.fields.last_mut()) {
                (Continued::Kept, Some((_, value))) if is_value(line) => {
                    value.push(b' ');
                    value.extend_from_slice(line.trim_ascii());
                }
                (Continued::LeftOut, _) => {}
                _ => left_out.note("it continues no header"),
            }
            continue;
        }
        continued = match parse_field(line) {
            Ok(_) if head.fields.len() >= MAX_FIELDS => {
                too_many = true;
                Continued::LeftOut
            }
            Ok(field) => {
                head.fields.push(field);
                Continued::Kept
            }
            Err(why) => {
                left_out.note(why);
                Continued::LeftOut
            }
        };
    };
    if too_many {
        let told =
            format!("the receiver's answer has more headers than the {MAX_FIELDS} that are kept");
        head.notes.push(told);
    }
    head.notes.extend(left_out.told());
    ended
}

enum Continued {
    Nothing,
    Kept,
    LeftOut,
}

/// A header, or the error in it.
fn parse_field(line: &[u8]) -> Result<(String, Vec<u8>), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = colon
        .and_then(|at| line.split_at_checked(at))
        .ok_or("it has no colon")?;
    // Whitespace before the colon is to be ignored (RFC 9112 section 5.1).
    let name = name.trim_ascii_end();
    let name = HeaderName::from_bytes(name)
        .map_err(|_| "the text before the colon is not a valid header name")?;
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if !is_value(value) {
        return Err("it holds a control character");
    }
    Ok((name.as_str().to_owned(), value.to_vec()))
}

fn is_value(bytes: &[u8]) -> bool {
    let mut bytes = bytes.iter();
    bytes.all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// The lines that are no headers.
#[derive(Default)]
struct LeftOut {
    line: usize,
    count: usize,
    /// The first of them.
    text: String,
}

impl LeftOut {
    /// Nothing of the line itself is told: it may hold anything, an echo of a secret too.
    fn note(&mut self, why: &str) {
        self.count += 1;
        if self.count <= NAMED {
            let comma = if self.text.is_empty() { "" } else { "; " };
            // Writing to a string does not fail.
            let _ = write!(self.text, "{comma}line {}: {why}", self.line);
        }
    }

    fn told(self) -> Option<String> {
        let Self { count, text, .. } = self;
        let more = match count.saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let told = format!(
            "the receiver's answer has header lines that are not valid HTTP, which were left out ({text}{more})"
        );
        (count > 0).then_some(told)
    }
}

fn cut_off(error: &NoLine) -> &'static str {
    match error {
        NoLine::Closed | NoLine::Broken(_) => {
            "the receiver's answer ended within its headers, so that some may be missing"
        }
        NoLine::TooLong => "the receiver's answer has more headers than are read",
    }
}

fn no_answer(error: NoLine) -> SendError {
    match error {
        NoLine::Closed => SendError::Protocol("the connection was closed too early".to_owned()),
        NoLine::TooLong => {
            SendError::Protocol("it sent more than is read, without an answer".to_owned())
        }
        NoLine::Broken(error) => error::of_answer(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read_as_pythons_http_client_does() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK", Some(("HTTP/1.1", 200))),
            ("HTTP/1.1 200", Some(("HTTP/1.1", 200))),
            ("HTTP/1.0 204 No Content", Some(("HTTP/1.0", 204))),
            ("HTTP/1.7  299\tx", Some(("HTTP/1.1", 299))),
            ("HTTP/1.1 0200 OK", Some(("HTTP/1.1", 200))),
            ("HTTP/1.1 999 Odd", Some(("HTTP/1.1", 999))),
            ("HTTP/1.1 99 Low", None),
            ("HTTP/1.1 1000 High", None),
            ("HTTP/1.1 99999999 High", None),
            ("HTTP/1.1 -200 OK", None),
            ("HTTP/1.1", None),
            ("HTTP/2 200", None),
            ("http/1.1 200 OK", None),
            ("ICY 200 OK", None),
            ("", None),
        ] {
            assert_eq!(parse_status(line.as_bytes()), expected, "{line:?}");
        }
    }
}
