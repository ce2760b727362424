//! Timestamps: whether one is what receivers expect. A guest has no clock and needs no calendar.

use std::ops::RangeInclusive;

/// Whether this is a date and time as RFC 3339, section 5.6, has it, such as `2026-03-06T15:11:23.5+01:00`.
/// Days are not held against their month (`02-31` passes).
pub(crate) fn is_rfc3339(text: &str) -> bool {
    date_time(text.as_bytes()).is_some_and(<[u8]>::is_empty)
}

/// What follows the date and time.
fn date_time(text: &[u8]) -> Option<&[u8]> {
    let rest = number(text, 4, 0..=9999)?;
    let rest = number(byte(rest, b"-")?, 2, 1..=12)?;
    let rest = number(byte(rest, b"-")?, 2, 1..=31)?;
    let rest = number(byte(rest, b"Tt")?, 2, 0..=23)?;
    let rest = number(byte(rest, b":")?, 2, 0..=59)?;
    let mut rest = number(byte(rest, b":")?, 2, 0..=60)?;
    if let Some(fraction) = byte(rest, b".") {
        rest = number(fraction, 1, 0..=9)?;
        while let [b'0'..=b'9', after @ ..] = rest {
            rest = after;
        }
    }
    if let Some(rest) = byte(rest, b"Zz") {
        return Some(rest);
    }
    let rest = number(byte(rest, b"+-")?, 2, 0..=23)?;
    number(byte(rest, b":")?, 2, 0..=59)
}

/// What follows a number of so many digits.
fn number(text: &[u8], digits: usize, range: RangeInclusive<u32>) -> Option<&[u8]> {
    let (number, rest) = text.split_at_checked(digits)?;
    if !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = number
        .iter()
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    range.contains(&value).then_some(rest)
}

/// What follows one of these bytes.
fn byte<'a>(text: &'a [u8], any: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = text.split_first()?;
    any.contains(first).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::is_rfc3339;

    #[test]
    fn what_rfc_3339_allows_passes() {
        for good in [
            "2026-03-06T15:11:23.503186+00:00",
            "2026-03-06T15:11:23Z",
            "2026-12-31t23:59:60z",
            "1990-01-01T00:00:00.0-23:59",
        ] {
            assert!(is_rfc3339(good), "{good}");
        }
    }

    #[test]
    fn everything_else_does_not() {
        for bad in [
            "",
            "today",
            "2026-03-06",
            "2026-03-06 15:11:23Z",
            "2026-03-06T15:11:23",
            "2026-03-06T15:11:23.Z",
            "2026-03-06T15:11:23.5",
            "2026-03-06T15:11:23+0000",
            "2026-03-06T15:11:23+24:00",
            "2026-03-06T15:11:23+00:00x",
            "2026-03-06T15:11:23ZZ",
            "2026-13-06T15:11:23Z",
            "2026-00-06T15:11:23Z",
            "2026-03-32T15:11:23Z",
            "2026-03-06T24:11:23Z",
            "2026-03-06T15:60:23Z",
            "2026-03-06T15:11:61Z",
            "2026-03-06T15:11:2ä",
            "２026-03-06T15:11:23Z",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
