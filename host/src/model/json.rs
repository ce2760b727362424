//! Reading JSON that somebody else wrote.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// Levels of arrays and objects in JSON that is neither an event nor a template's data: configuration, and
/// what is asked of the API. Well below the 128 at which the parser stops, as it is stored inside other
/// objects and has to be read again.
pub const MAX_DEPTH: usize = 64;

/// What `serde_json` gives a meaning of its own as the first key of an object: it would parse the string
/// under it as JSON again, with a fresh count of the depth, and so could be led to any depth.
const RESERVED: &str = "$serde_json::private::";

/// Parses JSON text from outside. `max_depth` bounds the nesting of arrays and objects.
///
/// # Errors
/// The parser's, with line and column; also for text that is nested deeper, and for an object with a key
/// that is reserved by the parser.
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Plain { depth: max_depth }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Builds a [`Value`] without the parser's special cases.
#[derive(Clone, Copy)]
struct Plain {
    depth: usize,
}

impl Plain {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(Key(key)) = entries.next_key()? {
            if key.starts_with(RESERVED) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} is not allowed"
                )));
            }
            map.insert(key, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
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
