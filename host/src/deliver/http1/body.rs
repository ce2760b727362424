//! An answer's body: where it ends, and as much of it as is kept.

use std::collections::HashSet;

use super::{
    head::Head,
    wire::{NoLine, Wire},
};

/// Bytes of a line with a chunk's size, extensions included.
const SIZE_LINE: usize = 4 * 1024;

/// Bytes of trailers, which are not kept.
const TRAILERS: usize = 16 * 1024;

/// Where a body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// Where the connection does.
    Close,
}

/// The state of the connection after reading a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the body's end, and the connection is at the next message.
    Clean,
    /// At the body's end; where the next message would begin is not certain.
    Whole,
    /// Before the body's end, or at an unknown place.
    Cut,
}

impl Framing {
    /// The framing of this answer's body. A body with contradictory framing is read up to the end of the connection,
    /// and the contradiction is noted.
    pub(super) fn of(head: &mut Head) -> Self {
        // Nothing is known of the bytes after an incomplete head.
        if !head.whole || head.status < 200 || matches!(head.status, 204 | 304) {
            return Self::Length(0);
        }
        let has_length = head.values("content-length").next().is_some();
        let coding = head.values("transfer-encoding").last();
        if let Some(coding) = coding {
            let last = coding.rsplit(|byte| *byte == b',').next();
            let chunked = last.is_some_and(|c| c.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            if has_length {
                let counts = if chunked { "second" } else { "first" };
                head.notes.push(format!(
                    "the receiver's answer has a Content-Length and a Transfer-Encoding; the {counts} counts"
                ));
            }
            if chunked {
                return Self::Chunked;
            }
            // As for Python's client, other codings say nothing of where the body ends.
        }
        if !has_length {
            return Self::Close;
        }
        let lengths: HashSet<_> = head
            .values("content-length")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(length)
            .collect();
        match lengths.into_iter().collect::<Vec<_>>().as_slice() {
            [Some(length)] => Self::Length(*length),
            _ => {
                head.notes
                    .push("the receiver's answer has an invalid Content-Length".to_owned());
                Self::Close
            }
        }
    }
}

/// Digits alone (RFC 9110 section 8.6).
fn length(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Reads a body into `kept`, at most until that has `cap` bytes.
pub(super) async fn read(wire: &mut Wire, framing: Framing, cap: usize, kept: &mut Vec<u8>) -> End {
    match framing {
        Framing::Length(length) => match take(wire, length, cap, kept).await {
            Taken::All => End::Clean,
            Taken::Some => End::Cut,
        },
        Framing::Chunked => chunks(wire, cap, kept).await,
        Framing::Close => loop {
            take_unused(wire, u64::MAX, cap, kept);
            // Full: whether the end follows is only known by waiting for it.
            if kept.len() >= cap {
                break End::Cut;
            }
            match wire.fill().await {
                Ok(0) => break End::Whole,
                Ok(_) => {}
                Err(_) => break End::Cut,
            }
        },
    }
}

async fn chunks(wire: &mut Wire, cap: usize, kept: &mut Vec<u8>) -> End {
    loop {
        let mut room = SIZE_LINE;
        let Ok(size) = wire.line(&mut room).await else {
            return End::Cut;
        };
        let Some(size) = chunk_size(wire.text(size)) else {
            return End::Cut;
        };
        if size == 0 {
            break;
        }
        let taken = take(wire, size, cap, kept).await;
        // Full: whether the end follows is only known by waiting for it.
        if matches!(taken, Taken::Some) || kept.len() >= cap {
            return End::Cut;
        }
        // The data's own end of line.
        match wire.line(&mut 2).await {
            Ok(line) if line.is_empty() => {}
            _ => return End::Cut,
        }
    }
    let mut room = TRAILERS;
    loop {
        match wire.line(&mut room).await {
            Ok(line) if line.is_empty() => return End::Clean,
            Ok(_) => {}
            Err(NoLine::Closed | NoLine::TooLong | NoLine::Broken(_)) => return End::Whole,
        }
    }
}

/// The size in a line such as `1f;name=value`.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let digits = std::str::from_utf8(digits).ok()?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u64::from_str_radix(digits, 16).ok())?
}

enum Taken {
    All,
    Some,
}

/// Takes so many bytes, or as many as there is room for.
async fn take(wire: &mut Wire, bytes: u64, cap: usize, kept: &mut Vec<u8>) -> Taken {
    let mut left = bytes;
    loop {
        left -= take_unused(wire, left, cap, kept);
        if left == 0 {
            return Taken::All;
        }
        if kept.len() >= cap || !matches!(wire.fill().await, Ok(1..)) {
            return Taken::Some;
        }
    }
}

/// Takes what is there of so many bytes and fits. Returns how many that were.
fn take_unused(wire: &mut Wire, bytes: u64, cap: usize, kept: &mut Vec<u8>) -> u64 {
    let unused = wire.unused();
    let room = cap.saturating_sub(kept.len());
    let most = room.min(usize::try_from(bytes).unwrap_or(usize::MAX));
    let taken = unused.get(..most).unwrap_or(unused);
    kept.extend_from_slice(taken);
    let taken = taken.len();
    wire.used(taken);
    taken as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(status: u16, fields: &[(&str, &str)]) -> (Framing, bool) {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let mut head = Head {
            status,
            version: "HTTP/1.1",
            fields: fields.collect(),
            notes: Vec::new(),
            whole: true,
        };
        (Framing::of(&mut head), head.is_sound())
    }

    #[test]
    fn a_body_ends_as_rfc_9112_says_and_what_is_contradictory_is_not_sound() {
        let (te, cl) = ("transfer-encoding", "content-length");
        for (status, fields, expected) in [
            (200, &[][..], (Framing::Close, true)),
            (200, &[(cl, "5")], (Framing::Length(5), true)),
            (200, &[(cl, "5"), (cl, "5")], (Framing::Length(5), true)),
            (200, &[(cl, "5, 5")], (Framing::Length(5), true)),
            (200, &[(cl, "5"), (cl, "6")], (Framing::Close, false)),
            (200, &[(cl, "+5")], (Framing::Close, false)),
            (200, &[(cl, "-5")], (Framing::Close, false)),
            (200, &[(cl, "")], (Framing::Close, false)),
            (
                200,
                &[(cl, "99999999999999999999")],
                (Framing::Length(u64::MAX), true),
            ),
            (200, &[(te, "Chunked")], (Framing::Chunked, true)),
            (
                200,
                &[(te, "gzip"), (te, "chunked")],
                (Framing::Chunked, true),
            ),
            (200, &[(te, "gzip, chunked")], (Framing::Chunked, true)),
            (200, &[(te, "chunked, gzip")], (Framing::Close, true)),
            (
                200,
                &[(te, "chunked"), (cl, "5")],
                (Framing::Chunked, false),
            ),
            (204, &[(cl, "5")], (Framing::Length(0), true)),
            (304, &[(te, "chunked")], (Framing::Length(0), true)),
            (101, &[], (Framing::Length(0), true)),
        ] {
            assert_eq!(framing(status, fields), expected, "{status} {fields:?}");
        }
    }

    #[test]
    fn chunk_sizes_are_hexadecimal_and_may_have_extensions() {
        for (line, expected) in [
            ("1f", Some(31)),
            ("1F ; a=b;c=\"d\"", Some(31)),
            ("000000000000000000000001", Some(1)),
            ("0", Some(0)),
            ("", None),
            (";a", None),
            ("-1", None),
            ("+1", None),
            ("0x1", None),
            ("1 2", None),
            ("fffffffffffffffff", None),
        ] {
            assert_eq!(chunk_size(line.as_bytes()), expected, "{line:?}");
        }
    }
}
