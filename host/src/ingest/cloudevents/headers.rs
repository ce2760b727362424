//! The attributes of a CloudEvent in binary mode (CloudEvents HTTP binding 1.0.2, section 3.1.3.2).

use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use crate::ingest::IngestError;

/// All headers that begin with `ce-`, by the rest of their names.
pub(super) fn attributes(headers: &HeaderMap) -> Result<Map<String, Value>, IngestError> {
    let mut attributes = Map::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        let refused = |why: &str| IngestError::Malformed(format!("the header {name} {why}"));
        let text = decoded(value).map_err(refused)?;
        if attributes
            .insert(attribute.to_owned(), text.into())
            .is_some()
        {
            return Err(refused("occurs twice"));
        }
    }
    Ok(attributes)
}

/// First the quotes are undone, then one round of percent-encoding.
fn decoded(value: &HeaderValue) -> Result<String, &'static str> {
    let text = value.to_str().map_err(|_| {
        "must be printable ASCII; other characters are percent-encoded as UTF-8, such as %C3%BC"
    })?;
    percent_decoded(&unquoted(text)?)
}

/// A quoted string as the text that it stands for (RFC 7230, section 3.2.6); any other text as it is.
fn unquoted(text: &str) -> Result<String, &'static str> {
    let Some(inner) = text.strip_prefix('"') else {
        return Ok(text.to_owned());
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(plain),
            '"' => return Err("goes on after its quoted string has ended"),
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    Err("begins a quoted string that does not end")
}

/// Two digits follow each percent sign, and the bytes are UTF-8; neither is repaired.
fn percent_decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(
                "holds a % without two hexadecimal digits after it; write %25 for a percent sign",
            );
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| "holds percent-encoded bytes that are not UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Result<String, &'static str> {
        decoded(&HeaderValue::from_str(value).unwrap())
    }

    #[test]
    fn quotes_and_percent_signs_are_undone_once() {
        for (value, text) in [
            ("plain", "plain"),
            ("", ""),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("%e2%82%ac", "€"),
            ("%41", "A"),
            ("%2541", "%41"),
            (r#""two words""#, "two words"),
            (r#""a \"b\" \\ %20""#, "a \"b\" \\  "),
            (r#""""#, ""),
            // Older senders left quotes inside a text as they are.
            (r#"a "b""#, r#"a "b""#),
        ] {
            assert_eq!(read(value).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_undone_is_refused() {
        for (value, why) in [
            ("50%", "%25"),
            ("%4", "%25"),
            ("%zz", "%25"),
            ("%+1", "%25"),
            ("%E2%82", "not UTF-8"),
            // An overlong space.
            ("%C0%A0", "not UTF-8"),
            ("\"", "does not end"),
            (r#""a\""#, "does not end"),
            (r#""a"b"#, "goes on"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(why), "{value}: {error}");
        }
        let raw = HeaderValue::from_bytes("ü".as_bytes()).unwrap();
        assert!(decoded(&raw).unwrap_err().contains("printable ASCII"));
    }

    #[test]
    fn an_attribute_that_is_there_twice_is_named() {
        let mut headers = HeaderMap::new();
        headers.append("ce-id", HeaderValue::from_static("1"));
        headers.append("ce-id", HeaderValue::from_static("2"));
        let error = attributes(&headers).unwrap_err();
        assert!(matches!(error, IngestError::Malformed(_)));
        assert!(error.to_string().contains("ce-id occurs twice"), "{error}");
    }

    proptest! {
        /// As the specification encodes any text.
        #[test]
        fn what_was_encoded_is_what_is_read(text in "[ -~é€😀]{0,20}") {
            let encoded: String = text
                .bytes()
                .map(|b| match b {
                    b'!' | b'#' | b'$' | b'&'..=b'~' => char::from(b).to_string(),
                    b => format!("%{b:02X}"),
                })
                .collect();
            prop_assert_eq!(read(&encoded), Ok(text));
        }
    }
}
