//! Whether two CloudEvents of the same source and id say the same.
//!
//! An event may be sent again in another mode, by another library, with its attributes or members in another
//! order. So the parsed form is compared, but for numbers that it does not hold to the digit.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::ingest::context::{self, Members};

/// A hash of everything that the event says. All arguments have passed the limits of an event.
pub(super) fn fingerprint(
    attributes: &Map<String, Value>,
    data: &Value,
    texts: &Members<'_>,
) -> String {
    let mut hash = Sha256::new();
    let mut names: Vec<_> = attributes.iter().collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in names {
        if name == "datacontenttype" && says_nothing(value) {
            continue;
        }
        add_text(&mut hash, name);
        match value {
            // Headers hold the text of what is a number or a boolean in JSON.
            Value::Bool(_) | Value::Number(_) => add_text(&mut hash, &value.to_string()),
            Value::String(text) => add_text(&mut hash, text),
            other => add(&mut hash, other),
        }
    }
    hash.update(b"=");
    match texts
        .get("data")
        .and_then(|text| context::exact(data, text))
    {
        Some(text) => add_text(&mut hash, text.get()),
        None => add(&mut hash, data),
    }
    hex::encode(hash.finalize())
}

/// JSON is what data is if nothing else is said.
fn says_nothing(content_type: &Value) -> bool {
    let media_type = content_type.as_str().and_then(|t| t.split(';').next());
    media_type.is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json"))
}

fn add_text(hash: &mut Sha256, text: &str) {
    hash.update(b"\"");
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

/// Each kind begins with a byte of its own and says its length, so that no two values are written alike. The
/// recursion is as deep as the value, which ingest has bounded.
fn add(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(false) => hash.update(b"f"),
        Value::Bool(true) => hash.update(b"t"),
        Value::Number(number) => {
            hash.update(b"#");
            add_text(hash, &number.to_string());
        }
        Value::String(text) => add_text(hash, text),
        Value::Array(items) => {
            hash.update(b"[");
            hash.update((items.len() as u64).to_be_bytes());
            for item in items {
                add(hash, item);
            }
        }
        Value::Object(members) => {
            hash.update(b"{");
            hash.update((members.len() as u64).to_be_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            for (key, member) in members {
                add_text(hash, key);
                add(hash, member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> String {
        let mut attributes: Map<String, Value> = serde_json::from_str(json).unwrap();
        let texts = context::members(json.as_bytes());
        let data = attributes.remove("data").unwrap_or_default();
        fingerprint(&attributes, &data, &texts)
    }

    #[test]
    fn order_space_and_the_kind_of_an_attribute_make_no_difference() {
        for (one, other) in [
            (r#"{"id":"1","n":5}"#, r#"{ "n" : "5", "id" : "1" }"#),
            (
                r#"{"data":{"a":1,"b":[1,2]}}"#,
                r#"{"data":{"b":[1, 2],"a":1}}"#,
            ),
            (r#"{"data":{"a":1.50}}"#, r#"{"data": {"a": 1.50}}"#),
            (
                r#"{"datacontenttype":"application/json; charset=utf-8","data":1}"#,
                r#"{"data":1}"#,
            ),
        ] {
            assert_eq!(of(one), of(other), "{one} {other}");
        }
    }

    #[test]
    fn whatever_else_differs_is_another_content() {
        let all = [
            r#"{"id":"1"}"#,
            r#"{"id":"1","data":{}}"#,
            r#"{"id":"1","data":[]}"#,
            r#"{"id":"1","data":""}"#,
            r#"{"id":"1","data":0}"#,
            r#"{"id":"1","data":false}"#,
            r#"{"id":"1","data":["",""]}"#,
            r#"{"id":"1","data":[["",""]]}"#,
            r#"{"id":"1","data":{"a":null}}"#,
            r#"{"id":"1","data":"{}"}"#,
            r#"{"id":"1","x":"y"}"#,
            r#"{"id":"1","time":"2026-03-06T15:11:23Z"}"#,
            r#"{"id":"1","datacontenttype":"text/plain"}"#,
            // The same as 64-bit floats.
            r#"{"id":"1","data":1180591620717411303424}"#,
            r#"{"id":"1","data":1180591620717411303425}"#,
        ];
        let distinct: std::collections::HashSet<_> = all.into_iter().map(of).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
