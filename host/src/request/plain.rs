//! A text with its escapes undone, in which values are searched.
//!
//! Receivers echo values with the escapes of URLs, JSON, HTML and programming languages, in upper and lower case, and
//! nested (a URL in JSON). Listing all spellings of a value is not possible; undoing the escapes is one pass over the
//! text. The value that is searched for is treated in the same way, so it does not matter whether something was meant
//! as an escape.

/// A text without escapes, in lower case, and where in the original each byte of it ends.
#[derive(Debug, Default)]
pub(super) struct Plain {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// The longest escape but for its first byte: `&#x10ffff;`.
const LONGEST: usize = 9;

impl Plain {
    /// Undoes escapes such as `%41`, `\u0041`, `\x41`, `\n` and `&amp;`, also nested ones. A plus becomes a space; any
    /// other backslash is removed. Linear in the text.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut plain = Self {
            bytes: Vec::with_capacity(text.len()),
            ends: Vec::with_capacity(text.len()),
        };
        let mut due = Vec::new();
        for (at, byte) in text.iter().enumerate() {
            due.push(*byte);
            // Each escape is longer than what it stands for, so this ends.
            while let Some(byte) = due.pop() {
                plain.push(byte, at + 1);
                let Some((length, decoded)) = escape(&plain.bytes) else {
                    continue;
                };
                let kept = plain.bytes.len().saturating_sub(length);
                plain.bytes.truncate(kept);
                plain.ends.truncate(kept);
                due.extend(decoded.bytes().iter().rev());
            }
        }
        plain
    }

    fn push(&mut self, byte: u8, end: usize) {
        let folded = match byte {
            b'+' => b' ',
            byte => byte.to_ascii_lowercase(),
        };
        self.bytes.push(folded);
        self.ends.push(end);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Where in the original this place is, before which so many bytes stand.
    pub(super) fn place(&self, before: usize) -> usize {
        let last = before.checked_sub(1);
        last.and_then(|last| self.ends.get(last))
            .copied()
            .unwrap_or(0)
    }

    /// The text without the beginning of an escape at its end, if there may be one.
    pub(super) fn without_open_escape(&self) -> &[u8] {
        let tail = self.bytes.len().saturating_sub(LONGEST);
        let opens = |b: &u8| matches!(b, b'%' | b'\\' | b'&');
        let at = self.bytes.iter().skip(tail).position(opens);
        let end = at.map_or(self.bytes.len(), |at| tail + at);
        self.bytes.get(..end).unwrap_or(&self.bytes)
    }
}

/// The bytes that an escape means: up to four.
#[derive(Clone, Copy)]
struct Decoded([u8; 4], usize);

impl Decoded {
    fn byte(byte: u8) -> Self {
        Self([byte, 0, 0, 0], 1)
    }

    /// In UTF-8. Halves of pairs are encoded as if they were characters, until their other half comes.
    fn code(code: u32) -> Self {
        let low = |shift: u32| 0x80 | u8::try_from(code >> shift & 0x3f).unwrap_or_default();
        match char::from_u32(code) {
            Some(c) => {
                let mut bytes = [0; 4];
                let length = c.encode_utf8(&mut bytes).len();
                Self(bytes, length)
            }
            None => Self([0xed, low(6), low(0), 0], 3),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }
}

/// The escape that ends here, if one does: its length and what it stands for.
fn escape(text: &[u8]) -> Option<(usize, Decoded)> {
    match text {
        [.., b'%', high, low] | [.., b'\\', b'x', high, low]
            if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
        {
            let byte = hex(&[*high, *low])?;
            let length = if text.ends_with(&[b'%', *high, *low]) {
                3
            } else {
                4
            };
            Some((length, Decoded::byte(u8::try_from(byte).ok()?)))
        }
        [.., b'\\', b'u', a, b, c, d]
            if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
        {
            Some((6, Decoded::code(hex(&[*a, *b, *c, *d])?)))
        }
        // Both halves of a pair of UTF-16, each encoded for itself.
        [.., 0xed, a @ 0xa0..=0xaf, b, 0xed, c @ 0xb0..=0xbf, d] => {
            let bits = |b: &u8| u32::from(*b) & 0x3f;
            let high = (bits(a) << 6 | bits(b)) & 0x3ff;
            let low = (bits(c) << 6 | bits(d)) & 0x3ff;
            Some((6, Decoded::code(0x1_0000 + (high << 10 | low))))
        }
        [.., b'\\', letter] => {
            let byte = match letter {
                // An escape may follow that stands for one of the letters below.
                b'%' | b'&' | b'u' | b'x' => return None,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                _ => *letter,
            };
            Some((2, Decoded::byte(byte)))
        }
        [.., b';'] => entity(text),
        _ => None,
    }
}

/// A character reference of HTML that ends here; of those with names the ones that escaping makes.
fn entity(text: &[u8]) -> Option<(usize, Decoded)> {
    let tail = text.get(text.len().saturating_sub(LONGEST + 1)..)?;
    let begin = tail.iter().rposition(|b| *b == b'&')?;
    let entity = tail.get(begin..)?;
    let decoded = match entity {
        b"&amp;" => Decoded::byte(b'&'),
        b"&lt;" => Decoded::byte(b'<'),
        b"&gt;" => Decoded::byte(b'>'),
        b"&quot;" => Decoded::byte(b'"'),
        b"&apos;" => Decoded::byte(b'\''),
        [b'&', b'#', b'x', digits @ .., b';'] => Decoded::code(hex(digits)?),
        [b'&', b'#', digits @ .., b';'] => {
            let digits = std::str::from_utf8(digits).ok()?;
            Decoded::code(digits.parse().ok().filter(|code| *code <= 0x10_ffff)?)
        }
        _ => return None,
    };
    Some((entity.len(), decoded))
}

/// Up to six hexadecimal digits as a number that may be a character's.
fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 6 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        number = number << 4 | char::from(*digit).to_digit(16)?;
    }
    (number <= 0x10_ffff).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> String {
        String::from_utf8_lossy(Plain::of(text.as_bytes()).bytes()).into_owned()
    }

    #[test]
    fn escapes_are_undone_in_any_case_and_within_one_another() {
        for (spelt, expected) in [
            ("%C3%A9%c3%a9", "éé"),
            (r"\u00e9\u00E9\xc3\xa9", "ééé"),
            (r"\ud83d\ude00", "😀"),
            (r"https:\/\/X", "https://x"),
            (r#"\\\"a\n"#, "\"a\n"),
            ("&amp;lt;&#233;&#xE9;&quot;", "<éé\""),
            ("%255Cu0041", "a"),
            ("a+b%20c", "a b c"),
            // neither is one
            (
                r"%zz%4 \u12 \q &nothing; &; &#; &#x110000;",
                r"%zz%4 \u12 q &nothing; &; &#; &#x110000;",
            ),
        ] {
            assert_eq!(plain(spelt), expected, "{spelt}");
        }
    }

    #[test]
    fn places_are_those_of_the_original() {
        let text = r"a%C3%A9\u00e9z";
        let plain = Plain::of(text.as_bytes());
        assert_eq!(plain.bytes(), "aééz".as_bytes());
        let places: Vec<_> = (0..=6).map(|at| plain.place(at)).collect();
        assert_eq!(places, [0, 1, 4, 7, 13, 13, 14]);
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in "[ -~éß😀\\\\%&;u0-9]{0,20}") {
            let percent: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
            let html: String = text.chars().map(|c| format!("&#{};", u32::from(c))).collect();
            let json = serde_json::to_string(&text).expect("a string");
            // as Python writes it
            let ascii: String = json.encode_utf16().map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            }).collect();
            let quoted = |text: &str| text[1..text.len() - 1].to_owned();
            for spelt in [percent, html, quoted(&json), quoted(&ascii)] {
                prop_assert_eq!(plain(&spelt), plain(&text), "{}", spelt);
            }
        }

        #[test]
        fn places_rise_and_stay_within(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let plain = Plain::of(&text);
            let places: Vec<_> = (0..=plain.bytes().len()).map(|at| plain.place(at)).collect();
            prop_assert!(places.is_sorted());
            prop_assert!(places.iter().all(|at| *at <= text.len()));
        }
    }
}
