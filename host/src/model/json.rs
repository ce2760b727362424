//! Reading JSON from outside.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// Levels of arrays and objects in any JSON from outside. Below the 128 at which the parser stops, as it is
/// stored inside other objects and has to be read again.
pub const MAX_DEPTH: usize = 100;

/// Start of the keys that `serde_json` reserves as first keys of objects: it would parse the string under such a key as
/// JSON again, with a fresh count of the depth, and so could be led to any depth.
const RESERVED: &str = "$serde_json::private::";

/// The byte-order mark U+FEFF, which some programs write before UTF-8. RFC 8259, section 8.1, lets a reader ignore it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The text without a byte-order mark at its beginning.
#[must_use]
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Whether JSON text from outside may be parsed at all: it is one JSON value, no deeper than `max_depth`
/// arrays and objects, and without keys that the parser reserves to itself. To be asked before any parse
/// into something that holds a [`Value`]. One pass, no allocation. A byte-order mark before the text is ignored.
///
/// # Errors
/// The parser's, with line and column.
pub fn check(bytes: &[u8], max_depth: usize) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(without_bom(bytes));
    Check { depth: max_depth }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Parses JSON text from outside, after [`check`].
///
/// # Errors
/// The parser's, with line and column.
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, serde_json::Error> {
    check(bytes, max_depth)?;
    serde_json::from_slice(without_bom(bytes))
}

#[derive(Clone, Copy)]
struct Check {
    depth: usize,
}

impl Check {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom("recursion limit exceeded: nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while entries.next_key_seed(Key)?.is_some() {
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if key.starts_with(RESERVED) {
            return Err(E::custom(format_args!("the key {key:?} is not allowed")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn depth_is_bounded_exactly() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(64).as_bytes(), 64).is_ok());
        assert!(parse(nested(65).as_bytes(), 64).is_err());
        assert!(parse(nested(100_000).as_bytes(), usize::MAX).is_err());
        assert!(parse(br#"{"a": {"b": 1}}"#, 1).is_err());
    }

    /// The way past the parser's own limit, in plain and escaped spelling, at any place.
    #[test]
    fn the_parsers_reserved_keys_are_refused() {
        for text in [
            r#"{"$serde_json::private::RawValue": "[[[]]]"}"#,
            r#"{"\u0024serde_json::private::RawValue": "1"}"#,
            r#"[{"a": {"b": 1, "$serde_json::private::Number": "1"}}]"#,
        ] {
            let error = parse(text.as_bytes(), 64).unwrap_err().to_string();
            assert!(error.contains("not allowed"), "{error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_ignored_before_the_text_and_nowhere_else() {
        assert_eq!(parse(b"\xEF\xBB\xBF{}", 64).unwrap(), serde_json::json!({}));
        assert!(parse(b"\xEF\xBB\xBF\xEF\xBB\xBF{}", 64).is_err());
        assert!(parse(b"[\xEF\xBB\xBF1]", 64).is_err());
    }

    #[test]
    fn what_follows_the_value_is_an_error_with_its_place() {
        let error = parse(b"{}\n x", 64).unwrap_err();
        assert_eq!((error.line(), error.column()), (2, 2));
    }

    proptest! {
        #[test]
        fn everything_else_is_read_as_the_parser_itself_does(text in r#"(\[|\]|\{|\}|,|:|"a"|"b\\n"|1|-2|3\.5|1e30|18446744073709551615|null|true| ){0,20}"#) {
            let ours = parse(text.as_bytes(), 128).ok();
            let theirs = serde_json::from_str::<Value>(&text).ok();
            prop_assert_eq!(ours, theirs);
        }
    }
}
